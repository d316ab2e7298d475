"""Keeps OpenSSL out of a process that needs no more than Python's own digests: it takes 3 MiB."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_OWN = (("_md5",), ("_sha1",), ("_sha256", "_sha2"), ("_blake2",))


def leave_openssl_out() -> None:
    """Let `hashlib` and `hmac` do without OpenSSL, where Python was built with digests of its own.

    It must be called before either is imported.
    """
    if all(any(find_spec(name) for name in names) for names in _OWN):
        sys.modules.setdefault("_hashlib", None)  # type: ignore[arg-type]  # None: not to be found
