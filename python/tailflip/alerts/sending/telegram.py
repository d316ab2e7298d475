"""Telegram: one message by a bot to one chat, as plain text.

Source: core.telegram.org/bots/api#sendmessage; addresses as Apprise 2.3 reads them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.http import ask
from tailflip.flow.alerts import MessageKind, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.alerts import Message

HOST = "api.telegram.org"
# The colon inside the token makes it no port: the address is taken apart before it is split.
_ADDRESS = re.compile(
    r"tgram://(?:bot)?(?P<token>[0-9]+(?::|%3[aA]|/)[A-Za-z0-9_-]+)/(?P<chat>[^/?]+)/?(?:\?(?P<query>.*))?"
)
_CHAT = re.compile(r"(?P<chat>-?[0-9]+|@?[A-Za-z][A-Za-z0-9_]+)(?::(?P<topic>[0-9]+))?")
_QUIET = frozenset({MessageKind.DIGEST})


def send_telegram(url: str, message: Message, headers: Mapping[str, str]) -> None:
    """Send a message to a chat.

    Raises:
        Failed: it was not taken.
    """
    address = _ADDRESS.fullmatch(url)
    if address is None:
        raise Failed("its address must be tgram://TOKEN/CHAT, with one chat")
    query = dict(parse_qsl(address["query"] or ""))
    chat = _CHAT.fullmatch(unquote(address["chat"]))
    if chat is None:
        raise Failed("the chat must be a number, or @ and the name of a channel")
    token = re.sub("%3[aA]|/", ":", address["token"])
    text: dict[str, object] = {
        "chat_id": _write_chat(chat["chat"]),
        "text": f"{message.subject}\n\n{message.body}",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": message.urgency is Urgency.NOTICE or message.kind in _QUIET,
    }
    topic = chat["topic"] or query.get("topic") or query.get("thread")
    if topic is not None and topic.isascii() and topic.isdigit():
        text["message_thread_id"] = int(topic)
    server = query.get("api", f"https://{HOST}").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise Failed("the server after `api=` must be an address of http or https")
    body = json.dumps(text).encode()
    ask(f"{server}/bot{token}/sendMessage", body, {**headers, "Content-Type": "application/json"})


def _write_chat(chat: str) -> int | str:
    if chat.lstrip("-").isdigit():
        return int(chat)
    return chat if chat.startswith("@") else f"@{chat}"
