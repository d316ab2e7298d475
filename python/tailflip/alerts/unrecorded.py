"""Tells people that the ledger cannot be used, which all other messages need.

Nothing can be noted then but the time of a small empty file, which a full disk mostly still takes.
Where even that cannot be noted, nothing is sent: a message that is sent again and again is worse.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.alerts.turn import make_writer
from tailflip.base import clock, log
from tailflip.flow.alerts import Message, MessageKind, Urgency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.alerts.turn import Send
    from tailflip.base.workspace import Workspace
    from tailflip.flow.alerts import AlertSettings

REST_S = 6 * 3600.0


def tell_unrecorded(
    workspace: Workspace, guard: str, settings: AlertSettings, send: Send
) -> tuple[str, ...]:
    """Tell each destination once in a while that the ledger cannot be used.

    Args:
        workspace: whose ledger it is.
        guard: the gateway's name.
        settings: who is told; whoever hears of what nobody acknowledged is not.
        send: sends one message.

    Returns:
        the destinations that have it.
    """
    if not _take_turn(workspace, guard):
        return ()
    subject, body = make_writer(guard, settings).write_unrecorded()
    now_ms = clock.now_ms()
    told = []
    for each in settings.destinations:
        if each.after_ms:
            continue
        # Its number is in no outbox, and differs from that of the last one.
        message = Message(
            now_ms // 1000, MessageKind.OPENED, Urgency.CRITICAL, subject, body, (), now_ms
        )
        delivery = send(each.name, message)
        if delivery.delivered:
            told.append(each.name)
        else:
            log.warning("a message was not delivered", to=each.name, error=delivery.error)
    return tuple(told)


def _take_turn(workspace: Workspace, guard: str) -> bool:
    """Say whether it is time to tell, and note that it was told; that is noted first."""
    now_s = clock.now_ms() / 1000
    places = tuple(_list_places(workspace, guard))
    for path in places:
        try:
            noted = os.lstat(path)
        except OSError:
            continue
        # In a folder that all may write to, another user's file would keep us silent.
        if noted.st_uid == os.geteuid() and 0 <= now_s - noted.st_mtime < REST_S:
            return False
    return any(_note(workspace, path, now_s) for path in places)


def _list_places(workspace: Workspace, guard: str) -> Iterator[Path]:
    """List where it can be noted: beside the locks, else where a disk of its own may have room."""
    path = workspace.home.untold(guard)
    yield path
    yield Path(tempfile.gettempdir()) / f"tailflip-{os.geteuid()}-{path.name}"


def _note(workspace: Workspace, path: Path, now_s: float) -> bool:
    disk = workspace.disk
    try:
        try:
            fd = disk.open_new(path, 0o600)
        except FileExistsError:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.fstat(fd).st_uid != os.geteuid():
                return False
            disk.set_time(fd, int(now_s * 1_000_000_000))
        finally:
            os.close(fd)
    except OSError:
        return False
    return True
