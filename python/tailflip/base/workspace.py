"""The workspace of tailflip: its state directory, and the disk for its effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home


@dataclass(frozen=True)
class Workspace:
    """The state directory of tailflip, and the `Disk` for effects.

    `is_read_only`: the ledger is opened so that nothing can be written, its schema neither.
    """

    home: Home
    disk: Disk
    is_read_only: bool = False

    def create(self) -> None:
        """Make the missing directories of the state directory.

        Raises:
            CannotCreate: one of them cannot be made.
            NoPermission: one of them is another user's.
        """
        self.home.create(self.disk)

    def claim(self) -> AbstractContextManager[None]:
        """Hold the lock of the tailflip that acts, while the block runs.

        Raises:
            TryLater: another tailflip is at work.
        """
        return self.home.claim(self.disk)
