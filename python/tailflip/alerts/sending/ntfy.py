"""ntfy: title, priority and tags, as JSON: a header would not carry every language.

Source: docs.ntfy.sh/publish, "Publish as JSON"; addresses as Apprise 2.3 reads them.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.http import ask
from tailflip.alerts.sending.urls import base, take_apart
from tailflip.flow.alerts import MessageKind, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.alerts.sending.urls import Parts
    from tailflip.flow.alerts import Message

CLOUD = "ntfy.sh"
_PRIORITIES = {Urgency.CRITICAL: 5, Urgency.WARNING: 4, Urgency.NOTICE: 3}
_TAGS = {
    Urgency.CRITICAL: "rotating_light",
    Urgency.WARNING: "warning",
    Urgency.NOTICE: "information_source",
}
_QUIET = {
    MessageKind.RECOVERED: (3, "white_check_mark"),
    MessageKind.WAS: (3, "white_check_mark"),
    MessageKind.DIGEST: (2, "newspaper"),
    MessageKind.TEST: (3, "wave"),
}


def send_ntfy(url: str, message: Message, headers: Mapping[str, str]) -> None:
    """Publish a message to a topic.

    Raises:
        Failed: it was not taken.
    """
    parts = take_apart(url)
    where, topic = _choose_topic(parts)
    priority, tag = _QUIET.get(message.kind, (_PRIORITIES[message.urgency], _TAGS[message.urgency]))
    text = {
        "topic": topic,
        "title": message.subject,
        "message": message.body,
        "priority": priority,
        "tags": [tag],
    }
    body = json.dumps(text).encode()
    ask(f"{where}/", body, {**headers, **_authorize(parts), "Content-Type": "application/json"})


def find_host(parts: Parts) -> str:
    """Find the server: in `ntfy://topic` the host's place is taken by the topic."""
    return parts.host if parts.path else CLOUD


def _choose_topic(parts: Parts) -> tuple[str, str]:
    if len(parts.path) > 1:
        raise Failed("its address names several topics; a destination is one")
    if not parts.path:
        if parts.scheme in ("http", "https"):
            raise Failed("its address names no topic")
        return f"https://{CLOUD}", parts.host
    scheme = "http" if parts.scheme in ("ntfy", "http") and parts.host != CLOUD else "https"
    return base(scheme, parts), parts.path[0]


def _authorize(parts: Parts) -> dict[str, str]:
    token = parts.query.get("token")
    if token is None and parts.user is not None and not parts.password:
        is_token = parts.query.get("auth") == "token" or parts.user.startswith("tk_")
        token = parts.user if is_token else None
    if token:
        return {"Authorization": f"Bearer {token}"}
    if parts.user is None:
        return {}
    login = base64.b64encode(f"{parts.user}:{parts.password or ''}".encode()).decode()
    return {"Authorization": f"Basic {login}"}
