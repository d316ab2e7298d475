"""Where the command begins, as `tailflip` and as `python -m tailflip`."""

import gc
import os
import sys


def open_standard() -> None:
    """Open /dev/null as standard input, output and error where these are closed.

    A file opened later would get the free number: the gateway would then take our lock for its
    output, and a message would be written into a ledger.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is this one: those before it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


open_standard()
# What imports make is no garbage: `tailflip.base.garbage` collects again once they are done.
gc.disable()
from tailflip.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
