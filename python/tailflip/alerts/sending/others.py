"""Every other service, by Apprise, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.sending.failure import Failed
from tailflip.flow.alerts import MessageKind, Urgency

if TYPE_CHECKING:
    from tailflip.flow.alerts import Message

_TYPES = {Urgency.CRITICAL: "failure", Urgency.WARNING: "warning", Urgency.NOTICE: "info"}
_OVER = frozenset({MessageKind.RECOVERED, MessageKind.WAS})


def send_other(url: str, scheme: str, message: Message) -> None:
    """Send a message by Apprise, which says only whether it was taken.

    Raises:
        Failed: it was not, or Apprise is not there, or does not know the address.
    """
    try:
        import apprise  # noqa: PLC0415 - 24 MiB; most addresses do without
    except ImportError:
        raise Failed(
            f"tailflip itself does not know {scheme}://; install Apprise, which may: "
            "`pip install tailflip[alerts]`"
        ) from None
    import logging  # noqa: PLC0415 - its loggers quote addresses

    logging.disable(logging.CRITICAL)
    asset = apprise.AppriseAsset(app_id="tailflip", storage_mode="memory", async_mode=False)
    service = apprise.Apprise(asset=asset)
    try:
        if not service.add(url):
            raise Failed(f"Apprise does not know this address of {scheme}://")
        kind = "success" if message.kind in _OVER else _TYPES[message.urgency]
        taken = service.notify(body=message.body, title=message.subject, notify_type=kind)
    except (OSError, TypeError, ValueError) as e:
        raise Failed(f"Apprise failed ({type(e).__name__})") from None
    if not taken:
        raise Failed("Apprise could not deliver it; it does not say why")
