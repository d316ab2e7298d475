"""Reads OpenClaw's configuration file as the gateway does: JSON5, `$include`, then `${ENV}`.

One difference on purpose: a variable that is not set stops the gateway, and here becomes a note.
Secrets are in the service's environment and not in the shell of the person who runs tailflip, and
the few keys that tailflip needs rarely hold one.
"""

from __future__ import annotations

import heapq
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import ConfigInvalid
from tailflip.base.units import format_bytes, format_time
from tailflip.observe.files import can_be_path, read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE_BYTES = 2 << 20  # the gateway's own limit for an included file
MAX_INCLUDE_DEPTH = 10
_MOST_COPIES = 50
_INCLUDE = "$include"
_BLOCKED_KEYS = frozenset({"__proto__", "prototype", "constructor"})
_VARIABLE = re.compile(r"(\$)?\$\{([A-Z_][A-Z0-9_]*)\}")


def load_config(path: Path, env: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Load the whole configuration; a missing file counts as empty.

    Returns:
        The configuration, and notes such as a variable that is not set (its `${NAME}`
        is then left in place).

    Raises:
        ConfigInvalid: names the file, and the key path where there is one.
    """
    try:
        raw = read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return {}, ()
    except OSError as error:
        raise ConfigInvalid(f"cannot read configuration: {path}: {error.strerror}") from error
    notes: list[str] = []
    try:
        merged = _Includes(path).resolve(_parse(raw, path), path, (path,), "")
        config = _substitute(merged, env, "", notes)
    except RecursionError:
        raise ConfigInvalid(f"configuration is nested too deeply: {path}") from None
    if not isinstance(config, dict):
        raise ConfigInvalid(f"configuration is not an object: {path}")
    return config, tuple(notes)


def parse_json5(raw: bytes) -> Any:
    """Parse JSON, or else JSON5, which is far slower.

    Raises:
        ValueError: the bytes are neither, or not UTF-8.
    """
    text = raw.decode("utf-8")
    try:
        return json.loads(text)
    except ValueError:
        import json5  # noqa: PLC0415 - a large parser, and most configurations are JSON

        return json5.loads(text)


def _parse(raw: bytes, path: Path) -> Any:
    try:
        return parse_json5(raw)
    except ValueError as error:
        reason = str(error).splitlines()[0] if str(error) else "not JSON5"
        if not raw.strip(b" \t\r\n\0"):
            reason = f"it holds nothing ({format_bytes(len(raw))})"
        raise ConfigInvalid(
            f"configuration is not valid JSON5: {path}: {reason}", hint=_propose_backup(path)
        ) from error


def _propose_backup(path: Path) -> str | None:
    """Propose the newest valid backup beside a broken configuration, and how to put it back.

    Source: OpenClaw keeps `openclaw.json.bak` and `.bak.1` to `.bak.4` from before its own writes,
    `.last-good` (2026.5.28, 2026.7.35), and `.<pid>.<uuid>.tmp` of a writer that was killed.
    """
    copies: list[tuple[float, Path]] = []
    with suppress(OSError), os.scandir(path.parent) as beside:
        for entry in beside:
            if entry.name.startswith(f"{path.name}."):
                with suppress(OSError):
                    copies.append((entry.stat().st_mtime, Path(entry.path)))
    for written_s, copy in heapq.nlargest(_MOST_COPIES, copies):
        with suppress(OSError, ValueError, RecursionError):
            raw = read_regular(copy, MAX_FILE_BYTES)
            if isinstance(parse_json5(raw), dict):
                return (
                    f"{copy.name} beside it is whole ({format_bytes(len(raw))}, written "
                    f"{format_time(int(written_s * 1000))}): look at it, then `cp "
                    f"{quote(str(copy))} {quote(str(path))}`; nothing was changed"
                )
    return None


class _Includes:
    """Resolves `$include`: inside the root file's directory, no cycles, at most ten deep."""

    def __init__(self, root_file: Path) -> None:
        self._root = Path(os.path.normpath(root_file.parent))

    def resolve(self, value: Any, base: Path, chain: tuple[Path, ...], at: str) -> Any:
        """Merge the includes of `value` in the file `base`; `chain` is the files being read."""
        if isinstance(value, list):
            return [
                self.resolve(item, base, chain, f"{at}[{index}]")
                for index, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        rest = {
            key: self.resolve(item, base, chain, _join(at, key))
            for key, item in value.items()
            if key != _INCLUDE
        }
        if _INCLUDE not in value:
            return rest
        included = self._include(value[_INCLUDE], base, chain, _join(at, _INCLUDE))
        if not rest:
            return included
        if not isinstance(included, dict):
            raise ConfigInvalid(f"{base}: {_join(at, _INCLUDE)}: keys beside it need an object")
        return _merge(included, rest)

    def _include(self, names: Any, base: Path, chain: tuple[Path, ...], at: str) -> Any:
        if isinstance(names, str):
            return self._load(names, base, chain, at)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigInvalid(f"{base}: {at}: must be a string or a list of strings")
        merged: Any = {}
        for name in names:
            merged = _merge(merged, self._load(name, base, chain, at))
        return merged

    def _load(self, name: str, base: Path, chain: tuple[Path, ...], at: str) -> Any:
        if not can_be_path(name):
            raise ConfigInvalid(f"{base}: {at}: must be a path, found {name!r}")
        path = Path(os.path.normpath(base.parent / name))
        inside = path.is_relative_to(self._root) and Path(os.path.realpath(path)).is_relative_to(
            os.path.realpath(self._root)
        )
        if not inside:
            raise ConfigInvalid(f"{base}: {at}: {name} is outside {self._root}")
        if path in chain:
            raise ConfigInvalid(f"{base}: {at}: {name} includes itself")
        if len(chain) > MAX_INCLUDE_DEPTH:
            raise ConfigInvalid(f"{base}: {at}: more than {MAX_INCLUDE_DEPTH} levels of includes")
        try:
            raw = read_regular(path, MAX_FILE_BYTES)
            links = path.stat().st_nlink
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigInvalid(f"{base}: {at}: cannot read {name}: {reason}") from error
        if links > 1:
            raise ConfigInvalid(f"{base}: {at}: {name} has {links} hard links")
        return self.resolve(_parse(raw, path), path, (*chain, path), "")


def _merge(base: Any, over: Any) -> Any:
    """Merge as the gateway does: objects by key, arrays end to end, else the later wins."""
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            if key not in _BLOCKED_KEYS:
                merged[key] = _merge(merged[key], value) if key in merged else value
        return merged
    return over


def _substitute(value: Any, env: Mapping[str, str], at: str, notes: list[str]) -> Any:
    """Replace variables; `$${NAME}` is the escape for a literal `${NAME}`."""
    if isinstance(value, list):
        return [_substitute(item, env, f"{at}[{index}]", notes) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _substitute(item, env, _join(at, key), notes) for key, item in value.items()}
    if not isinstance(value, str) or "${" not in value:
        return value

    def put(match: re.Match[str]) -> str:
        name = match[2]
        if match[1]:
            return f"${{{name}}}"
        if env.get(name):
            return env[name]
        notes.append(f"{at}: ${{{name}}} is not set here")
        return match[0]

    return _VARIABLE.sub(put, value)


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
