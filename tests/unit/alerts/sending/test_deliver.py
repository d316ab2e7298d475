"""The child that sends: what it is to others, and that it ends whatever a receiver does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.messages import MESSAGE
from support.receivers import Deaf, Web
from tailflip.alerts.heartbeat import Beat, BeatWord
from tailflip.alerts.sending.deliver import Sender, beat
from tailflip.config.telling import DestinationSettings, HeartbeatSettings

DEADLINE_S = 10.0


def make(tmp_path, **settings):
    """A sender to one destination, as the settings would make it."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    env |= {"OPENCLAW_GATEWAY_TOKEN": "s3cret", "TAILFLIP_LIFE": "x", "NOTIFY_SOCKET": "/x"}
    return Sender({"phone": DestinationSettings(**settings)}, env, 20.0)


def wait_until(condition):
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_child_delivers(tmp_path):
    with Web() as web:
        sender = make(tmp_path, url=f"json://127.0.0.1:{web.port}/s3cret")
        done = sender.send("phone", MESSAGE)
        again = sender.send("phone", MESSAGE)
    assert (done.delivered, done.error) == (True, "")
    assert again.delivered
    keys = {each.headers["idempotency-key"] for each in web.requests}
    assert keys == {"tailflip-tf-attic-12-345"}, "a receiver can tell that it has it already"
    assert web.requests[0].json["body"] == MESSAGE.body


def test_a_heartbeat_goes_the_same_way(tmp_path):
    place = tmp_path / "url"
    place.touch(0o600)
    settings = HeartbeatSettings(url_file=place)
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with Web() as web:
        place.write_text(f"http://127.0.0.1:{web.port}/s3cret")
        assert beat(settings, Beat(BeatWord.WELL, "x"), env).delivered
    assert web.requests[0].path == "/s3cret"
    place.chmod(0o644)
    assert "is not yours alone" in beat(settings, Beat(BeatWord.WELL, "x"), env).error


def test_what_is_seen_of_the_child(tmp_path):
    """Its command line and environment can be read by others: no address is in them."""
    program = tmp_path / "look"
    # `$PPID` is the child that runs the program.
    program.write_text(
        "#!/bin/sh\ncd /proc/$PPID && cat cmdline environ oom_score_adj stat > "
        f"{tmp_path}/seen; env > {tmp_path}/env\nls -l fd >> {tmp_path}/seen\n"
    )
    program.chmod(0o755)
    before = os.getsid(0)
    done = make(tmp_path, exec=program).send("phone", MESSAGE)
    assert done.error == ""
    seen = (tmp_path / "seen").read_bytes()
    assert b"_send\x00345\x00" in seen
    assert MESSAGE.subject.encode() not in seen
    for private in (b"OPENCLAW_", b"TAILFLIP_LIFE", b"NOTIFY_SOCKET", b"s3cret"):
        assert private not in seen
    assert "OPENCLAW_" not in (tmp_path / "env").read_text()
    stat = seen[seen.rindex(b"(") :].split(b")")[1].split()
    assert int(stat[16]) >= 10, "it is nice to others"
    assert int(stat[3]) != before, "it has a session of its own"
    assert b"\n1000\n" in seen or b"1000\n" in seen, "it is the first to go"


def test_a_receiver_that_never_answers_costs_the_time_that_was_set(tmp_path):
    """A hung name server once held a supervisor for minutes; this ends, and leaves nothing."""
    mine = psutil.Process()
    before = {each.pid for each in mine.children()}  # other tests leave some, ended or not
    with Deaf() as deaf:
        sender = Sender(
            {"phone": DestinationSettings(url=f"json://127.0.0.1:{deaf.port}/s3cret")},
            dict(os.environ),
            5.0,
        )
        began_s = time.monotonic()
        done = sender.send("phone", MESSAGE)
        took_s = time.monotonic() - began_s
    assert (done.delivered, done.error) == (False, "json://127.0.0.1: no end within 5 s")
    assert took_s < 15
    assert deaf.callers == 1
    assert {each.pid for each in mine.children()} <= before


def test_a_program_that_hangs_goes_with_the_child(tmp_path):
    program = tmp_path / "hang"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    program.chmod(0o755)
    sender = Sender({"phone": DestinationSettings(exec=program)}, dict(os.environ), 5.0)
    assert sender.send("phone", MESSAGE).error == "exec hang: no end within 5 s"
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_a_child_that_is_killed_is_no_delivery(tmp_path):
    program = tmp_path / "kill"
    program.write_text("#!/bin/sh\nkill -9 $PPID\n")
    program.chmod(0o755)
    done = make(tmp_path, exec=program).send("phone", MESSAGE)
    assert done.error == "exec kill: the process that sends it ended without an answer"
    assert not done.is_final


@pytest.mark.parametrize("folder", ["tailflip", "json"])
def test_the_folder_where_it_was_started_is_not_run(tmp_path, monkeypatch, folder):
    """Python looks for modules in the current directory first: a stranger's would be run."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "__init__.py").write_text(f"open('{tmp_path}/done', 'w')")
    monkeypatch.chdir(tmp_path)
    with Web() as web:
        assert make(tmp_path, url=f"json://127.0.0.1:{web.port}/x").send("phone", MESSAGE).delivered
    assert not (tmp_path / "done").exists()


def test_a_destination_without_an_address_is_told_so(tmp_path):
    sender = make(tmp_path, url_file=Path("/none/phone.url"))
    done = sender.send("phone", MESSAGE)
    assert done.error == "cannot read /none/phone.url: no such file or directory"
    assert not done.is_final, "the file can be put there"
    gone = sender.send("pager", MESSAGE)
    assert (gone.delivered, gone.is_final) == (False, True)


def test_an_order_is_whole_json(tmp_path):
    """A subject of any characters arrives as it is."""
    from dataclasses import replace  # noqa: PLC0415

    with Web() as web:
        sender = make(tmp_path, url=f"json://127.0.0.1:{web.port}/x")
        subject = 'quote " backslash \\ snowman ☃'
        assert sender.send("phone", replace(MESSAGE, subject=subject)).delivered
    assert json.loads(web.requests[0].body)["subject"] == subject


def test_the_child_does_without_what_reads_settings():
    """It lives a second: half of that would go into classes that it never uses."""
    script = "import sys, tailflip.cli, tailflip.alerts.sending.child; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "tailflip.alerts.sending.forms" in loaded
    assert not loaded & {"pydantic", "psutil", "typer", "smtplib", "apprise", "asyncio"}
