"""A webhook: the message as one JSON object, by POST."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from tailflip.alerts.sending.http import ask
from tailflip.alerts.sending.urls import drop_login, take_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.alerts import Message

_SCHEMES = {"json": "http", "jsons": "https"}


def send_webhook(url: str, message: Message, headers: Mapping[str, str]) -> None:
    """Post a message.

    Raises:
        Failed: it was not taken.
    """
    parts = take_apart(url)
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    own = {**headers, "Content-Type": "application/json"}
    if parts.user is not None:
        login = f"{parts.user}:{parts.password or ''}".encode()
        own["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    address = urlunsplit(urlsplit(drop_login(url))._replace(scheme=scheme))
    ask(address, write_json(message), own)


def write_json(message: Message) -> bytes:
    """Write a message as a program reads it; fields may be added, never renamed."""
    return json.dumps(
        {
            "version": 1,
            "number": message.number,
            "kind": message.kind.value,
            "urgency": message.urgency.value,
            "subject": message.subject,
            "body": message.body,
            "alerts": list(message.alerts),
            "made_ms": message.made_ms,
        }
    ).encode()
