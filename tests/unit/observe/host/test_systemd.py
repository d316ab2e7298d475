"""Journal lines as systemd 252 writes them, made up after `unit_log_process_exit` and friends."""

from __future__ import annotations

import json
import os

import pytest

from tailflip.base import platform_calls
from tailflip.base.platform_calls import Linux
from tailflip.observe.host import systemd
from tailflip.observe.host.systemd import (
    ServiceEnd,
    Unit,
    find_unit,
    parse_journal,
    parse_properties,
    read_service_end,
)

OLD, PREV, NOW = "a" * 32, "b" * 32, "c" * 32
EXIT = "98e322203f7a4ed290d09fe03c09fe15"


def manager(run, message_id, *, user=False, at=5, **fields):
    name = "USER_INVOCATION_ID" if user else "INVOCATION_ID"
    # systemd itself is a service of its own in the user's case: that run is not the unit's.
    own = {"_SYSTEMD_INVOCATION_ID": "f" * 32} if user else {}
    stamp = {"__REALTIME_TIMESTAMP": str(at * 1_000_000)}
    return json.dumps({name: run, "MESSAGE_ID": message_id, **own, **stamp, **fields})


def exited(run, code, status, **options):
    message = f"gw.service: Main process exited, code={code}, status={status}/X"
    fields = {"EXIT_CODE": code, "EXIT_STATUS": str(status), "MESSAGE": message}
    return manager(run, EXIT, **{**fields, **options})


def said(run, message, at=4):
    stamp = str(at * 1_000_000)
    return json.dumps(
        {"_SYSTEMD_INVOCATION_ID": run, "MESSAGE": message, "__REALTIME_TIMESTAMP": stamp}
    )


FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
OOM = "fe6faa94e7774663a0da52717891d8ef"
OOMD = "d989611b15e44c9dbf31e3c81256e4ed"
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"


@pytest.mark.parametrize("user", [False, True])
def test_the_last_run_that_ended_is_judged(user):
    lines = [
        said(OLD, "an older run"),
        exited(OLD, "exited", 1, user=user),
        said(PREV, "FATAL ERROR: Reached heap limit"),
        exited(PREV, "killed", 6, user=user, at=9),
        manager(PREV, FAILED, UNIT_RESULT="core-dump", user=user),
        said(NOW, "tailflip looks at the stores"),
    ]
    assert parse_journal(lines, NOW) == ServiceEnd(
        signal=6, result="core-dump", at_ms=9000, tail="FATAL ERROR: Reached heap limit"
    )


def test_kills_for_want_of_memory_are_told_apart():
    kernel = [exited(PREV, "killed", 9), manager(PREV, OOM), manager(PREV, OOM)]
    assert parse_journal(kernel, NOW).oom_kills == 2
    found = parse_journal([manager(PREV, OOMD), exited(PREV, "killed", 9)], NOW)
    assert (found.oomd, found.oom_kills, found.signal) == (True, 0, 9)


def test_an_exit_code_is_an_exit_code():
    found = parse_journal([exited(PREV, "exited", 78)], NOW)
    assert (found.exit_code, found.signal) == (78, None)


def test_a_stop_that_was_asked_for_comes_before_the_exit():
    stop = manager(PREV, STOPPING)
    assert parse_journal([stop, exited(PREV, "killed", 15)], NOW).asked
    assert not parse_journal([exited(PREV, "killed", 9), stop], NOW).asked


def test_the_service_cannot_speak_in_systemds_name():
    """A gateway logs what its users write: the fields of systemd's own are trusted, not text."""
    line = json.loads(exited(PREV, "killed", 9))
    del line["INVOCATION_ID"]
    line["_SYSTEMD_INVOCATION_ID"] = PREV
    assert parse_journal([json.dumps(line)], NOW).signal is None


def test_the_end_of_a_helper_is_not_the_end_of_the_gateway():
    message = "gw.service: Control process exited, code=exited, status=1/FAILURE"
    assert parse_journal([exited(PREV, "exited", 1, MESSAGE=message)], NOW).exit_code is None


@pytest.mark.parametrize(
    "lines", [[], ["", "{", "[]", "1", "null"], [said(NOW, "x")], [json.dumps({"MESSAGE": "x"})]]
)
def test_no_earlier_run_is_nothing_known(lines):
    assert parse_journal(lines, NOW) is None


def test_messages_that_are_no_text():
    lines = [said(PREV, [102, 111, 195]), said(PREV, None), said(PREV, "end"), said(PREV, [9999])]
    assert parse_journal(lines, NOW).tail == "fo\N{REPLACEMENT CHARACTER}\n\nend\n"


def test_what_was_said_is_bounded_and_keeps_its_end():
    tail = parse_journal([said(PREV, "x" * 4000) for _ in range(100)] + [said(PREV, "last")], NOW)
    assert len(tail.tail) <= 64 << 10
    assert tail.tail.endswith("last")


@pytest.mark.parametrize(
    ("text", "code", "signal"),
    [
        ("ExecMainCode=1\nExecMainStatus=78\nResult=exit-code\nInvocationID=b\n", 78, None),
        ("ExecMainCode=2\nExecMainStatus=9\nResult=oom-kill\n", None, 9),
        ("ExecMainCode=3\nExecMainStatus=6\nResult=core-dump\n", None, 6),
    ],
)
def test_the_units_properties_tell_where_the_journal_is_closed(text, code, signal):
    found = parse_properties(text, NOW, None)
    assert (found.exit_code, found.signal) == (code, signal)
    assert found.result in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ExecMainCode=0\nExecMainStatus=0\nResult=success\n",
        "ExecMainCode=1\nExecMainStatus=0\nResult=success\n",
        f"ExecMainCode=2\nExecMainStatus=9\nInvocationID={NOW}\n",
        "ExecMainCode=\nExecMainStatus=x\n",
    ],
)
def test_a_clean_end_and_a_running_service_are_nothing(text):
    assert parse_properties(text, NOW, None) is None


# --- which unit, and its tools -------------------------------------------------------------


@pytest.fixture
def cgroup(monkeypatch, tmp_path):
    def place(path):
        (tmp_path / "self").mkdir()
        (tmp_path / "self/cgroup").write_text(f"12:memory:{path}\n0::{path}\n")
        monkeypatch.setattr(platform_calls, "here", Linux(tmp_path))

    return place


def test_without_systemd_there_is_no_unit(cgroup):
    cgroup("/docker/abc")
    assert find_unit({}, None) is None
    assert find_unit({"INVOCATION_ID": NOW}, None) is None


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("/system.slice/openclaw.service", False),
        ("/user.slice/user-7.slice/user@7.service/app.slice/openclaw.service", True),
    ],
)
def test_our_own_unit_is_found_by_our_cgroup(cgroup, path, user):
    cgroup(path)
    env = {"INVOCATION_ID": NOW, "SYSTEMD_EXEC_PID": str(os.getpid())}
    assert find_unit(env, None) == Unit("openclaw.service", user, NOW)
    assert find_unit({"INVOCATION_ID": NOW}, None) == Unit("openclaw.service", user, NOW)
    assert find_unit(env, "openclaw") == Unit("openclaw.service", user, NOW)


def test_a_shell_in_somebody_elses_service_is_not_that_service(cgroup):
    cgroup("/user.slice/user@7.service/app.slice/terminal.service")
    assert find_unit({"INVOCATION_ID": NOW, "SYSTEMD_EXEC_PID": "1"}, None) is None


def test_a_service_that_was_named_is_asked_about_from_outside(cgroup):
    cgroup("/")
    user = os.getuid() != 0
    assert find_unit({}, "gw") == Unit("gw.service", user, None)
    assert find_unit({}, "gw.service") == Unit("gw.service", user, None)


def tool(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_journal_is_asked_and_then_the_unit(tmp_path, monkeypatch):
    (tmp_path / "journal").write_text(exited(PREV, "exited", 78) + "\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    env = dict(os.environ)
    tool(tmp_path, "journalctl", f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/journal')
    tool(
        tmp_path,
        "systemctl",
        f"echo \"$@\" >> {tmp_path}/asked; printf 'ExecMainCode=2\\nExecMainStatus=9\\n'",
    )
    unit = Unit("gw.service", True, NOW)
    assert read_service_end(unit, env, 5_000).exit_code == 78
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0] == "--user-unit=gw.service"
    assert {"--since=@5", "--output=json", "--quiet"} <= set(asked)

    (tmp_path / "journal").write_text("")
    assert read_service_end(unit, env, 5_000).signal == 9
    assert "--user show gw.service" in (tmp_path / "asked").read_text()


def test_tools_that_fail_hang_or_are_missing_know_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(systemd, "_TIMEOUT_S", 0.2)
    unit = Unit("gw.service", False, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_service_end(unit, dict(os.environ), 0) is None
    tool(tmp_path, "journalctl", "exec /bin/sleep 30")
    tool(tmp_path, "systemctl", "exit 4")
    assert read_service_end(unit, dict(os.environ), 0) is None
