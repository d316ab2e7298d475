"""Why a message was not delivered, in words that may stand in a log."""

from __future__ import annotations

import errno
import os
import socket
import ssl


class Failed(Exception):
    """The message was not delivered; the words hold nothing of the address.

    `is_final`: the receiver refused this very message, and will refuse it again.
    """

    def __init__(self, words: str, *, is_final: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.is_final = is_final


# In this order: some are kinds of others.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host's name was not found"),
    (TimeoutError, "no answer in time"),
    (ssl.SSLError, "TLS failed: is it a port for TLS?"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionError, "the connection was closed"),
)


def explain(error: BaseException) -> str:
    """Explain an error of the network in words of our own: its message may hold the address."""
    for each in _unfold(error):
        words = _explain_one(each)
        if words is not None:
            return words
    return f"could not be sent ({type(error).__name__})"


def _unfold(error: BaseException) -> list[BaseException]:
    """List an error and what it was made of, the innermost first."""
    found = [error]
    reason = getattr(error, "reason", None)
    for inner in (reason, error.__cause__):
        if isinstance(inner, BaseException) and inner is not error:
            found = [*_unfold(inner), *found]
    return found


def _explain_one(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({_find_rule(error)}); "
            "SSL_CERT_FILE names the authorities that are"
        )
    if "Tunnel connection failed" in str(error):
        return "the proxy refused to connect"
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return os.strerror(error.errno or 0).lower()
    return None


def _find_rule(error: ssl.SSLCertVerificationError) -> str:
    """Name OpenSSL's rule by its number: its text quotes the name that was asked for."""
    known = {10: "expired", 18: "self-signed", 19: "self-signed", 20: "unknown authority"}
    known |= {62: "of another host", 64: "of another host"}
    return known.get(error.verify_code, f"rule {error.verify_code}")
