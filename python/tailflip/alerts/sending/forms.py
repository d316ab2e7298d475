"""The forms of addresses: which file sends to one, and what may be said of it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from tailflip.alerts.sending import ntfy, telegram
from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.program import name_program, send_program
from tailflip.alerts.sending.urls import take_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.alerts.sending.addressee import Address
    from tailflip.alerts.sending.urls import Parts
    from tailflip.flow.alerts import Message


class Form(Enum):
    """How a message is sent."""

    WEBHOOK = "webhook"
    NTFY = "ntfy"
    TELEGRAM = "telegram"
    MAIL = "mail"
    OTHER = "other"


_FORMS = {
    **dict.fromkeys(("http", "https", "json", "jsons"), Form.WEBHOOK),
    **dict.fromkeys(("ntfy", "ntfys"), Form.NTFY),
    **dict.fromkeys(("mailto", "mailtos"), Form.MAIL),
    "tgram": Form.TELEGRAM,
}


def choose_form(parts: Parts) -> Form:
    """Choose the form of an address."""
    if parts.scheme == "https" and parts.host == ntfy.CLOUD:
        return Form.NTFY
    return _FORMS.get(parts.scheme, Form.OTHER)


def describe(address: Address) -> str:
    """Name an address by scheme and host, where the host is no token or topic."""
    if address.program:
        return f"exec {name_program(address.program)}"
    scheme = address.url.partition("://")[0].lower()
    if scheme == "tgram":
        return f"tgram://{telegram.HOST}"
    try:
        parts = take_apart(address.url)
    except Failed:
        return f"{scheme}://"
    form = choose_form(parts)
    hosts = {
        Form.WEBHOOK: parts.host,
        Form.NTFY: ntfy.find_host(parts),
        Form.MAIL: parts.query.get("smtp", parts.host),
    }
    return f"{scheme}://{hosts.get(form, '')}"


def send(address: Address, destination: str, message: Message, env: Mapping[str, str]) -> None:
    """Send a message by the form of its address.

    Raises:
        Failed: it was not taken.
    """
    if address.program:
        send_program(address.program, destination, message, env)
        return
    url = address.url
    # A receiver that keeps to it has a message once, however often it comes.
    headers = {
        "Idempotency-Key": f"tailflip-{'-'.join((*message.alerts[:1], str(message.number)))}"
    }
    # The colon in a token is no port: this address cannot be taken apart like others.
    form = Form.TELEGRAM if url.lower().startswith("tgram://") else choose_form(take_apart(url))
    if form is Form.TELEGRAM:
        telegram.send_telegram(url, message, headers)
    elif form is Form.NTFY:
        ntfy.send_ntfy(url, message, headers)
    elif form is Form.WEBHOOK:
        from tailflip.alerts.sending.webhook import send_webhook  # noqa: PLC0415 - one form a child

        send_webhook(url, message, headers)
    elif form is Form.MAIL:
        from tailflip.alerts.sending.mail import send_mail  # noqa: PLC0415 - likewise

        send_mail(url, message)
    else:
        from tailflip.alerts.sending.others import send_other  # noqa: PLC0415 - likewise

        send_other(url, url.partition("://")[0].lower(), message)
