"""The answers that tell of tailflip itself: its settings, and its version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tailflip.cli.answers.base import Answer, Part


class Setting(Part):
    """A setting: its value, and where that is from."""

    key: str
    value: Any
    default: Any
    origin: str
    unit: str
    variable: str
    must_be: str
    meaning: str


class ConfigShow(Answer):
    """All settings."""

    verb: Literal["config show"] = "config show"
    path: Path | None
    found: bool
    settings: tuple[Setting, ...]
    gateways: dict[str, tuple[Setting, ...]] = Field(
        description="The settings that a gateway's own section sets, by its name."
    )


class ConfigCheck(Answer):
    """Which settings are not left to the default."""

    verb: Literal["config check"] = "config check"
    path: Path | None
    found: bool
    set: tuple[str, ...]


class Version(Answer):
    """The version of tailflip, and what its engine can do."""

    verb: Literal["version"] = "version"
    version: str
    engine: str


ANSWERS: dict[str, tuple[type[Answer], ...]] = {
    "config show": (ConfigShow,),
    "config check": (ConfigCheck,),
    "version": (Version,),
}
