"""A heartbeat in the form of the service that waits for it: by its host or its path.

healthchecks takes `/fail` and `/log` behind its address, and keeps the body. Uptime Kuma takes its
words in the query. Any other address is asked by GET, only while all is well.

Source: healthchecks.io/docs/http_api; uptime-kuma, `server/routers/api-router.js`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tailflip.alerts.heartbeat import BeatWord
from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.http import ask
from tailflip.alerts.sending.urls import drop_login

if TYPE_CHECKING:
    from tailflip.alerts.heartbeat import Beat

_HEALTHCHECKS = "hc-ping.com"
_UUID = re.compile(r"/[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/?$")
_KUMA = re.compile(r"/api/push/[^/]+/?$")
_SUFFIXES = {BeatWord.FAIL: "/fail", BeatWord.STARTING: "/log"}
_DOWN = frozenset({BeatWord.FAIL})
_SILENT = frozenset({BeatWord.FAIL, BeatWord.STARTING})


def send_beat(url: str, beat: Beat) -> None:
    """Send a heartbeat; to a service that knows no bad news, only a good one.

    Raises:
        Failed: it was not taken.
    """
    bare = drop_login(url)
    split = urlsplit(bare)
    if split.scheme not in ("http", "https"):
        raise Failed("a heartbeat goes to an address of http or https")
    text = f"{beat.word}: {beat.text}" if beat.text != beat.word else beat.text
    if split.hostname == _HEALTHCHECKS or _UUID.search(split.path):
        path = split.path.rstrip("/") + _SUFFIXES.get(beat.word, "")
        ask(split._replace(path=path).geturl(), text.encode(), {"Content-Type": "text/plain"})
    elif _KUMA.search(split.path):
        query = {
            "status": "down" if beat.word in _DOWN else "up",
            "msg": text,
            "ping": "" if beat.answer_ms is None else str(beat.answer_ms),
        }
        ask(split._replace(query=urlencode(query)).geturl(), None, {})
    elif beat.word not in _SILENT:
        ask(bare, None, {})
