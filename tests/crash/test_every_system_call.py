"""Cut the power after every system call, or refuse one: seen from the kernel, not from our seam.

Promise: the store is wholly old or wholly new, nothing is missing from store and archive
together, and starting again ends what was begun, once. What `Disk` does not see (SQLite's
writes, those of the extension) is seen here.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import TYPE_CHECKING

import kernel
import power
import pytest
import scenarios
from database_scenarios import DATABASES
from header_scenarios import HEADERS
from kernel import FAIL_FOR_GOOD, FAIL_ONCE, SHORT, TORN, Meddler
from parallel import WORKERS, in_parallel
from reclaim_scenarios import RECLAIMS
from scenarios import DONE, FAILED
from transcript_scenarios import TRANSCRIPTS

from tailflip.base import clock
from tailflip.base.durable import RealDisk

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios import Scenario

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(Meddler.why_not() is not None, reason=str(Meddler.why_not())),
]
BUG = 70
ALL = scenarios.ALL | TRANSCRIPTS | HEADERS | DATABASES | RECLAIMS
# What is done to the k-th system call, and to which.
REFUSALS = {
    "disk full": (FAIL_ONCE, errno.ENOSPC, {"write", "create", "mkdir", "truncate"}),
    "disk full for good": (FAIL_FOR_GOOD, errno.ENOSPC, {"write", "create", "mkdir"}),
    "I/O error": (FAIL_ONCE, errno.EIO, {"write", "fsync", "rename", "unlink", "rmdir"}),
    "interrupted": (FAIL_ONCE, errno.EINTR, {"write", "fsync", "create", "truncate"}),
    "short write": (SHORT, 0, {"write"}),
    "torn write, then full": (TORN, errno.ENOSPC, {"write"}),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands between, compiled once."""
    return Meddler.build(tmp_path_factory.mktemp("meddle"))


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: scenarios.NOW_MS)


class Place:
    """One scenario, its beginning, and the effects of an undisturbed run."""

    def __init__(self, kind: type[Scenario], library: Path, folder: Path) -> None:
        self.root = folder / "root"
        self.scenario = kind(self.root)
        self.scenario.prepare()
        self.medium = power.Medium.of(self.root)
        self.beginning = {n: f and bytes(f.data) for n, f in self.medium.seen.items()}
        self.scenario.learn()
        self.meddler = Meddler(library, folder)
        self.begin()
        code, self.effects = self.meddler.trace(self.act, self.root)
        assert code == DONE

    def begin(self) -> None:
        power.put_tree(self.root, self.beginning)

    def act(self) -> int:
        try:
            return self.scenario.act(RealDisk())
        except BaseException:  # noqa: BLE001 - in a child: its code tells it
            traceback.print_exc(file=sys.__stderr__)
            return BUG

    def check(self, told: str, *, went_on: bool = False) -> list[str]:
        try:
            self.scenario.check(went_on=went_on)
        except Exception:  # noqa: BLE001 - collected, so that one run shows them all
            return [f"{self.scenario.name}, {told}:\n{traceback.format_exc(limit=-3)}"]
        return []

    def describe(self, number: int) -> str:
        if not number:
            return "before the first call"
        effect = self.effects[number - 1]
        return f"call {number} of {len(self.effects)}: {effect.name} {effect.path}"


@pytest.mark.parametrize("name", ALL)
def test_power_cut_or_kill_after_any_system_call_loses_nothing(
    folder: Path, library: Path, name: str
) -> None:
    """ "All is kept" is what a kill leaves; the others are what a power cut may leave."""

    def work(number: int, own: Path) -> list[str]:
        place = Place(ALL[name], library, own)
        failed, count = [], 0
        for count, (at, how, tree) in enumerate(
            power.find_images(place.medium, place.effects), start=1
        ):
            if count % WORKERS == number:
                power.put_tree(place.root, tree)
                failed += place.check(f"{how}, after {place.describe(at)}")
        assert count > 20
        return failed

    failed = in_parallel(folder, work)
    assert not failed, "\n".join(failed)[:20_000]


# What takes minutes; at every effect of our own seam these are done in every run.
LONG = ("reconcile", "gate", *DATABASES, *RECLAIMS)
NIGHTLY = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=NIGHTLY if n in LONG else ()) for n in ALL],
)
def test_any_system_call_refused_or_cut_short_loses_nothing(
    folder: Path, library: Path, name: str, how: str
) -> None:
    mode, error, which = REFUSALS[how]

    def work(number: int, own: Path) -> list[str]:
        place = Place(ALL[name], library, own)
        failed = []
        for effect in place.effects:
            if effect.name not in which or effect.number % WORKERS != number:
                continue
            place.begin()
            code, _ = place.meddler.run(place.act, place.root, mode, effect.number, error)
            told = f"{how} at {place.describe(effect.number)}: exit {code}"
            if code not in (DONE, FAILED) or (mode == SHORT and code != DONE):
                failed.append(told)
            failed += place.check(told, went_on=True)
        return failed

    failed = in_parallel(folder, work)
    assert not failed, "\n".join(failed)[:20_000]


class Telling(RealDisk):
    """Writes down every name that it is given."""

    def __init__(self, told: Path) -> None:
        self._told = told

    def _tell(self, *paths: Path) -> None:
        with self._told.open("a") as file:
            file.writelines(f"{path}\n" for path in paths)

    def open_new(self, path: Path, mode: int) -> int:
        self._tell(path)
        return super().open_new(path, mode)

    def open_lock(self, path: Path) -> int:
        self._tell(path)
        return super().open_lock(path)

    def rename(self, old: Path, new: Path) -> None:
        self._tell(old, new)
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._tell(path)
        super().unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        self._tell(path)
        super().mkdir(path, mode)

    def rmdir(self, path: Path) -> None:
        self._tell(path)
        super().rmdir(path)


# SQLite makes and deletes these by itself; what it writes is committed through `Disk`.
OF_SQLITE = ("-journal", "-wal", "-shm", "/ledger.sqlite", "/runs.sqlite", "-agent.sqlite")


@pytest.mark.parametrize("name", ALL)
def test_no_effect_goes_past_our_seam(folder: Path, library: Path, name: str) -> None:
    """Every name that the kernel is asked to make, change or delete was given to `Disk`."""
    place = Place(ALL[name], library, folder)
    told = folder / "told"
    place.begin()
    code, effects = place.meddler.trace(lambda: place.scenario.act(Telling(told)), place.root)
    assert code == DONE
    known = set(told.read_text().splitlines())
    past = {
        f"{effect.name} {effect.path}"
        for effect in effects
        if effect.name in ("create", "create-empty", "rename", "unlink", "mkdir", "rmdir")
        and effect.path not in known
        and not effect.path.endswith(OF_SQLITE)
    }
    assert past == set()
    writes = {e.path for e in effects if e.name in ("write", "truncate")}
    assert {path for path in writes - known if not path.endswith(OF_SQLITE)} == set()


def test_the_kernel_is_really_lied_to(folder: Path, library: Path) -> None:
    """The tool itself: each mode does what its name says."""
    meddler, path = Meddler(library, folder), folder / "root" / "file"
    path.parent.mkdir()

    def act() -> int:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            return 10 + os.write(fd, b"12345678")
        except OSError as e:
            return 50 + (e.errno or 0)

    code, effects = meddler.trace(act, path.parent)
    assert code == 18
    assert [(e.name, e.path, e.data) for e in effects] == [
        ("create", str(path), b""),
        ("write", str(path), b"12345678"),
    ]
    for mode, expected in ((SHORT, 14), (TORN, 14), (FAIL_ONCE, 50 + errno.EIO)):
        assert meddler.run(act, path.parent, mode, 2, errno.EIO) == (expected, 2)
    assert meddler.run(act, path.parent, kernel.KILL, 2)[0] == -9
