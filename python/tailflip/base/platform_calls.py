"""The calls that Linux and macOS answer in different ways.

macOS has no /proc, no cgroups, no systemd and no subreaper. Its fsync leaves bytes in the drive's
cache. Calls of psutil that work alike on both (environments, ports, memory) stay where they are
needed. Large modules are imported inside functions: `tailflip gate` runs before each start.

`here` is the system that runs; tests put the other one in its place. The macOS half was tested on
Linux with a stand-in for macOS's C library, and not on a Mac.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

_STATE, _START_TIME = 0, 19  # fields 3 and 22 of proc(5), counted after the name
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_ALL = (1 << 64) - 1
# FS_IOC_GETFLAGS, an _IOR of "long", and FS_IMMUTABLE_FL | FS_APPEND_FL of <linux/fs.h>.
_GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
_IMMUTABLE = 0x10 | 0x20
_ACL = "system.posix_acl_access"
_USUAL_PORTS = range(49_152, 65_536)  # RFC 6335; macOS, sysctl net.inet.ip.portrange
_FIRST_PIDS = "pid:[4026531836]"  # PROC_PID_INIT_INO of <linux/proc_ns.h>: the whole machine's
_FLOCK = "hhqqi4x"  # struct flock of 64 bits: type, whence, start, length, pid

# macOS: <sys/fcntl.h>, and <sys/sysctl.h> with the `struct kinfo_proc` that sysctl(3) fills, the
# same on x86-64 and arm64: its first member is the start time, a struct timeval.
_F_FULLFSYNC = 51
_PROCESS = (1, 14, 1)  # CTL_KERN, KERN_PROC, KERN_PROC_PID
_PROCESS_BYTES = 648
_SECONDS, _STATUS, _PID = slice(0, 8), 36, slice(40, 44)  # tv_sec, p_stat, p_pid
_SZOMB = 5
_IMMUTABLE_MACOS = 0x2 | 0x4 | 0x20000 | 0x40000  # UF_ and SF_, IMMUTABLE and APPEND, of chflags(2)
_BOOT_SESSION, _UUID_BYTES = b"kern.bootsessionuuid", 37
_FLOCK_MACOS = "qqihh"  # struct flock: start, length, pid, type, whence


@dataclass(frozen=True)
class Seen:
    """A process at one moment.

    `start` tells it from others that had its pid: clock ticks since boot on Linux, whole seconds
    since the epoch on macOS. The gateway writes the same number into its locks. Source: OpenClaw
    2026.9.6, `getFileLockProcessStartTime`; up to 2026.7 it writes none on macOS.
    """

    is_zombie: bool
    start: int


@dataclass(frozen=True)
class Linux:
    """Linux, with its /proc at `proc`."""

    proc: Path = Path("/proc")
    service_manager: Literal["systemd", "launchd"] = "systemd"

    def look_at(self, pid: int) -> Seen | None:
        """Look at a process; None if it is gone, or hidden from this user."""
        # The name may itself hold spaces and brackets.
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        if len(fields) <= _START_TIME or not fields[_START_TIME].isdigit():
            return None
        return Seen(fields[_STATE] in "ZX", int(fields[_START_TIME]))

    def boot_id(self) -> str | None:
        """Read the id of this boot, which changes at each boot; None where it cannot be read.

        A container that is started again keeps the id, and so do start times in ticks.
        """
        return self._read("sys/kernel/random/boot_id").strip() or None

    def is_in_container(self) -> bool:
        """Say whether the machine may have processes that have no pid here."""
        try:
            return str((self.proc / "self/ns/pid").readlink()) != _FIRST_PIDS
        except OSError:
            return False

    def cgroup_lines(self, pid: int | None) -> list[str]:
        """Read the cgroups of a process, with None those of our own; empty where there are none."""
        return self._read(f"{'self' if pid is None else pid}/cgroup").splitlines()

    def fsync(self, fd: int) -> None:
        """Sync a file's bytes, or a directory's names, onto the medium."""
        os.fsync(fd)

    def become_subreaper(self) -> bool:
        """Become the parent of orphaned descendants; False where the system cannot do that."""
        import ctypes  # noqa: PLC0415 - the gate does not need it

        libc = ctypes.CDLL(None)
        return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)

    def watch_end(self, pid: int) -> Callable[[], None] | None:
        """Return what waits for a process's end; None if it has ended, or cannot be watched."""
        try:
            fd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            return None

        def wait() -> None:
            try:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll()
            finally:
                os.close(fd)

        return wait

    def widen_pipe(self, fd: int, size_bytes: int) -> None:
        """Widen a pipe's buffer; where that is not allowed, the pipe keeps its size."""
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size_bytes)

    def find_lock_owner(self, fd: int) -> int | None:
        """Find another process that holds a POSIX lock on a file; takes no lock itself.

        Returns:
            Its pid, 0 if it cannot be seen from here, or None if no process holds a lock.

        Raises:
            OSError: the file system has no locks.
        """
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, wanted))
        return None if kind == fcntl.F_UNLCK else max(0, pid)

    def capabilities(self) -> int:
        """Read the mask of capabilities that this process has beyond its user's rights."""
        for line in self._read("self/status").splitlines():
            name, _, mask = line.partition(":")
            if name == "CapEff":
                return int(mask, 16)
        return _ALL if os.geteuid() == 0 else 0

    def is_immutable(self, path: Path) -> bool:
        """Say whether a file or directory is marked immutable or append-only."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            answer = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
        except OSError:
            return False  # the file system has no marks
        finally:
            os.close(fd)
        return bool(int.from_bytes(answer[:4], sys.byteorder) & _IMMUTABLE)

    def read_acl(self, fd: int) -> bytes | None:
        """Read a file's access control list; None where it has none."""
        try:
            return os.getxattr(fd, _ACL)
        except OSError:
            return None

    def write_acl(self, fd: int, acl: bytes) -> None:
        """Set a file's access control list, and with it the group's bits of the mode."""
        os.setxattr(fd, _ACL, acl)

    def read_own_ports(self) -> tuple[range, frozenset[int]]:
        """Read the range of source ports that the kernel uses, and the ports that it leaves out."""
        low, _, high = self._read("sys/net/ipv4/ip_local_port_range").partition("\t")
        reserved: set[int] = set()
        for part in self._read("sys/net/ipv4/ip_local_reserved_ports").split(","):
            first, _, last = part.strip().partition("-")
            if first.isdigit():
                reserved.update(range(int(first), int(last or first) + 1))
        try:
            return range(int(low), int(high) + 1), frozenset(reserved)
        except ValueError:
            return _USUAL_PORTS, frozenset(reserved)

    def _read(self, name: str) -> str:
        """Read a file of the kernel; empty if it is missing."""
        try:
            return (self.proc / name).read_text("utf-8", "replace")
        except OSError:
            return ""


@dataclass(frozen=True)
class MacOS:
    """macOS, called through `libc`: the C library of this process, or another file."""

    libc: str | None = None
    service_manager: Literal["systemd", "launchd"] = "launchd"

    def look_at(self, pid: int) -> Seen | None:
        """Look at a process; None if it is gone."""
        data = self._sysctl((*_PROCESS, pid), _PROCESS_BYTES)
        if len(data) < _PROCESS_BYTES or int.from_bytes(data[_PID], sys.byteorder) != pid:
            return None
        seconds = int.from_bytes(data[_SECONDS], sys.byteorder, signed=True)
        return Seen(data[_STATUS] == _SZOMB, seconds)

    def boot_id(self) -> str | None:
        """Read what is another one after each boot; None where it cannot be read."""
        data = self._sysctl(_BOOT_SESSION, _UUID_BYTES)
        return data.rstrip(b"\0").decode("ascii", "replace") or None

    def is_in_container(self) -> bool:
        """Say no: containers on a Mac run in a virtual machine."""
        return False

    def cgroup_lines(self, pid: int | None) -> list[str]:  # noqa: ARG002
        """Return no lines: macOS has no cgroups."""
        return []

    def fsync(self, fd: int) -> None:
        """Sync bytes past the drive's cache with F_FULLFSYNC; fsync leaves them there."""
        try:
            fcntl.fcntl(fd, _F_FULLFSYNC)
        except OSError as e:
            # Shares and foreign file systems may not have F_FULLFSYNC; then fsync has to do.
            if e.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY):
                raise
            os.fsync(fd)

    def become_subreaper(self) -> bool:
        """Say no: orphans go to launchd."""
        return False

    def watch_end(self, pid: int) -> Callable[[], None] | None:
        """Return what waits for a process's end; None if it has ended, or cannot be watched."""
        bsd: Any = select  # its kqueue is missing on Linux
        end = bsd.kevent(
            pid,
            filter=bsd.KQ_FILTER_PROC,
            flags=bsd.KQ_EV_ADD | bsd.KQ_EV_ONESHOT,
            fflags=bsd.KQ_NOTE_EXIT,
        )
        try:
            queue = bsd.kqueue()
        except OSError:
            return None
        try:
            queue.control([end], 0, 0)
        except OSError:
            queue.close()
            return None

        def wait() -> None:
            try:
                queue.control(None, 1, None)
            finally:
                queue.close()

        return wait

    def widen_pipe(self, fd: int, size_bytes: int) -> None:
        """Leave the pipe: on macOS it grows by itself, up to 64 KiB."""

    def find_lock_owner(self, fd: int) -> int | None:
        """Find another process that holds a POSIX lock on a file; takes no lock itself.

        Returns:
            Its pid, 0 if it has none here, or None if no process holds a lock.

        Raises:
            OSError: the file system has no locks.
        """
        wanted = struct.pack(_FLOCK_MACOS, 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, wanted)
        _, _, pid, kind, _ = struct.unpack(_FLOCK_MACOS, answer)
        return None if kind == fcntl.F_UNLCK else max(0, pid)

    def capabilities(self) -> int:
        """Return the mask for macOS, which has no capabilities: all for root, else none."""
        return _ALL if os.geteuid() == 0 else 0

    def is_immutable(self, path: Path) -> bool:
        """Say whether a file or directory is marked immutable or append-only."""
        try:
            flags: int = getattr(path.lstat(), "st_flags", 0)
        except OSError:
            return False
        return bool(flags & _IMMUTABLE_MACOS)

    def read_acl(self, fd: int) -> bytes | None:  # noqa: ARG002
        """Return None: Python cannot read these lists, and the gateway's own writes drop them."""
        return None

    def write_acl(self, fd: int, acl: bytes) -> None:
        """Leave the file: `read_acl` reads no list on macOS."""

    def read_own_ports(self) -> tuple[range, frozenset[int]]:
        """Return the default range of macOS."""
        return _USUAL_PORTS, frozenset()

    def _sysctl(self, name: bytes | tuple[int, ...], room_bytes: int) -> bytes:
        """Read a value from the kernel; empty when it has none."""
        import ctypes  # noqa: PLC0415 - Linux reads /proc instead

        libc = ctypes.CDLL(self.libc)
        data, size = ctypes.create_string_buffer(room_bytes), ctypes.c_size_t(room_bytes)
        answer = (data, ctypes.byref(size), None, ctypes.c_size_t(0))
        if isinstance(name, bytes):
            failed = libc.sysctlbyname(name, *answer)
        else:
            numbers = (ctypes.c_int * len(name))(*name)
            failed = libc.sysctl(numbers, ctypes.c_uint(len(name)), *answer)
        return b"" if failed else data.raw[: size.value]


here: Linux | MacOS = Linux() if sys.platform == "linux" else MacOS()
