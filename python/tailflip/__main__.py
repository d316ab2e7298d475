"""`python -m tailflip`."""

from tailflip.cli import main

main()
