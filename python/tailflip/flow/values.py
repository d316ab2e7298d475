"""The base class of values: frozen, and written as JSON even with paths that are not UTF-8.

At the first class, pydantic looks through every installed package for plug-ins. That costs each
verb 10 ms and a guard 2.6 MiB, and a stranger's code would run in the guard: it is given none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

_NO_PLUGINS = ModuleType("pydantic.plugin._loader")
setattr(_NO_PLUGINS, "get_plugins", tuple)  # noqa: B010 - a module has no such attribute by type
sys.modules.setdefault(_NO_PLUGINS.__name__, _NO_PLUGINS)

# The longest string of V8. A longer store silently counts as empty, and the gateway's next write
# replaces it. A byte is at most one character.
STRING_LIMIT_CHARS = 536_870_888


class Value(BaseModel):
    """The base of values that are read from or written to disk: frozen, without unknown fields.

    A path need not be UTF-8: Python carries its other bytes as lone surrogates, which pydantic
    neither writes nor reads. JSON can hold them, as escapes.
    """

    # A validator is built at its first use: most verbs use few of these classes.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def model_dump_json(self, **options: Any) -> str:
        """Write as JSON, also with paths that are not UTF-8."""
        try:
            return super().model_dump_json(**options)
        except PydanticSerializationError:
            indent = options.pop("indent", None)
            return json.dumps(to_plain(self.model_dump(**options)), indent=indent)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Read JSON that `model_dump_json` wrote."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError:
            try:
                parsed = json.loads(json_data) if _has_surrogate(json_data) else None
            except (ValueError, RecursionError):
                parsed = None
            if parsed is None:
                raise
        return cls.model_validate(parsed, **options)


def _has_surrogate(json_data: str | bytes | bytearray) -> bool:
    return ("\\ud" if isinstance(json_data, str) else b"\\ud") in json_data  # type: ignore[operator]


def to_plain(value: object) -> object:
    """Convert a value to JSON's types as pydantic does, for these types, and keep text as it is."""
    if isinstance(value, BaseModel):
        return {name: to_plain(getattr(value, name)) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | None) else str(value)
