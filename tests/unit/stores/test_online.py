"""Archive first, on record first, then the gateway; whatever becomes of the requests."""

from __future__ import annotations

from contextlib import closing

import pytest

from support.agent_database import NODES, add_entry, connect, make_database, read_entries
from support.stores import NOW_MS
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreChanged, TryLater
from tailflip.base.workspace import Workspace
from tailflip.flow.numbers import SurveyNumbers
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Ledger, State
from tailflip.stores import archive, online
from tailflip.stores.online import choose_online, remove_online
from tailflip.stores.recovery import recover

BASE = "agent:main:cron:job"
KEYS = [f"{BASE}:run:{name}" for name in "abc"]


@pytest.fixture
def workspace(home):
    return Workspace(home, RealDisk())


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    runs = {key: {"sessionId": key[-1], "updatedAt": NOW_MS, "status": "running"} for key in KEYS}
    make_database(found, {BASE: {"sessionId": "now", "updatedAt": NOW_MS}, **runs})
    return found


def survey(path) -> SurveyNumbers:
    return SurveyNumbers(
        bytes=path.stat().st_size,
        entries=4,
        digest="",
        wide=False,
        kinds=(),
        fields=(),
        jobs=(),
        jobs_untracked=0,
        duplicate=None,
        rules=(),
        entries_after=4,
        bytes_after=path.stat().st_size,
    )


def remove(workspace, path, delete, keys=KEYS):
    return remove_online(
        workspace,
        Store(path, "main"),
        keys,
        before=survey(path),
        delete=delete,
        now_ms=NOW_MS,
    )


def drop(path, key):
    with closing(connect(path)) as db, db:
        db.execute(f"DELETE FROM {NODES} WHERE session_key = ?", (key,))
    return True


def list_states(workspace):
    return [action.state for action in Ledger(workspace).read_all()]


def test_the_archive_is_whole_and_on_record_before_the_first_request(workspace, path):
    seen = []

    def delete(entry):
        (action,) = Ledger(workspace).read_all()
        seen.append((action.state, archive.verify(workspace, action.id).records))
        return drop(path, entry.key)

    done = remove(workspace, path, delete)
    assert seen == [(State.COMMITTED, 3)] * 3
    assert list_states(workspace) == [State.DONE]
    assert set(read_entries(path)) == {BASE}
    assert (done.deleted, done.error) == (3, None)
    assert done.report.entries_after == 1
    assert done.report.undo == f"tailflip restore {done.report.action_id} --apply"
    assert list(path.parent.glob("*.tmp")) == []


def test_what_is_refused_stays_and_the_others_go(workspace, path):
    done = remove(workspace, path, lambda each: each.key != KEYS[1] and drop(path, each.key))
    assert set(read_entries(path)) == {BASE, KEYS[1]}
    assert done.deleted == 2


def test_where_all_is_refused_nothing_is_left_behind(workspace, path):
    done = remove(workspace, path, lambda _: False)
    assert (done.deleted, done.report) == (0, None)
    assert list_states(workspace) == [State.UNDONE]
    assert list(workspace.home.archives.iterdir()) == []


def test_what_nobody_knows_the_end_of_stays_in_the_archive(workspace, path):
    """The request was sent: the gateway may delete the entry a minute after we gave up."""

    def delete(_):
        raise TryLater("no answer in time")

    done = remove(workspace, path, delete)
    assert done.deleted == 0
    assert done.error is not None
    assert list_states(workspace) == [State.DONE]
    assert archive.verify(workspace, done.report.action_id).records == 3


def test_killed_between_two_requests_the_archive_stays(workspace, path):
    class Killed(BaseException):
        """A SIGKILL lets nothing run; the record is what the next start finds."""

    def delete(entry):
        drop(path, entry.key)
        raise Killed

    with pytest.raises(Killed):
        remove(workspace, path, delete)
    recover(workspace)
    assert list_states(workspace) == [State.DONE]
    (action,) = Ledger(workspace).read_all()
    assert archive.verify(workspace, action.id).records == 3


def test_what_stands_alone_is_chosen_without_a_record_of_ours(workspace, path):
    with closing(connect(path)) as db, db:
        add_entry(db, f"{BASE}:run:newest", {"sessionId": "now", "updatedAt": NOW_MS})
    chosen = choose_online(Store(path, "main"), [f"{BASE}:run:newest", *KEYS])
    assert [each.key for each in chosen] == KEYS
    assert list_states(workspace) == []


def test_a_database_that_never_holds_still_is_left_for_later(workspace, path, monkeypatch):
    monkeypatch.setattr(online, "_PAUSE_S", 0.0)
    tries = []

    def change(*_args, **_more):
        tries.append(1)
        raise StoreChanged("store changed while it was read")

    monkeypatch.setattr(online, "keep_rows", change)
    with pytest.raises(TryLater, match="keeps changing"):
        remove(workspace, path, lambda _: pytest.fail("nothing was archived"))
    assert len(tries) == online._ATTEMPTS
    assert list_states(workspace) == [State.UNDONE]
    assert list(workspace.home.archives.iterdir()) == []


def test_an_entry_that_is_gone_already_is_nothing_to_do(workspace, path):
    done = remove(workspace, path, lambda _: True, keys=[f"{BASE}:run:gone"])
    assert done.report is None
    with closing(connect(path)) as db, db:
        add_entry(db, f"{BASE}:run:gone", {"sessionId": "g", "updatedAt": NOW_MS})
    assert list_states(workspace) == [State.UNDONE]
