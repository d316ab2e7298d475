"""Reads how systemd saw a service end: from the journal, else from the unit's properties.

`find_unit` returns a unit to ask about if systemd started us or a service was named. Every message
of systemd about a unit has a fixed id; its text is for people and may be translated.
Source: systemd 252, sd-messages.h and `unit_log_process_exit` (which logs failures).
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tailflip.base import platform_calls
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TIMEOUT_S = 2.0
_LINES = 300
_MAX_TAIL_CHARS = 64 << 10
_EXITED = "98e322203f7a4ed290d09fe03c09fe15"
_STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
_OOM_KILLED = "fe6faa94e7774663a0da52717891d8ef"
_OOMD_KILLED = "d989611b15e44c9dbf31e3c81256e4ed"
_FIELDS = (
    "MESSAGE,MESSAGE_ID,EXIT_CODE,EXIT_STATUS,UNIT_RESULT,"
    "INVOCATION_ID,USER_INVOCATION_ID,_SYSTEMD_INVOCATION_ID"
)
_PROPERTIES = "ExecMainCode,ExecMainStatus,Result,InvocationID"
_CLD_EXITED, _CLD_KILLED, _CLD_DUMPED = "1", "2", "3"  # waitid(2)


@dataclass(frozen=True)
class Unit:
    """A service; `user` when the user's own systemd runs it."""

    name: str
    user: bool
    invocation: str | None  # of the run that we are part of, which has not ended


@dataclass(frozen=True)
class ServiceEnd:
    """The end of a service's last run, as systemd saw it.

    `exit_code` or `signal` are of its main process, both None after a clean end. `asked`: a stop
    was asked for. `result` is systemd's word, such as oom-kill or watchdog. `tail` is the last
    output of the service, which may hold secrets.
    """

    exit_code: int | None = None
    signal: int | None = None
    asked: bool = False
    oom_kills: int = 0
    oomd: bool = False
    result: str | None = None
    at_ms: int | None = None
    tail: str = ""


def find_unit(env: Mapping[str, str], service: str | None) -> Unit | None:
    """Find the unit to ask about: the named one, else the one that started us.

    A shell in a service inherits its INVOCATION_ID, so SYSTEMD_EXEC_PID (since 248), the process
    that systemd started, must be ours where it is set. launchd keeps no record of ends.
    """
    if platform_calls.here.service_manager != "systemd":
        return None
    own, own_user = _read_own_unit()
    if service:
        name = service if "." in service else f"{service}.service"
        if name == own:
            return Unit(name, own_user, env.get("INVOCATION_ID") or None)
        return Unit(name, os.getuid() != 0, None)
    invocation, started = env.get("INVOCATION_ID"), env.get("SYSTEMD_EXEC_PID")
    if not invocation or own is None or started not in (None, str(os.getpid())):
        return None
    return Unit(own, own_user, invocation)


def read_service_end(unit: Unit, env: Mapping[str, str], since_ms: int) -> ServiceEnd | None:
    """Read how the unit's last run ended; None when that is unknown. Takes at most 4 s."""
    kind = "--user-unit" if unit.user else "--unit"
    text = _run(
        [
            *("journalctl", f"{kind}={unit.name}", "--output=json", f"--output-fields={_FIELDS}"),
            *(f"--lines={_LINES}", "--quiet", "--no-pager", f"--since=@{since_ms // 1000}"),
        ],
        env,
    )
    end = parse_journal(text.splitlines(), unit.invocation) if text else None
    if end is not None and (end.asked or end.exit_code is not None or end.signal is not None):
        return end
    scope = ["--user"] if unit.user else []
    shown = _run(["systemctl", *scope, "show", unit.name, "--property", _PROPERTIES], env)
    return parse_properties(shown or "", unit.invocation, end)


def read_restarts(unit: Unit, env: Mapping[str, str]) -> int | None:
    """Read how often systemd restarted the unit by itself; None when that is unknown.

    A person's start adds nothing. After an end it sets the count to 0; one that cuts a pending
    restart short leaves the count (systemd 252, `service_enter_dead`, `service_stop`).
    """
    scope = ["--user"] if unit.user else []
    shown = _run(["systemctl", *scope, "show", unit.name, "--property", "NRestarts"], env)
    name, _, count = (shown or "").strip().partition("=")
    return int(count) if name == "NRestarts" and count.isdigit() else None


def parse_journal(lines: Iterable[str], invocation: str | None) -> ServiceEnd | None:
    """Judge the last run in journal lines (JSON, oldest first) that is not `invocation`."""
    entries = [entry for line in lines if (entry := _parse_entry(line)) is not None]
    runs = [run for entry in entries if (run := _run_of(entry)) not in (None, invocation)]
    if not runs:
        return None
    end = ServiceEnd()
    said: list[str] = []
    for entry in entries:
        if _run_of(entry) == runs[-1]:
            end = _add(end, entry)
            if not _is_of_systemd(entry):
                said.append(_text(entry.get("MESSAGE")))
    return replace(end, tail="\n".join(said)[-_MAX_TAIL_CHARS:])


def parse_properties(
    text: str, invocation: str | None, end: ServiceEnd | None
) -> ServiceEnd | None:
    """Add the end of a main process from `systemctl show`, if it is of the last run."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    code, status = pairs.get("ExecMainCode"), pairs.get("ExecMainStatus", "")
    if not status.isdigit() or (invocation and pairs.get("InvocationID") == invocation):
        return end  # the run has not ended: its properties say nothing
    end = end or ServiceEnd()
    result = pairs.get("Result") or end.result
    if code == _CLD_EXITED and int(status):
        return replace(end, exit_code=int(status), result=result)
    if code in (_CLD_KILLED, _CLD_DUMPED):
        return replace(end, signal=int(status), result=result)
    return end if end != ServiceEnd() else None


def _add(end: ServiceEnd, entry: Mapping[str, Any]) -> ServiceEnd:
    """Add one entry of the journal."""
    what = entry.get("MESSAGE_ID") if _is_of_systemd(entry) else None
    if what == _STOPPING and end.exit_code is None and end.signal is None:
        return replace(end, asked=True)
    if what == _OOM_KILLED:
        return replace(end, oom_kills=end.oom_kills + 1)
    if what == _OOMD_KILLED:
        return replace(end, oomd=True)
    if what == _FAILED:
        return replace(end, result=_text(entry.get("UNIT_RESULT")) or None)
    status = _text(entry.get("EXIT_STATUS"))
    # systemd calls a helper such as ExecStartPre "Control process", and does not translate that.
    if what == _EXITED and status.isdigit() and "Main process" in _text(entry.get("MESSAGE")):
        by_itself = entry.get("EXIT_CODE") == "exited"
        return replace(
            end,
            exit_code=int(status) if by_itself else None,
            signal=None if by_itself else int(status),
            at_ms=_time_ms(entry),
        )
    is_over = end.exit_code is not None or end.signal is not None
    return end if is_over else replace(end, at_ms=_time_ms(entry))


def _is_of_systemd(entry: Mapping[str, Any]) -> bool:
    """Say whether systemd wrote an entry about the unit, and not the service itself."""
    return "INVOCATION_ID" in entry or "USER_INVOCATION_ID" in entry


def _run_of(entry: Mapping[str, Any]) -> str | None:
    names = ("INVOCATION_ID", "USER_INVOCATION_ID", "_SYSTEMD_INVOCATION_ID")
    return next((str(entry[name]) for name in names if entry.get(name)), None)


def _time_ms(entry: Mapping[str, Any]) -> int | None:
    text = _text(entry.get("__REALTIME_TIMESTAMP"))
    return int(text) // 1000 if text.isdigit() else None


def _parse_entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _text(value: Any) -> str:
    """Read a field: text, or bytes that are not UTF-8, or null where it was too long."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(type(n) is int and 0 <= n < 256 for n in value):  # noqa: PLR2004
        return bytes(value).decode("utf-8", "replace")
    return ""


def _read_own_unit() -> tuple[str | None, bool]:
    """Read the service of our own cgroup, and whether it is the user's."""
    for line in platform_calls.here.cgroup_lines(None):
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "name=systemd" or (number == "0" and not controllers):
            parts = path.split("/")
            if parts[-1].endswith(".service"):
                return parts[-1], any(part.startswith("user@") for part in parts[:-1])
    return None, False


def _run(command: Sequence[str], env: Mapping[str, str]) -> str | None:
    """Run one of systemd's tools; None when it is missing, fails, or takes too long."""
    try:
        done = subprocess.run(
            command,
            env={**env, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
