"""What a sender is handed: an address, and nothing of the settings that it came from."""

from __future__ import annotations

from dataclasses import field

from tailflip.flow.late import dataclass


@dataclass(frozen=True)
class Address:
    """One address: a URL, or the program that is run."""

    url: str = field(default="", repr=False)
    program: str = ""
