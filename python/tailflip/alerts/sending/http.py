"""One request by HTTP: through the proxy that the environment names, and never redirected.

A redirect would carry the message, and what is secret of it, to a host that nobody named.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING

from tailflip.alerts.sending.failure import Failed, explain

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 10.0
_MOST_BYTES = 64 << 10
# Answers of a receiver that will not take this message, whenever it is asked.
_REFUSALS = frozenset({400, 413, 415, 422})
_ADVICE = {
    **dict.fromkeys((401, 403, 407), "look at the login or token in the address"),
    **dict.fromkeys((404, 405, 410), "look at the address"),
    429: "it wants fewer messages",
}


def ask(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """Send a request, and return the first bytes of the answer.

    Args:
        url: http or https, without a login.
        body: is posted; None asks by GET.
        headers: those beside `User-Agent`.

    Raises:
        Failed: no answer came that means success.
    """
    try:
        request = urllib.request.Request(  # noqa: S310 - the opener knows http and https alone
            url, data=body, headers={"User-Agent": "tailflip", **headers}
        )
        with _make_opener().open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as e:
        e.close()
        raise Failed(_name(e.code), is_final=e.code in _REFUSALS) from None
    except (OSError, ValueError, http.client.HTTPException) as e:
        raise Failed(explain(e)) from None


def _make_opener() -> urllib.request.OpenerDirector:
    """Make an opener that follows no redirect, and opens neither files nor FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _name(code: int) -> str:
    """Name an answer by its number: the receiver's own words may quote the address."""
    if 300 <= code < 400:  # noqa: PLR2004 - the class of redirects
        return f"answered {code}: it has moved, and is not followed; set its new address"
    try:
        words = f"answered {code} {HTTPStatus(code).phrase}"
    except ValueError:
        words = f"answered {code}"
    return f"{words}: {_ADVICE[code]}" if code in _ADVICE else words
