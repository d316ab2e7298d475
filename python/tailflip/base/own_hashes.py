"""Keeps OpenSSL out of a process that needs no more than Python's own digests: it takes 3 MiB.

This module imports no digest at its top: it must come before the first of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

_OPENSSL = "_hashlib"
_OWN = (("_md5",), ("_sha1",), ("_sha256", "_sha2"), ("_blake2",))
# OpenSSL's SHA-256 is five times as fast as Python's own (1,230 and 230 MiB a second), which pays
# for loading it from here on.
_MUCH_BYTES = 4 * 1024 * 1024


def leave_openssl_out() -> None:
    """Let `hashlib` and `hmac` do without OpenSSL, where Python was built with digests of its own.

    It must be called before either is imported.
    """
    if all(any(find_spec(name) for name in names) for names in _OWN):
        sys.modules.setdefault(_OPENSSL, None)  # type: ignore[arg-type]  # None: not to be found


def begin_sha256(size_bytes: int) -> _Hash:
    """Begin the SHA-256 of a file of `size_bytes`; a large one is worth OpenSSL after all."""
    from hashlib import sha256  # noqa: PLC0415 - see above

    is_left_out = _OPENSSL in sys.modules and sys.modules[_OPENSSL] is None
    if size_bytes < _MUCH_BYTES or not is_left_out:
        return sha256()
    left_out = sys.modules.pop(_OPENSSL)
    try:
        fast: _Hash = import_module(_OPENSSL).openssl_sha256()
    except ImportError:  # a Python built without OpenSSL
        fast = sha256()
    finally:
        sys.modules[_OPENSSL] = left_out
    return fast
