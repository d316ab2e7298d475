"""Finds how many entries of a store a gateway keeps: it deletes the oldest beyond, chats too.

Source: `resolveMaintenanceConfigFromInput`, `resolveSessionEntryMaintenanceHighWater` and
`capEntryCount` of OpenClaw 2026.4.29, 5.28 and 7.35: at a high water of a tenth more, or of 25
more, the newest by `updatedAt` stay. A run that never ended is newer than most chats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.capabilities import EntryCap
from tailflip.observe.agents import read_section

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Capabilities
    from tailflip.observe.installation import Installation

_SHARE, _LEAST_SLACK = 10, 25
_MOST_STRICT = 49  # so small a cap has no slack


def find_entry_cap(installation: Installation, capabilities: Capabilities) -> EntryCap | None:
    """Find how many entries a gateway keeps of each store; None if it deletes none.

    Args:
        installation: whose configuration may say otherwise.
        capabilities: of the release that starts next.
    """
    told = read_section(read_section(installation.config, "session"), "maintenance")
    mode, most = told.get("mode"), told.get("maxEntries")
    default = capabilities.most_if_told if mode == "enforce" else capabilities.most_entries
    if mode == "warn" or default is None:
        return None
    kept = most if isinstance(most, int) and not isinstance(most, bool) and most > 0 else default
    slack = 1 if kept <= _MOST_STRICT else max(_LEAST_SLACK, -(-kept // _SHARE))
    return EntryCap(kept, kept + slack)
