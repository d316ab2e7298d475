"""One question, one answer: is the owner of a lock gone? Every reader of locks gives the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailflip.base import clock
from tailflip.base.errors import StoreInvalid
from tailflip.flow.observed import Gateway, Store
from tailflip.observe.gateway import lock_owner
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.lock_owner import is_gone, owner_lives, read_owner
from tailflip.observe.gateway.process import start_ticks, started_ms
from tailflip.observe.gateway.signs import find_transcript_owner
from tailflip.observe.installation import locate
from tailflip.observe.records.transcripts import read_locks
from tailflip.stores.json.lock import is_stale
from tailflip.stores.json.look import observe_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.numbers import SurveyNumbers

MINUTE_MS = 60_000
STOPPED = Gateway(False, None, None, "stopped")
# Named by its key: who is it, its start, the moment it says; alive?
LIVING, LATER, DEAD = "living", "later", "dead"
TABLE = [
    ({"pid": LIVING, "start": "its"}, True),
    ({"pid": LIVING, "start": "its", "createdAt": "before"}, True),
    ({"pid": LIVING, "start": "another's"}, False),
    ({"pid": LIVING, "createdAt": "after"}, True),
    ({"pid": LIVING, "createdAt": "before"}, False),
    ({"pid": LIVING, "createdAt": "not a time"}, True),
    ({"pid": LIVING}, True),
    ({"pid": DEAD, "start": 1}, False),
    ({"pid": DEAD, "createdAt": "after"}, False),
    ({"pid": DEAD}, False),
    ({"pid": 2**80}, False),
    ({"pid": True}, None),
    ({"pid": "7"}, None),
    ({"pid": 0}, None),
    ({"pid": -1}, None),
    ({"createdAt": "after"}, None),
    ([], None),
    ("{", None),
    ("", None),
    ("[" * 3_000, None),
]


@pytest.fixture
def living() -> Iterator[int]:
    """Another process that lives: our own locks are asked for in no other way."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def write(path: Path, payload: object, living: int, start_name: str = "starttime") -> Path:
    text = payload if isinstance(payload, str) else json.dumps(fill(payload, living, start_name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def fill(payload: object, living: int, start_name: str) -> object:
    """Put a living process, its start and moments before and after it into a payload."""
    if not isinstance(payload, dict):
        return payload
    said: dict[str, Any] = dict(payload)
    if said.get("pid") in (LIVING, DEAD):
        said["pid"] = living if said["pid"] == LIVING else 2**22 + 5
    if "start" in said:
        ticks = start_ticks(living) or 0
        said[start_name] = {"its": ticks, "another's": ticks + 1}.get(said.pop("start"), 1)
    moments = {"before": -MINUTE_MS, "after": 1_000}
    if said.get("createdAt") in moments:
        at_ms = (started_ms(living) or 0) + moments[said["createdAt"]]
        said["createdAt"] = write_moment(at_ms)
    return said


def write_moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def refuse(store: Store) -> SurveyNumbers:
    raise StoreInvalid(f"not asked for: {store.path}")


@pytest.mark.parametrize(("payload", "lives"), TABLE, ids=lambda v: str(v)[:60])
def test_every_reader_of_a_lock_gives_the_same_answer(tmp_path, living, payload, lives):
    """Four readers had four answers: what one called held, another removed as litter."""
    state, now_ms = tmp_path / "state", clock.now_ms()
    sessions = state / "agents/main/sessions"
    sessions.mkdir(parents=True)
    store = sessions / "sessions.json"
    store.write_text("{}")
    env = {"HOME": str(tmp_path), "OPENCLAW_STATE_DIR": str(state), "TMPDIR": str(tmp_path)}
    installation = locate(env)
    on_store = write(sessions / "sessions.json.lock", payload, living)
    on_transcript = write(sessions / "s.jsonl.lock", payload, living)

    owner = read_owner(on_store)
    assert owner is not None
    assert owner_lives(owner) is lives
    # Who is not named goes by the age of the file: these are young.
    assert is_gone(owner, now_ms, MINUTE_MS) is (lives is False)
    assert is_stale(owner, now_ms) is (lives is False)
    (seen,) = observe_all([Store(store, "main")], refuse, now_ms)
    assert [each.path for each in seen.litter] == ([on_store] if lives is False else [])
    held = read_locks(installation, Store(store, "main"), STOPPED, now_ms).get("s")
    assert (held.alive if held else False) is lives
    assert find_transcript_owner(installation) == ((on_transcript, living) if lives else None)


@pytest.mark.parametrize(("payload", "lives"), TABLE, ids=lambda v: str(v)[:60])
def test_the_gateways_own_lock_is_judged_by_the_same_rule(tmp_path, living, payload, lives):
    """Its start time has another name in it; all else is the same."""
    state = tmp_path / "state"
    state.mkdir()
    env = {"HOME": str(tmp_path), "OPENCLAW_STATE_DIR": str(state), "TMPDIR": str(tmp_path)}
    path = state / f"tmp/openclaw-{os.getuid()}/gateway.state.lock"
    gateway = read_gateway(locate(env), env)
    assert gateway.alive is not True
    write(path, payload, living, "startTime")
    owner = read_owner(path)
    assert owner is not None
    assert owner_lives(owner) is lives
    gateway = read_gateway(locate(env), env)
    if lives:
        assert (gateway.alive, gateway.pid) == (True, living)
    elif lives is None:
        assert gateway.evidence == f"a fresh lock cannot be read: {path}"
    else:
        assert str(path) not in gateway.evidence


def test_a_number_without_any_time_from_before_the_boot_tells_nobody(tmp_path, living, monkeypatch):
    path = write(tmp_path / "lock", {"pid": LIVING}, living)
    owner = read_owner(path)
    assert owner is not None
    assert owner_lives(owner) is True
    monkeypatch.setattr(lock_owner, "booted_ms", lambda: owner.changed_ms + MINUTE_MS)
    assert owner_lives(owner) is None
    assert is_gone(owner, owner.changed_ms + 29_000, 30_000) is False
    assert is_gone(owner, owner.changed_ms + 31_000, 30_000) is True


def test_a_link_or_a_pipe_in_place_of_a_lock_names_nobody_and_makes_nobody_wait(tmp_path):
    (tmp_path / "real").write_text(json.dumps({"pid": os.getpid()}))
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        owner = read_owner(tmp_path / name)
        assert owner is not None
        assert owner.pid is None
    assert read_owner(tmp_path / "nothing") is None


def test_no_other_reader_of_files_asks_whether_the_process_that_a_lock_names_lives():
    """Whoever asks by himself soon has an answer of his own again.

    `past` knows the process from our ledger.
    """
    package = Path(lock_owner.__file__).parents[2]
    asks = {
        path.name
        for room in ("observe", "stores", "reconcile", "diagnose")
        for path in (package / room).rglob("*.py")
        if re.search(r"import .*\bis_alive\b|process\.is_alive", path.read_text())
    }
    assert asks == {"lock_owner.py", "past.py"}
