from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from support.stores import FULL, NOW_MS, FaultyDisk
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, IoFailed, TryLater
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.stores.recovery import recover

DISK = RealDisk()


def make_action(name: str = "a1", created_ms: int = NOW_MS) -> Action:
    return Action(
        id=name,
        kind="compact",
        store="/s/sessions.json",
        state=State.INTENDED,
        created_ms=created_ms,
        details=Details(temps=("/s/t.tmp",)),
    )


def test_a_fresh_home_has_no_actions_and_reading_makes_nothing(home: Home) -> None:
    assert Ledger(Workspace(home, DISK)).read_all() == ()
    assert recover(Workspace(home, DISK)) == ()
    assert not home.root.exists()


def test_actions_come_back_newest_first_as_they_were_written(home: Home) -> None:
    home.create(DISK)
    ledger = Ledger(Workspace(home, DISK))
    old, new = make_action("old", NOW_MS - 1), make_action("new")
    ledger.begin(old)
    ledger.begin(new)
    details = Details(temps=("x",), digest="d", sources=("s",))
    old = ledger.advance(old, State.DONE, details)
    assert ledger.read_all() == (new, old)
    assert ledger.read_half_done() == (new,)
    assert ledger.find("old") == old
    assert ledger.find("none") is None


def test_a_clock_that_was_set_back_does_not_change_what_came_after_what(home: Home) -> None:
    """Undoing goes newest first; by the clock's word an older removal came back over a newer."""
    home.create(DISK)
    first, second = make_action("first", NOW_MS), make_action("second", NOW_MS - 5_000)
    for action in (first, second):
        Ledger(Workspace(home, DISK)).begin(action)
    assert Ledger(Workspace(home, DISK)).read_all() == (second, first)


def test_nobody_else_may_read_what_we_keep(home: Home) -> None:
    home.create(DISK)
    Ledger(Workspace(home, DISK)).begin(make_action())
    for path in (home.root, home.archives, home.quarantine):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.ledger.stat().st_mode) == 0o600


def test_a_write_that_failed_was_not_written(home: Home) -> None:
    home.create(DISK)
    Ledger(Workspace(home, DISK)).begin(make_action("before"))
    with pytest.raises(CannotCreate, match="No space"):
        Ledger(Workspace(home, FaultyDisk(1, error=FULL))).begin(make_action("failed"))
    assert [a.id for a in Ledger(Workspace(home, DISK)).read_all()] == ["before"]


def test_a_ledger_of_the_future_is_left_alone(home: Home) -> None:
    home.create(DISK)
    Ledger(Workspace(home, DISK)).begin(make_action())
    with closing(sqlite3.connect(home.ledger)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(IoFailed, match="version we do not know"):
        Ledger(Workspace(home, DISK)).read_all()


def test_a_ledger_that_is_no_database_is_an_error_not_an_empty_one(home: Home) -> None:
    home.create(DISK)
    home.ledger.write_bytes(b"not a database, but long enough to be looked at" * 20)
    with pytest.raises(IoFailed, match=r"ledger\.sqlite"):
        Ledger(Workspace(home, DISK)).read_all()


def test_only_one_may_act(home: Home) -> None:
    with home.claim(DISK):
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                with home.claim(DISK):
                    pass
            except TryLater:
                code = 75
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    with home.claim(DISK):
        pass


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"TAILFLIP_STATE_DIR": "/own", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/own"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/tailflip"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/tailflip"),
        ({"HOME": "/h"}, "/h/.local/state/tailflip"),
    ],
)
def test_home_is_found_from_the_environment(env: dict[str, str], expected: str) -> None:
    assert Home.locate(env).root == Path(expected)


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreate, match="nothing was changed"):
        Home(tmp_path / "file" / "state").create(DISK)


def test_a_transcripts_suffix_is_the_gateways() -> None:
    assert make_action(created_ms=1_770_000_000_007).transcript_suffix == (
        ".deleted.2026-02-02T02-40-00.007Z"
    )
