"""Which transcripts may be changed now, and how a person names them."""

from __future__ import annotations

import json
import os

import pytest

from support.transcripts import dump, make_turns
from tailflip.base import clock
from tailflip.base.errors import StoreInvalid, TryLater, Usage
from tailflip.flow.observed import Gateway
from tailflip.observe.installation import locate
from tailflip.transcripts.choice import (
    RESTS_MS,
    find_named,
    find_refusal,
    is_transcript,
    list_transcripts,
)

GONE = Gateway(alive=False, pid=None, started_ms=None, evidence="test")
ALIVE = Gateway(alive=True, pid=1, started_ms=1, evidence="test")
UNKNOWN = Gateway(alive=None, pid=None, started_ms=None, evidence="test")


class There:
    """An agent with one store and one transcript that rests."""

    def __init__(self, tmp_path):
        self.state = tmp_path / "state"
        self.folder = self.state / "agents" / "main" / "sessions"
        self.folder.mkdir(parents=True)
        (self.state / "openclaw.json").write_text("{}")
        self.path = self.folder / "old.jsonl"
        self.path.write_bytes(dump(make_turns(6)))
        self.put({})
        self.now_ms = clock.now_ms()
        self.age(RESTS_MS + 60_000)
        self.env = {"HOME": str(tmp_path), "OPENCLAW_STATE_DIR": str(self.state)}

    @property
    def installation(self):
        return locate(self.env, state_dir=self.state)

    def put(self, entry):
        store = {"agent:main:main": {"sessionId": "old", "updatedAt": 1, **entry}}
        (self.folder / "sessions.json").write_text(json.dumps(store))

    def age(self, age_ms):
        at = (self.now_ms - age_ms) / 1000
        os.utime(self.path, (at, at))

    def ask(self, gateway=GONE, path=None):
        return find_refusal(path or self.path, self.installation, gateway, self.now_ms)


@pytest.fixture
def there(tmp_path):
    return There(tmp_path)


@pytest.mark.parametrize("gateway", [GONE, ALIVE, UNKNOWN])
def test_a_session_that_rests_may_be_changed(there, gateway):
    assert there.ask(gateway) is None


@pytest.mark.parametrize("gateway", [ALIVE, UNKNOWN])
def test_beside_a_gateway_that_may_live_a_session_in_use_may_not(there, gateway):
    there.age(RESTS_MS - 60_000)
    assert isinstance(there.ask(gateway), TryLater)
    assert there.ask(GONE) is None
    there.age(RESTS_MS + 60_000)
    there.put({"status": "running"})
    refused = there.ask(gateway)
    assert isinstance(refused, TryLater)
    assert 'says "running"' in refused.message
    assert there.ask(GONE) is None


def test_a_store_that_does_not_read_is_a_reason_beside_a_living_gateway(there):
    (there.folder / "sessions.json").write_text("{")
    assert isinstance(there.ask(ALIVE), StoreInvalid)
    assert there.ask(GONE) is None


@pytest.mark.parametrize("gateway", [GONE, ALIVE])
def test_a_living_lock_is_a_reason_always(there, gateway):
    lock = there.path.with_name("old.jsonl.lock")
    lock.write_text(json.dumps({"pid": os.getpid(), "createdAt": "2100-01-01T00:00:00.000Z"}))
    refused = there.ask(gateway)
    assert isinstance(refused, TryLater)
    assert "in use by pid" in refused.message


@pytest.mark.parametrize("first", [b"", b"{", b"[]", b'{"type":"message"}', b"[" * 99_999])
def test_a_first_line_that_is_no_header_is_a_reason(there, first):
    there.path.write_bytes(first + b"\n" + dump(make_turns(6)[1:]))
    refused = there.ask()
    assert isinstance(refused, StoreInvalid)
    assert "first line" in refused.message


def test_only_transcripts_of_agents_may_be_changed(there, tmp_path):
    for other in (
        tmp_path / "old.jsonl",
        there.state / "old.jsonl",
        there.folder / "old.txt",
        there.folder / "deep" / "old.jsonl",
    ):
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(there.path.read_bytes())
        assert isinstance(there.ask(path=other), StoreInvalid), other
    link = there.folder / "link.jsonl"
    link.symlink_to(there.path)
    assert isinstance(there.ask(path=link), StoreInvalid)


def test_copies_and_traces_are_no_transcripts(there):
    names = {
        "old.jsonl": True,
        "old-topic-a%20b.jsonl": True,
        "2026-01-01T00-00-00_5d0c2a34.jsonl": True,
        "old.checkpoint.5d0c2a34-3c1e-4b0e-9a0e-0f5f1c1b7a11.jsonl": False,
        "old.trajectory.jsonl": False,
        "old.jsonl.deleted.2026-01-01T00-00-00.000Z": False,
        "old.jsonl.corrupt-1-ab.jsonl": False,
        "old.jsonl.lock": False,
        "sessions.json": False,
    }
    for name, expected in names.items():
        assert is_transcript(there.folder / name) is expected, name
        (there.folder / name).touch()
    wanted = {there.folder / name for name, expected in names.items() if expected}
    assert set(list_transcripts(there.installation)) == wanted


def test_a_person_names_a_session_by_id_file_or_path(there):
    for name in ("old", "old.jsonl", str(there.path)):
        assert find_named(there.installation, [name, name]) == (there.path,)
    with pytest.raises(Usage, match="no transcript of that session"):
        find_named(there.installation, ["nobody"])


def test_a_name_that_two_agents_have_is_refused(there):
    other = there.state / "agents" / "second" / "sessions"
    other.mkdir(parents=True)
    (other / "sessions.json").write_text("{}")
    (other / "old.jsonl").write_bytes(there.path.read_bytes())
    with pytest.raises(Usage, match="2 agents"):
        find_named(there.installation, ["old"])
    assert find_named(there.installation, [str(there.path)]) == (there.path,)
