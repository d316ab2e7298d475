"""Finds the living processes of a state directory in the process table.

A gateway's lock can be gone, or lie in an unknown temp folder; its port may be any. Its process
still shows whose it is: by its environment, which names the state directory, and by its open
files. Its name does not: up to 2026.4 a gateway overwrites its arguments with `openclaw-gateway`
(and so does `openclaw gateway status`); from 2026.5 on they can be read. So a process counts as a
gateway if it also listens or holds a ledger open; without either, it may be one.

Source: what 2026.3.28, 4.14, 5.28, 7.35, 8.1 and 9.6 leave in /proc, looked at while they ran.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.base.errors import TailflipError
from tailflip.base.remembered import remembered
from tailflip.flow.late import dataclass
from tailflip.observe.installation import find_state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TITLE = "openclaw-gateway"
_NAMES = ("openclaw", "clawdbot", "moltbot")
_PROGRAMS = (*_NAMES, "node", "bun", "deno")
_ENTRIES = ("index.js", "index.mjs", "entry.js", "entry.mjs")
# Words after `gateway` that make the command a question to a gateway.
_QUESTIONS = frozenset(
    {
        *("call", "cost-usage", "diagnostics", "discover", "health", "help", "install", "probe"),
        *("restart", "stability", "start", "status", "stop", "suspend", "uninstall", "usage-cost"),
    }
)
_LEDGERS = ("state/", "tasks/", "flows/", "cron/", "subagents/", "agents/", "tmp/", "memory/")
_WRITTEN = (".sqlite", "-wal", "-shm", "-journal", ".json", ".jsonl", ".lock", ".tmp")
_LISTEN = "0A"  # the state's number in /proc/net/tcp
_RUN_KEY = b"OPENCLAW_MCP_SESSION_KEY="
_DEV = "dev"


@dataclass(frozen=True)
class Process:
    """One process that may be a gateway of the state directory, with the evidence.

    `temp_roots` are folders for its temporary files. `is_ours` None: its state directory is
    unknown, for its environment cannot be read. `ledger` is a ledger that it writes.
    """

    pid: int
    name: str
    temp_roots: tuple[str, ...]
    serves: bool
    is_ours: bool | None
    listens: bool = False
    ledger: str | None = None

    @property
    def is_gateway(self) -> bool:
        """Say whether the process is a gateway for certain."""
        works = self.listens or self.ledger is not None
        return self.serves and self.is_ours is True and works


@dataclass(frozen=True)
class Table:
    """The result of one pass over the process table; `hidden` says why it may not show all."""

    found: tuple[Process, ...] = ()
    hidden: str | None = None


def read_processes(state_dir: Path) -> Table:
    """Read the process table for gateways of a state directory and writers of its ledgers."""
    if not isinstance(platform_calls.here, platform_calls.Linux):
        return _read_elsewhere(state_dir)
    proc = platform_calls.here.proc
    owner = _Owner.read(state_dir)
    found = [each for pid in _list_pids(proc) if (each := _look(proc, pid, owner)) is not None]
    return Table(tuple(found), _find_hidden(proc))


def read_run_keys() -> frozenset[str]:
    """Collect the session keys of living CLI backends, which hold no lock.

    Source: `OPENCLAW_MCP_SESSION_KEY`, which the gateway gives to `claude` and its like; for a
    cron run it is the key of the job's base entry.
    """
    keys: set[str] = set()
    for data in _list_environments():
        start = data.find(_RUN_KEY)
        if start == 0 or (start > 0 and data[start - 1] == 0):
            key = data[start + len(_RUN_KEY) :].partition(b"\0")[0].decode("utf-8", "replace")
            keys |= {key} - {""}
    return frozenset(keys)


def is_serving(argv: Sequence[str]) -> bool:
    """Say whether a command line is a gateway's: its title, or `… gateway [run] --…`."""
    if not argv:
        return False
    if argv[0] == _TITLE:
        return True
    try:
        at = argv.index("gateway", 1)
    except ValueError:
        return False
    is_openclaw = any(
        any(name in word for name in _NAMES) or word.rpartition("/")[2] in _ENTRIES
        for word in argv[:at]
    )
    return is_openclaw and (at + 1 == len(argv) or argv[at + 1] not in _QUESTIONS)


def list_temp_roots(env: Mapping[str, str]) -> tuple[str, ...]:
    """List the folders where a Node with this environment may keep temporary files."""
    return tuple(root for name in ("TMPDIR", "TMP", "TEMP") if (root := env.get(name)))


@dataclass(frozen=True)
class _Owner:
    """The state directory that processes are compared with."""

    real: str
    identity: tuple[int, int]
    uid: int
    others_write: bool

    @classmethod
    def read(cls, state_dir: Path) -> _Owner:
        info = state_dir.stat()
        others = bool(info.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        real = os.path.realpath(state_dir)
        return cls(real, (info.st_dev, info.st_ino), info.st_uid, others)

    def may_be_written_by(self, uid: int) -> bool:
        return self.others_write or uid in (0, self.uid)


def _list_pids(proc: Path) -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir(proc) if name.isdigit() and int(name) != own]  # noqa: PTH208


def _look(proc: Path, pid: int, owner: _Owner) -> Process | None:
    folder = f"{proc}/{pid}"
    argv = _read_argv(folder)
    if not argv or _is_tailflip(argv):
        return None
    serves = is_serving(argv)
    held, sockets = _read_descriptors(folder, owner, wants_sockets=serves)
    if not serves and held is None:
        return None
    name = os.path.basename(argv[0])  # noqa: PTH119
    raw = _read(f"{folder}/environ")
    env = None if raw is None else _parse_environment(raw)
    is_ours: bool | None = held is not None
    if held is None and env is None:
        uid = _read_uid(folder)
        if uid is None or not owner.may_be_written_by(uid):
            return None
        is_ours = None
    elif held is None and env is not None:
        is_ours = _leads_to(owner, folder, env, argv)
    listens = bool(sockets) and bool(sockets & _read_listening(folder))
    if not listens and held is None and not _is_program(argv[0]):
        return None  # a shell, `sudo` or an init with the gateway's words in its own
    return Process(pid, name, list_temp_roots(env or {}), serves, is_ours, listens, held)


@remembered
def _read_argv(folder: str) -> tuple[str, ...]:
    """Read the command line of a process; that of a zombie, or of a kernel thread, is empty."""
    data = _read(f"{folder}/cmdline") or b""
    return tuple(word for word in data.decode("utf-8", "surrogateescape").split("\0") if word)


def _is_tailflip(argv: Sequence[str]) -> bool:
    """Say whether a command line is tailflip's; it may hold the gateway's words."""
    names = {word.rpartition("/")[2] for word in argv[:2]}
    return "tailflip" in names or any(pair == ("-m", "tailflip") for pair in pairwise(argv))


def _is_program(word: str) -> bool:
    return os.path.basename(word).startswith(_PROGRAMS)  # noqa: PTH119


def _read_descriptors(
    folder: str, owner: _Owner, *, wants_sockets: bool
) -> tuple[str | None, frozenset[str]]:
    """Find a ledger that a process holds open for writing, and its sockets."""
    sockets: set[str] = set()
    held = None
    prefix = f"{owner.real}/"
    for name, path in _read_links(folder):
        if wants_sockets and path.startswith("socket:["):
            sockets.add(path[8:-1])
        elif held is None and path.startswith(prefix) and _is_ledger(path[len(prefix) :]):
            flags = _read(f"{folder}/fdinfo/{name}") or b""
            held = path if _is_for_writing(flags) else None
    return held, frozenset(sockets)


@remembered
def _read_links(folder: str) -> tuple[tuple[str, str], ...]:
    """Read what the descriptors of a process lead to; none where we may not look."""
    links: list[tuple[str, str]] = []
    try:
        names = os.listdir(f"{folder}/fd")  # noqa: PTH208
    except OSError:
        return ()
    for name in names:
        with suppress(OSError):
            links.append((name, os.readlink(f"{folder}/fd/{name}")))  # noqa: PTH115
    return tuple(links)


def _is_ledger(path: str) -> bool:
    return path.startswith(_LEDGERS) and path.removesuffix(" (deleted)").endswith(_WRITTEN)


def _is_for_writing(text: bytes) -> bool:
    words = text.split()
    try:
        flags = int(words[words.index(b"flags:") + 1], 8)
    except (ValueError, IndexError):
        return False
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


@remembered
def _read_listening(folder: str) -> frozenset[str]:
    """Read the listening sockets in a process's network namespace."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in (_read(f"{folder}/net/{name}") or b"").decode("ascii", "replace").splitlines():
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN:  # noqa: PLR2004 - proc(5): st, inode
                found.add(fields[9])
    return frozenset(found)


def _leads_to(owner: _Owner, folder: str, env: Mapping[str, str], argv: Sequence[str]) -> bool:
    """Say whether a process's environment leads to the state directory, by its view of the disk."""
    profile = _find_profile(argv) or env.get("OPENCLAW_PROFILE") or None
    try:
        state = str(find_state_dir(_make_absolute(env, folder), None, profile))
    except TailflipError:
        return False
    for path in (f"{folder}/root{state}", state):
        try:
            info = os.stat(path)  # noqa: PTH116
        except OSError:
            continue
        return (info.st_dev, info.st_ino) == owner.identity
    return False


def _make_absolute(env: Mapping[str, str], folder: str) -> Mapping[str, str]:
    """Resolve a relative state directory from the process's current directory."""
    given = env.get("OPENCLAW_STATE_DIR", "").strip()
    if not given or given.startswith(("/", "~")):
        return env
    try:
        cwd = os.readlink(f"{folder}/cwd")  # noqa: PTH115
    except OSError:
        return env
    return {**env, "OPENCLAW_STATE_DIR": os.path.join(cwd, given)}  # noqa: PTH118


def _find_profile(argv: Sequence[str]) -> str | None:
    for at, word in enumerate(argv):
        if word == "--dev":
            return _DEV
        if word == "--profile" and at + 1 < len(argv):
            return argv[at + 1]
        if word.startswith("--profile="):
            return word.partition("=")[2]
    return None


def _parse_environment(data: bytes) -> dict[str, str]:
    pairs = (each.partition("=") for each in data.decode("utf-8", "surrogateescape").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def _list_environments() -> Iterator[bytes]:
    if isinstance(platform_calls.here, platform_calls.Linux):
        proc = platform_calls.here.proc
        for pid in _list_pids(proc):
            yield _read(f"{proc}/{pid}/environ") or b""
        return
    for _, _, env in _list_with_psutil():
        yield b"\0".join(f"{name}={value}".encode() for name, value in (env or {}).items())


def _find_hidden(proc: Path) -> str | None:
    """Say why processes of other users may be missing; None where the table shows all."""
    if os.getuid() == 0 or _read(f"{proc}/1/cmdline") is not None:
        return None
    return "the processes of other users are hidden"


def _read_elsewhere(state_dir: Path) -> Table:
    """Read the process table of macOS; a process's environment names its state directory."""
    owner = _Owner.read(state_dir)
    found = []
    for pid, argv, env in _list_with_psutil():
        if pid == os.getpid() or _is_tailflip(argv) or not is_serving(argv):
            continue
        if not _is_program(argv[0]):
            continue
        is_ours = None if env is None else _leads_to(owner, "", env, argv)
        name = os.path.basename(argv[0])  # noqa: PTH119
        roots = list_temp_roots(env or {})
        found.append(Process(pid, name, roots, serves=True, is_ours=is_ours, listens=_listens(pid)))
    return Table(tuple(found))


def _list_with_psutil() -> Iterator[tuple[int, list[str], dict[str, str] | None]]:
    import psutil  # noqa: PLC0415 - Linux reads /proc instead

    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        argv = [word for word in process.info["cmdline"] or () if word]
        if argv and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield process.pid, argv, process.info["environ"]


def _listens(pid: int) -> bool:
    import psutil  # noqa: PLC0415

    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN for each in found)


def _read_uid(folder: str) -> int | None:
    try:
        return os.stat(folder).st_uid  # noqa: PTH116
    except OSError:
        return None


def _read(path: str) -> bytes | None:
    """Read a file of the kernel; None if that is not allowed, or the process is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return None
    finally:
        os.close(fd)
