"""Where tailflip works: its own state directory, and the disk that everything changes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home


@dataclass(frozen=True)
class Workspace:
    """What whoever acts needs: the state directory of tailflip, and the effects on the disk."""

    home: Home
    disk: Disk

    def create(self) -> None:
        """Make the directories of the state directory that are missing.

        Raises:
            CannotCreate: one of them cannot be made.
            NoPermission: one of them is another user's.
        """
        self.home.create(self.disk)

    def claim(self) -> AbstractContextManager[None]:
        """Be the only tailflip that acts, while the block runs.

        Raises:
            TryLater: another one is at work.
        """
        return self.home.claim(self.disk)
