"""Names that attack a terminal, keys without end, archives that lie, folders of somebody else."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from typing import TYPE_CHECKING

import pytest

from support.hostile_installation import OLD_MS, Place, make_run
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Evidence, Gateway, Store
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65_534
MB = 1_000_000
GONE = Evidence(gateway=Gateway(alive=False, pid=None, started_ms=None, evidence="test"))
ATTACKS = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "newline": "a\nerror: forged line",
    "return": "a\rok",
    "nul": "a\0b",
    "c1": "a\x9b31m",
    "bidi": "a\u202egpj.exe",
    "isolate": "a\u2066b\u2069",
    "zero width": "a\u200bb",
    "separator": "a\u2028b",
    "lone surrogate": "a\ud800b",
    "delete": "a\x7f",
}
VERBS = (
    ("check",),
    ("inspect",),
    ("compact",),
    ("compact", "--cap-total", "1"),
    ("reconcile",),
    ("compact", "--apply", "--cap-total", "1"),
    ("archive", "list"),
    ("restore", "--all"),
    ("reconcile", "--apply"),
    ("tasks",),
    ("status",),
    ("incidents",),
)


def find_raw(told: str) -> list[str]:
    """Name what a terminal would obey, but for the end of a line."""
    bad = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co"}
    return [hex(ord(c)) for c in told if c != "\n" and unicodedata.category(c) in bad]


def attack_entries() -> dict[str, object]:
    now_ms = clock.now_ms()
    entries: dict[str, object] = {"agent:main:main": {"sessionId": "m", "updatedAt": now_ms}}
    for n, text in enumerate(ATTACKS.values()):
        entries[f"agent:main:telegram:direct:{text}"] = {"sessionId": text, "updatedAt": now_ms}
        entries[f"agent:main:cron:{text}:run:r{n}"] = make_run(f"r{n}{text}", label=text)
        entries[f"agent:main:cron:j{n}:run:{text}"] = make_run(text, sessionFile=f"../{text}.jsonl")
        entries[text] = {"sessionId": f"x{n}", "updatedAt": OLD_MS, "status": text}
    return entries


def test_no_name_reaches_the_terminal_as_it_is(place: Place) -> None:
    place.put(attack_entries())
    cron = place.state / "cron"
    (cron / "runs").mkdir(parents=True)
    jobs = [
        {"id": f"j{n}{text}", "name": text, "enabled": True, "state": {"runningAtMs": OLD_MS}}
        for n, text in enumerate(ATTACKS.values())
    ]
    (cron / "jobs.json").write_text(json.dumps({"version": 1, "jobs": jobs}))
    for verb in VERBS:
        for as_json in (False, True):
            if as_json and verb in (("status",), ("incidents",)):
                continue
            ran = place.run(*verb, *(["--json"] if as_json else []))
            assert ran.code in (0, 1, 64, 65), (verb, ran)
            assert "Traceback" not in ran.err
            assert find_raw(ran.out + ran.err) == [], (verb, ran.out, ran.err)
            assert "\nerror: forged" not in ran.out + ran.err
            if as_json and ran.out:
                json.loads(ran.out)
    for action in place.home.archives.iterdir():
        ran = place.run("archive", "show", action.name)
        assert ran.code in (0, 64), ran
        assert find_raw(ran.out + ran.err) == []


def test_folders_with_such_names(place: Path, tmp_path: Path) -> None:
    odd = Place(tmp_path / "a\nerror: forged\x1b[31m \u202e")
    odd.root.mkdir()
    before = odd.put({"agent:main:main": {"sessionId": "m", "updatedAt": clock.now_ms()}} | {
        f"agent:main:cron:j:run:{n}": make_run(f"r{n}") for n in range(5)
    })  # fmt: skip
    for verb in (*VERBS, ("restore", "--all", "--apply"), ("preflight",)):
        ran = odd.run(*verb)
        assert ran.code in (0, 1), (verb, ran)
        assert find_raw(ran.out + ran.err) == [], (verb, ran)
        assert not any(line.startswith("error: forged") for line in ran.err.splitlines())
    assert json.loads(odd.store.read_bytes()) == json.loads(before)


@pytest.mark.parametrize("size_bytes", [5_000, 10 * MB])
def test_keys_without_end_cost_no_memory_and_lose_nothing(place: Place, size_bytes: int) -> None:
    long_key = "agent:main:cron:" + "j" * size_bytes + ":run:"
    entries = {"agent:main:main": {"sessionId": "m", "updatedAt": clock.now_ms()}}
    entries |= {f"{long_key}{n}": make_run(f"r{n}", **{"f" * size_bytes: n}) for n in range(3)}
    before = place.put(entries)
    idle_bytes = place.run("--version").peak_bytes
    for verb in (*VERBS, ("restore", "--all", "--apply")):
        ran = place.run(*verb)
        assert ran.code in (0, 1, 64, 65), (verb, ran.code, ran.err[-500:])
        assert "Traceback" not in ran.err
        assert len(ran.out) + len(ran.err) < 200_000, verb
        assert ran.peak_bytes - idle_bytes < 60 * MB, verb
    assert json.loads(place.store.read_bytes()) == json.loads(before)


# --- archives that lie -------------------------------------------------------------------


def make_archive(place: Place) -> tuple[bytes, bytes, Path]:
    """Compact a small store: its bytes before and after, and the archive's folder."""
    entries = {f"agent:main:cron:j:run:{n}": make_run(f"r{n}") for n in range(3)}
    before = place.put({"agent:main:main": {"sessionId": "m", "updatedAt": OLD_MS}} | entries)
    store = Store(place.store, "main")
    disk = RealDisk()
    done = compact_store(
        store, Policy(), GONE, workspace=Workspace(place.home, disk), now_ms=clock.now_ms()
    )
    return before, place.store.read_bytes(), place.home.archive(done.action_id)


def tampered(data: bytes) -> dict[str, bytes]:
    """The same bytes changed at every single place, cut off at every place, and longer."""
    found = {f"bit {bit} of byte {n}": data[:n] + bytes([data[n] ^ 1 << bit]) + data[n + 1 :]
             for n in range(len(data)) for bit in (0, 6)}  # fmt: skip
    found |= {f"cut at {n}": data[:n] for n in range(len(data))}
    return found | {"twice": data * 2, "one more": data + b"\0", "swapped": data[::-1]}


def test_an_archive_changed_at_any_byte_is_told_and_never_put_back(place: Place) -> None:
    before, after, folder = make_archive(place)
    records = folder / "records.zst"
    whole = records.read_bytes()
    came_back = 0
    for what, data in tampered(whole).items():
        records.write_bytes(data)
        with pytest.raises(TailflipError):
            archive.verify(Workspace(place.home, RealDisk()), folder.name)
        try:
            restore(
                Workspace(place.home, RealDisk()),
                action_id=folder.name,
                apply=True,
                now_ms=clock.now_ms(),
            )
        except TailflipError:
            assert place.store.read_bytes() == after, what
        else:
            # Nothing that matters was hit; what comes back is what was taken out.
            assert json.loads(place.store.read_bytes()) == json.loads(before), what
            came_back += 1
            place.store.write_bytes(after)
    assert came_back < len(tampered(whole)) / 20
    records.write_bytes(whole)
    assert place.run("restore", folder.name, "--apply").code == 0
    assert json.loads(place.store.read_bytes()) == json.loads(before)


def test_a_manifest_changed_at_any_byte_is_an_answer_and_no_crash(place: Place) -> None:
    _, _, folder = make_archive(place)
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    for what, data in tampered(whole).items():
        manifest.write_bytes(data)
        try:
            archive.verify(Workspace(place.home, RealDisk()), folder.name)
            archive.list_actions(Workspace(place.home, RealDisk()))
        except TailflipError as e:
            assert e.exit_code in (64, 65), what  # noqa: PT017 - it need not be raised
    named = json.loads(whole)["rewrite"]
    for member in ("archive_digest", "archive_bytes", "records"):
        value = named[member]
        other = value + 1 if isinstance(value, int) else value[::-1]
        changed = json.loads(whole)
        changed["rewrite"][member] = other
        manifest.write_text(json.dumps(changed))
        with pytest.raises(TailflipError):
            archive.verify(Workspace(place.home, RealDisk()), folder.name)


def blow_up(head: bytes, filler: int, filler_bytes: int, tail: bytes = b"") -> bytes:
    """Write a zstd frame by hand: raw head, a run of one byte, raw tail; 4 bytes for 128 KiB."""
    block_bytes = 1 << 17
    frame = bytearray(b"\x28\xb5\x2f\xfd\x00\x38")  # no checksum, window of 128 KiB

    def block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
        return (int(last) | kind << 1 | size << 3).to_bytes(3, "little") + content

    frame += block(0, len(head), head)
    for _ in range(filler_bytes // block_bytes):
        frame += block(1, block_bytes, bytes([filler]))
    return bytes(frame + block(0, len(tail), tail, last=True))


BOMB_BYTES = 4_000 * MB
MAGIC = b'{"tailflip":"archive","version":1}\n'


def header(size_bytes: int) -> bytes:
    about = {"key": "agent:main:x", "rule": "expire", "time_ms": 1, "at": 0, "bytes": size_bytes}
    about |= {"lead": 0, "trail": 0, "session": None, "file": None, "job": None}
    return json.dumps(about | {"after": None, "after_bytes": 0}).encode() + b"\n"


BOMBS = {
    "no format, only zeros": blow_up(b"", 0, BOMB_BYTES),
    "first line without end": blow_up(MAGIC[:-1], 32, BOMB_BYTES),
    "header without end": blow_up(MAGIC + b'{"key":"', 97, BOMB_BYTES),
    "more than was said": blow_up(MAGIC + header(10), 49, BOMB_BYTES),
    "entry of 4 GB that is none": blow_up(MAGIC + header(BOMB_BYTES), 97, BOMB_BYTES),
    "length beyond any file": blow_up(MAGIC + header(2**63), 49, 1 << 20),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_in_an_archive_costs_neither_memory_nor_room(place: Place, name: str) -> None:
    _, after, folder = make_archive(place)
    (folder / "records.zst").write_bytes(BOMBS[name])
    idle_bytes = place.run("--version").peak_bytes
    for verb in (
        ("archive", "verify", folder.name),
        ("archive", "show", folder.name),
        ("restore", folder.name),
        ("restore", folder.name, "--apply"),
    ):
        began_s = clock.monotonic_s()
        ran = place.run(*verb)
        assert clock.monotonic_s() - began_s < 30, verb
        assert ran.code == 65, (verb, ran)
        assert "Traceback" not in ran.err
        assert ran.peak_bytes - idle_bytes < 30 * MB, verb
    assert place.store.read_bytes() == after
    assert sum(p.stat().st_size for p in place.root.rglob("*") if p.is_file()) < 10 * MB


# --- somebody else's folders, and links ----------------------------------------------------

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@as_root
@pytest.mark.parametrize("verb", [("compact", "--apply"), ("reconcile", "--apply")])
def test_a_link_in_another_users_folder_leads_to_no_file_of_ours(
    place: Place, verb: tuple[str, ...]
) -> None:
    """Root compacts for a user, and the user's store is a link to a store of root's."""
    victim = place.root / "victim" / "sessions.json"
    victim.parent.mkdir()
    entries = {f"agent:main:cron:j:run:{n}": make_run(f"r{n}") for n in range(3)}
    victim.write_text(json.dumps(entries))
    place.put({})
    place.store.unlink()
    place.store.symlink_to(victim)
    for path in (place.state, *place.state.rglob("*")):
        os.lchown(path, NOBODY, NOBODY)
    before = victim.read_bytes()
    ran = place.run(*verb)
    assert ran.code == 77, ran
    assert f"a link of user id {NOBODY} leads to a store of user id 0" in ran.err
    assert victim.read_bytes() == before
    assert {p.name for p in victim.parent.iterdir()} == {"sessions.json"}


@as_root
def test_a_state_directory_that_another_user_prepared_is_refused(place: Place) -> None:
    place.put({f"agent:main:cron:j:run:{n}": make_run(f"r{n}") for n in range(3)})
    before = place.store.read_bytes()
    stolen = place.root / "stolen"
    stolen.mkdir()
    os.chown(stolen, NOBODY, NOBODY)
    for name in ("archive", "quarantine", "guards"):
        shutil.rmtree(place.home.root, ignore_errors=True)
        place.home.root.mkdir(mode=0o700)
        (place.home.root / name).symlink_to(stolen)
        ran = place.run("compact", "--apply")
        assert ran.code in (73, 77), (name, ran)
        assert place.store.read_bytes() == before
        assert list(stolen.iterdir()) == []
    shutil.rmtree(place.home.root)
    os.chown(place.root, 0, 0)
    place.home.root.mkdir(mode=0o777)
    os.chown(place.home.root, NOBODY, NOBODY)
    ran = place.run("compact", "--apply")
    assert ran.code == 77, ran
    assert place.store.read_bytes() == before


@pytest.mark.parametrize("name", ["claim", "ledger.sqlite"])
def test_a_link_in_place_of_a_file_of_ours_is_not_followed(place: Place, name: str) -> None:
    place.put({f"agent:main:cron:j:run:{n}": make_run(f"r{n}") for n in range(3)})
    before = place.store.read_bytes()
    victim = place.root / "victim"
    place.home.root.mkdir(mode=0o700)
    (place.home.root / name).symlink_to(victim)
    ran = place.run("compact", "--apply")
    assert ran.code in (65, 73, 74, 77), ran
    assert "Traceback" not in ran.err
    assert not victim.exists()
    assert place.store.read_bytes() == before


def test_a_gateway_starts_though_our_folder_is_somebody_elses(place: Place) -> None:
    """What is wrong with us keeps no gateway down."""
    place.put({"agent:main:main": {"sessionId": "m", "updatedAt": clock.now_ms()}})
    place.home.root.parent.mkdir(exist_ok=True)
    place.home.root.symlink_to(place.root / "nowhere" / "at all")
    ran = place.run("gate", "--", "/bin/echo", "started")
    assert (ran.code, ran.out) == (0, "started\n"), ran


def test_expired_archives_that_cannot_be_deleted_keep_nobody_from_work(place: Place) -> None:
    """A foreign file in the folder of an archive that is let go."""
    make_archive(place)
    (folder,) = place.home.archives.iterdir()
    (folder / "notes.txt").write_text("mine")
    ran = place.run("archive", "expire", "--older-than", "0s", "--apply")
    assert "Traceback" not in ran.err
    assert ran.code == 74, ran
    place.put({f"agent:main:cron:j:run:{n}": make_run(f"r{n}") for n in range(3)})
    ran = place.run("compact", "--apply")
    assert ran.code == 0, ran
    assert "cannot be deleted" in ran.err
    assert (folder / "notes.txt").read_text() == "mine"
