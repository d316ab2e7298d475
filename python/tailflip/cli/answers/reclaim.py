"""What `reclaim --json` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tailflip.cli.answers import gateway as of_gateway
from tailflip.cli.answers.base import Answer, Part
from tailflip.reclaim.patterns import BECOMES, PROOFS, Class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.errors import TailflipError
    from tailflip.reclaim.reclaiming import Reclaimed
    from tailflip.stores.target import Scene


class MayGo(Part):
    """The files of one class that may go, or went as far as `gone_count` says."""

    name: str
    file_count: int
    size_bytes: int
    oldest_ms: int | None
    proof: str
    becomes: str
    gone_count: int
    gone_bytes: int


class Stays(Part):
    """The files of one class that stay for one reason."""

    name: str
    reason: str
    file_count: int
    size_bytes: int


class OnlyTold(Part):
    """Files that are told by their size alone; `how` is what gives their room back."""

    what: str
    file_count: int
    size_bytes: int
    how: str


class SkippedFile(Part):
    """A file that did not go, because it changed after it was judged."""

    path: str
    why: str


class Reclaim(Answer):
    """What gives room on the disk back; undo with `tailflip restore`, but for debris."""

    verb: Literal["reclaim"] = "reclaim"
    applied: bool
    state_dir: str
    may_go: tuple[MayGo, ...]
    stays: tuple[Stays, ...]
    only_told: tuple[OnlyTold, ...]
    action_ids: tuple[str, ...]
    archived_bytes: int
    skipped: tuple[SkippedFile, ...]
    gateway: of_gateway.Gateway

    @classmethod
    def of_found(
        cls,
        found: Reclaimed,
        scene: Scene,
        classes: Sequence[Class],
        failed: Sequence[TailflipError],
    ) -> Reclaim:
        """Answer with what was found, and what went."""
        gone = found.gone
        return cls.to(
            failed=failed,
            applied=gone is not None,
            state_dir=str(scene.installation.state_dir),
            may_go=[
                {
                    "name": kind,
                    "file_count": found.may_go[kind].files,
                    "size_bytes": found.may_go[kind].bytes,
                    "oldest_ms": found.may_go[kind].oldest_ms,
                    "proof": PROOFS[kind],
                    "becomes": BECOMES[kind],
                    "gone_count": 0 if gone is None else gone.files.get(kind, 0),
                    "gone_bytes": 0 if gone is None else gone.bytes.get(kind, 0),
                }
                for kind in classes
                if kind in found.may_go
            ],
            stays=[
                {
                    "name": kind,
                    "reason": reason,
                    "file_count": each.files,
                    "size_bytes": each.bytes,
                }
                for (kind, reason), each in found.stays.items()
            ],
            only_told=[
                {
                    "what": each.what,
                    "file_count": each.files,
                    "size_bytes": each.bytes,
                    "how": each.how,
                }
                for each in found.told
            ],
            action_ids=() if gone is None else gone.actions,
            archived_bytes=0 if gone is None else gone.archived_bytes,
            skipped=() if gone is None else [each._asdict() for each in gone.skipped],
            gateway=scene.gateway,
        )


ANSWERS: dict[str, tuple[type[Answer], ...]] = {"reclaim": (Reclaim,)}
