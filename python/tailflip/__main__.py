"""Where the command begins, as `tailflip` and as `python -m tailflip`."""

import gc

# What imports make is no garbage; to look through it all the same takes a tenth of a start.
gc.disable()
from tailflip.cli import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    main()
