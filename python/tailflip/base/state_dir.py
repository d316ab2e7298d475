"""The state directory of tailflip: what it removed, and its record of what it did.

$TAILFLIP_STATE_DIR, else $XDG_STATE_HOME/tailflip, else ~/.local/state/tailflip
  ledger.sqlite                  intents and outcomes
  claim                          locked by the tailflip process that may act
  archive/<action>/              records.zst, manifest.json
  quarantine/<action>.json       damaged stores, byte for byte
  scratch/                       what OpenClaw imports for a restore; gone when that ends
  guards/<hash>.lock             locked by the supervisor of a gateway
  guards/<hash>.alerts           locked by the pass that tells people of a gateway
  guards/<life>.stderr           a FIFO: the standard error of a guarded gateway
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming
from tailflip.base.errors import CannotCreate, NoPermission, TryLater
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.base.durable import Disk

_PRIVATE = 0o700
_MAX_NOTE_BYTES = 4096
_ENDS = "ends_with_its_note"
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.05


@dataclass(frozen=True)
class Home:
    """The state directory of tailflip itself; by default outside the gateway's folders.

    `is_given`: the directory was named, and is not the default by XDG or home directory.
    """

    root: Path
    is_given: bool = True

    @classmethod
    def locate(cls, env: Mapping[str, str]) -> Home:
        """Find the directory without reading a disk; XDG wants relative paths ignored."""
        if own := env.get("TAILFLIP_STATE_DIR"):
            path = Path(os.path.expanduser(own))  # noqa: PTH111 - Path.expanduser may raise
            try:
                return cls(path.absolute())
            except OSError:
                return cls(path)  # the current directory is gone, and so is this one below it
        shared = env.get("XDG_STATE_HOME", "")
        if shared and Path(shared).is_absolute():
            return cls(Path(shared) / "tailflip", is_given=False)
        user = env.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - Path.home may raise
        # A user id without a passwd entry, as in some containers, has no home directory.
        base = Path(user if Path(user).is_absolute() else "/")
        return cls(base / ".local" / "state" / "tailflip", is_given=False)

    @property
    def ledger(self) -> Path:
        """The database of actions."""
        return self.root / "ledger.sqlite"

    @property
    def archives(self) -> Path:
        """The directory of archives, with one directory for each action."""
        return self.root / "archive"

    @property
    def guards(self) -> Path:
        """The directory of supervisors' locks, one for each gateway."""
        return self.root / "guards"

    @property
    def quarantine(self) -> Path:
        """The directory of damaged stores."""
        return self.root / "quarantine"

    @property
    def scratch(self) -> Path:
        """The directory of the one restore that takes OpenClaw's own import, while it runs."""
        return self.root / "scratch"

    def archive(self, action_id: str) -> Path:
        """Return the directory of one action."""
        return self.archives / action_id

    def records(self, action_id: str) -> Path:
        """Return the stream of one action's removed bytes."""
        return self.archives / action_id / "records.zst"

    def quarantined(self, action_id: str) -> Path:
        """Return the damaged store that one action set aside."""
        return self.quarantine / f"{action_id}.json"

    def create(self, disk: Disk) -> None:
        """Make the missing directories, readable by their owner alone."""
        for path in (
            *reversed(self.root.parents),
            self.root,
            self.archives,
            self.quarantine,
            self.guards,
        ):
            try:
                if not path.is_dir():
                    self._refuse_trap(path)
                    disk.mkdir(path, _PRIVATE)
                    disk.fsync_dir(path.parent)
                elif path.is_relative_to(self.root):
                    _require_own(path, may_be_link=path == self.root)
            except FileExistsError:
                if not path.is_dir():
                    raise CannotCreate(f"not a directory: {path}; nothing was changed") from None
            except OSError as e:
                raise CannotCreate(
                    f"cannot create state directory {path}: {e.strerror}; nothing was changed",
                    hint="set TAILFLIP_STATE_DIR to a directory you may write to",
                ) from e

    def _refuse_trap(self, path: Path) -> None:
        """Refuse to make, as root, a directory in another user's home, which locks the user out."""
        owner = path.parent.stat().st_uid
        if not self.is_given and os.geteuid() == 0 and owner != 0:
            raise NoPermission(
                f"{path.parent} belongs to user id {owner}, and we are root: a directory of "
                "root's there would shut its owner out; nothing was changed",
                hint="run as that user, or set TAILFLIP_STATE_DIR to a directory of root's",
            )

    @contextmanager
    def claim(self, disk: Disk) -> Iterator[None]:
        """Hold the lock of the tailflip that acts; another that asks for it meanwhile is refused.

        The kernel frees the lock however the process ends.
        """
        self.create(disk)
        path = self.root / "claim"
        with naming(path):
            fd = disk.open_lock(path)
        try:
            with naming(path):
                if not _lock_now(fd):
                    raise TryLater(
                        f"another tailflip is at work in {self.root}; nothing was changed",
                        hint="wait for it, and try again: a store takes it seconds",
                    )
            yield
        finally:
            os.close(fd)

    def list_fifos(self) -> list[Path]:
        """List the FIFOs for guarded gateways' standard error; none if they may not be read."""
        try:
            return sorted(self.guards.glob("*.stderr"))
        except OSError:
            return []

    @contextmanager
    def supervise(self, guard: str, mode: Presence, started_ms: int, disk: Disk) -> Iterator[None]:
        """Hold the lock of a gateway's supervisor; the kernel frees it however the process ends.

        Args:
            guard: the real path of the gateway's state directory.
            mode: the verb that guards; for people.
            started_ms: when the supervisor began; for people.
            disk: makes the directories.

        Raises:
            TryLater: the gateway has a supervisor.
        """
        self.create(disk)
        path = self._supervisor(guard)
        with naming(path):
            fd = disk.open_lock(path)
        try:
            with naming(path):
                if not _lock_soon(fd):
                    other = self.read_supervisor(guard)
                    who = f"tailflip {other.mode}, pid {other.pid}" if other else "a tailflip"
                    raise TryLater(
                        f"this gateway is guarded already, by {who}: {guard}",
                        hint="stop that one first; `tailflip status` shows what it does",
                    )
                about = {"pid": os.getpid(), "mode": mode, "started_ms": started_ms}
                os.ftruncate(fd, 0)
                disk.write(fd, json.dumps({"guard": guard, **about, _ENDS: True}).encode())
            yield
            # Who ends as it should takes its note along: what is left is of one that was killed.
            with suppress(OSError):
                os.ftruncate(fd, 0)
        finally:
            os.close(fd)

    @contextmanager
    def tell(self, guard: str, disk: Disk) -> Iterator[bool]:
        """Hold the lock of the pass that tells people of a gateway; False: another one has it."""
        self.create(disk)
        path = self._supervisor(guard).with_suffix(".alerts")
        with naming(path):
            fd = disk.open_lock(path)
        try:
            with naming(path):
                is_ours = _lock_now(fd)
            yield is_ours
        finally:
            os.close(fd)

    def read_supervisor(self, guard: str) -> Supervisor | None:
        """Read which supervisor guards a gateway now; None if there is none."""
        try:
            fd = os.open(self._supervisor(guard), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_supervisor(os.pread(fd, _MAX_NOTE_BYTES, 0))
        finally:
            os.close(fd)
        return None

    def find_lost_supervisor(self, guard: str) -> Supervisor | None:
        """Find the supervisor that ended without a word, and was not followed by another."""
        try:
            note = self._supervisor(guard).read_bytes()[:_MAX_NOTE_BYTES]
        except OSError:
            return None
        if self.read_supervisor(guard) is not None:
            return None
        try:
            # One of an older tailflip left its note in any case.
            return _read_supervisor(note) if json.loads(note).get(_ENDS) else None
        except (ValueError, AttributeError):
            return None

    def untold(self, guard: str) -> Path:
        """Return the file whose time says when people were told without the ledger."""
        return self._supervisor(guard).with_suffix(".untold")

    def _supervisor(self, guard: str) -> Path:
        digest = hashlib.sha256(os.fsencode(guard)).hexdigest()[:16]
        return self.guards / f"{digest}.lock"


def _require_own(path: Path, *, may_be_link: bool) -> None:
    """Refuse a directory that another user prepared: archives hold what people said.

    Root may have made the directory: volumes of containers are often root's.
    """
    if path.is_symlink() and not may_be_link:
        raise NoPermission(f"not a directory but a link: {path}; nothing was changed")
    owner = path.stat().st_uid
    if owner not in (os.geteuid(), 0):
        raise NoPermission(
            f"state directory belongs to user id {owner}, we are {os.geteuid()}: {path}; "
            "nothing was changed",
            hint="set TAILFLIP_STATE_DIR to a directory of your own",
        )


def _lock_soon(fd: int) -> bool:
    """Take a lock, with a few tries: `read_supervisor` holds it for a moment to test it."""
    for _ in range(_LOCK_TRIES):
        if _lock_now(fd):
            return True
        clock.sleep_s(_LOCK_PAUSE_S)
    return False


def _lock_now(fd: int) -> bool:
    """Take a lock without waiting; False: another process has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_supervisor(note: bytes) -> Supervisor:
    """Parse the note of a lock's holder; a note that is being written gives pid 0."""
    try:
        about = json.loads(note)
        return Supervisor(int(about["pid"]), Presence(about["mode"]), int(about["started_ms"]))
    except (ValueError, KeyError, TypeError):
        return Supervisor(0, Presence.UNKNOWN, 0)


class Presence(StrEnum):
    """The verb of a process that guards a gateway for as long as it runs."""

    RUN = "run"
    WATCH = "watch"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Supervisor:
    """The process that guards a gateway."""

    pid: int
    mode: Presence
    started_ms: int
