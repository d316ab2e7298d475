"""A real gateway and a transcript without its header: what a message does, before and after us."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import real_gateway
from guarded import install_or_skip
from held_runs import Scene, prepare, until

from support.headless import make_messages
from tailflip.base import clock
from tailflip.observe.records.heads import Head
from tailflip.observe.records.transcript_files import read_head
from tailflip.stores.lock import format_created

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1200)]

DESTROY = ("2026.3.28", "2026.4.14", "2026.5.28")
KEY, ANSWER = "agent:main:main", '"role":"assistant"'
# Of this hour: a session from before four in the morning is begun anew by the gateway itself.
OLD = make_messages(60, "from before " + "x" * 200).replace(
    b"2026-11-29T10:00", format_created(clock.now_ms() - 120_000)[:16].encode()
)


class Talk:
    """The main session of a gateway, with a transcript of sixty messages."""

    def __init__(self, scene: Scene, first: bytes) -> None:
        self.scene = scene
        self.session = str(uuid.uuid4())
        folder = scene.store.parent
        folder.mkdir(parents=True)
        self.path = folder / f"{self.session}.jsonl"
        self.path.write_bytes(first + OLD)
        entry = {
            "sessionId": self.session,
            "updatedAt": clock.now_ms(),
            "sessionFile": str(self.path),
        }
        scene.store.write_text(json.dumps({KEY: entry}))

    def say(self, text: str) -> None:
        """Send a message, and wait until an answer is in the transcript that had none of it."""
        answers = self.text().count(ANSWER)
        self.scene.model.release()
        params = {"sessionKey": KEY, "message": text, "idempotencyKey": str(uuid.uuid4())}
        self.scene.call("gateway", "call", "chat.send", "--params", json.dumps(params))
        until(lambda: self.text().count(ANSWER) not in (0, answers), "an answer")

    def text(self) -> str:
        return self.path.read_text(errors="replace")

    def tailflip(self, *verb: str) -> dict[str, Any]:
        ran = real_gateway.tailflip(self.scene.install, self.scene.state, *verb)
        assert ran.returncode in (0, 1), ran.stderr
        return json.loads(ran.stdout)


@contextmanager
def talking(version: str, folder: Path, first: bytes) -> Iterator[Talk]:
    with prepare(install_or_skip(version), folder) as scene:
        yield Talk(scene, first)


@pytest.mark.parametrize("version", DESTROY)
def test_without_us_the_next_message_replaces_the_whole_conversation(
    tmp_path: Path, version: str
) -> None:
    """Nothing of it is left, on no file beside it, and no line of the log says so."""
    with talking(version, tmp_path, b'{"type":"sess\0\0\n') as talk, talk.scene.started():
        talk.say("still there")
    assert "from before" not in talk.text()
    kept = [each.name for each in talk.path.parent.iterdir() if b"from before" in _read(each)]
    assert kept == []


@pytest.mark.parametrize("version", DESTROY)
@pytest.mark.parametrize("first", [b'{"type":"sess\0\0\n', b""], ids=["garbage", "gone"])
def test_mended_before_the_start_the_next_message_keeps_all_lines(
    tmp_path: Path, version: str, first: bytes
) -> None:
    with talking(version, tmp_path, first) as talk:
        found = [each["code"] for each in talk.tailflip("check", "--json")["findings"]]
        assert "transcript-headless" in found
        command = ("openclaw", "gateway")
        told = talk.tailflip("preflight", "--json", "--", *command)
        assert told["go"], told
        assert "written anew" in " ".join(told["notes"])
        mended = talk.path.read_bytes()
        assert mended.partition(b"\n")[2] == OLD
        with talk.scene.started():
            talk.say("still there")
            said = talk.scene.running.output()
        assert talk.path.read_bytes().startswith(mended)
        assert json.loads(mended.partition(b"\n")[0])["id"] == talk.session
        assert "session file repair" not in said


def test_2026_7_35_keeps_a_copy_and_writes_a_header_of_its_own(tmp_path: Path) -> None:
    with talking("2026.7.35", tmp_path, b'{"type":"sess\0\0\n') as talk:
        with talk.scene.started():
            talk.say("still there")
        assert talk.text().count("from before") == 60
        assert read_head(talk.path).head is Head.WHOLE
        copies = [each for each in talk.path.parent.iterdir() if ".corrupt-" in each.name]
        assert [b"from before" in _read(each) for each in copies] == [True]


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
