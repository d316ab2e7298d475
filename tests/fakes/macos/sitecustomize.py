"""Makes Linux look like macOS to tailflip, in every Python with a copy of this on its PYTHONPATH.

`libc.so` beside it plays macOS's C library. What only Linux's Python has is taken away. The fake
gateway, which takes its start from /proc, writes the seconds into its lock that it would write on
macOS. Into `told` goes what macOS would not have borne: a file of the kernel's read by tailflip
itself (psutil may: it has a macOS half of its own), or a tool of systemd's run by it; and how
files were synced, and each tailflip that began.
"""

import fcntl
import os
import re
import select
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FULLFSYNC = 51  # fcntl(2) of macOS
EVFILT_PROC, NOTE_EXIT = -5, 0x80000000  # kqueue(2)
LINUX_ONLY = {
    os: (
        *("pidfd_open", "memfd_create", "eventfd", "copy_file_range", "splice", "fdatasync"),
        *("posix_fadvise", "posix_fallocate", "pipe2", "getxattr", "listxattr", "setxattr"),
        *("sched_getaffinity", "sched_setaffinity", "O_TMPFILE", "O_PATH", "O_DIRECT"),
    ),
    fcntl: ("F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_OFD_SETLK", "F_OFD_SETLKW", "F_ADD_SEALS"),
    select: ("epoll",),
}
KERNELS = ("/proc", "/sys")
FOREIGN = ("systemctl", "journalctl", "systemd-analyze", "loginctl")


class NotOnMacOS(Exception):
    """Nobody catches this."""


def tell(what):
    told = os.open(HERE / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.write(told, f"{what}\n".encode())
    os.close(told)


def is_ours():
    """Say whether it is tailflip that calls, and not psutil for it."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "").partition(".")[0]
        if name in ("psutil", "tailflip"):
            return name == "tailflip"
        frame = frame.f_back
    return False


def hook(event, args):
    if event in ("open", "os.listdir", "os.scandir"):
        path = args[0]
        if not isinstance(path, (str, bytes)):
            return
        path = os.fsdecode(path)
        if any(path == at or path.startswith(f"{at}/") for at in KERNELS) and is_ours():
            tell(f"opened {path}")
            raise NotOnMacOS(path)
    elif event == "subprocess.Popen":
        program = Path(os.fsdecode(args[0])).name
        if program in FOREIGN and is_ours():
            tell(f"ran {program}")


def fcntl_of_macos(fd, cmd, arg=0, real=fcntl.fcntl):
    if cmd == fcntl.F_GETLK and is_ours():
        return play_getlk(lambda asked: real(fd, cmd, asked), arg)
    if cmd != FULLFSYNC:
        return real(fd, cmd, arg)
    real_fsync(fd)
    tell("synced fully")
    return 0


def play_getlk(ask, arg):
    """Ask Linux with its own struct flock for who asks with that of macOS, <sys/fcntl.h>."""
    start, length, pid, kind, whence = struct.unpack("=qqihh", arg)
    answer = ask(struct.pack("hhqqi4x", kind, whence, start, length, pid))
    kind, whence, start, length, pid = struct.unpack("hhqqi4x", answer)
    return struct.pack("=qqihh", start, length, pid, kind, whence)


def fsync_of_macos(fd):
    real_fsync(fd)
    if is_ours():
        tell("synced")


def read_text_of_macos(path, *args, real=Path.read_text, **options):
    text = real(path, *args, **options)
    if not re.fullmatch(r"/proc/\d+/stat", str(path)):
        return text
    name, bracket, rest = text.rpartition(")")
    fields = rest.split(" ")  # the first is empty
    boot_s = int(re.search(r"^btime (\d+)", real(Path("/proc/stat")), re.MULTILINE)[1])
    fields[20] = str(boot_s + int(fields[20]) // os.sysconf("SC_CLK_TCK"))
    return name + bracket + " ".join(fields)


class Queue:
    """kqueue(2), as far as it tells of the end of one process."""

    def __init__(self):
        self.fd = None

    def control(self, changes, max_events, timeout=None):
        for event in changes or ():
            assert (event.filter, event.fflags) == (EVFILT_PROC, NOTE_EXIT)
            self.fd = real_pidfd_open(event.pid)  # fails as kqueue does: no such process
        if max_events:
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            poll.poll(timeout)

    def close(self):
        if self.fd is not None:
            os.close(self.fd)


@dataclass
class Event:
    pid: int
    filter: int
    flags: int
    fflags: int


real_pidfd_open = os.pidfd_open
select.kqueue, select.kevent = Queue, Event
select.KQ_FILTER_PROC, select.KQ_NOTE_EXIT = EVFILT_PROC, NOTE_EXIT
select.KQ_EV_ADD, select.KQ_EV_ONESHOT = 0x1, 0x10
for module, names in LINUX_ONLY.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
real_fsync = os.fsync
os.fsync, fcntl.fcntl = fsync_of_macos, fcntl_of_macos
Path.read_text = read_text_of_macos

from tailflip.base import platform_calls  # noqa: E402

platform_calls.here = platform_calls.MacOS(str(HERE / "libc.so"))
sys.addaudithook(hook)
if "tailflip" in sys.orig_argv:
    tell("began tailflip")
