"""Settings of those who are told, and the children that tell them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from support.guarded_gateway import wait_until

if TYPE_CHECKING:
    from support.guarded_gateway import Place

UUID = "01234567-89ab-cdef-0123-456789abcdef"


def tell(place: Place, address: str = "", more: str = "") -> None:
    """Name a receiver in the settings, and what else is in them."""
    path = place.root / "config.toml"
    phone = f"[alerts.to.phone]\nurl = '{address}'\n" if address else ""
    path.write_text(f"{phone}{more}")
    path.chmod(0o600)
    place.env["TAILFLIP_CONFIG"] = str(path)


def beat(place: Place, address: str, every_s: float, when: str = "well") -> str:
    """Name where the heartbeat goes."""
    path = place.root / "heartbeat.url"
    path.write_text(address)
    path.chmod(0o600)
    return f"[heartbeat]\nurl_file = '{path}'\nevery_s = {every_s}\nwhen = '{when}'\n"


def list_errands(place: Place) -> list[psutil.Process]:
    """The children that tell people of this place, and what they started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            env, words = process.environ(), set(process.cmdline())
            if env.get("TAILFLIP_CONFIG") == place.env["TAILFLIP_CONFIG"] and words & {
                "_turn",
                "_send",
            }:
                found.append(process)
    return found


def wait_quiet(place: Place) -> None:
    wait_until(lambda: not list_errands(place), "end of the errands", 30)
