"""The settings of what people are told: alerts, to whom, and the heartbeat."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tailflip.base.openclaw_units import parse_length_ms
from tailflip.config.addresses import find_credential
from tailflip.config.kinds import OFF, Duration, Section, check_duration, setting, to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.alerts import AlertSettings

# A destination's name is a label of metrics and the name of a credential.
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,31}")
# The heartbeat's credential has this name: a destination cannot.
HEARTBEAT = "heartbeat"
_HOURS = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_MOST_REMINDERS = 10


def _name_off(value: object) -> object:
    return OFF if value is False or value == "" else value


def _check_hours(text: str) -> str:
    text = text.strip().lower()
    begin, dash, end = (part.strip() for part in text.partition("-"))
    if text == OFF:
        return text
    if not (dash and _HOURS.fullmatch(begin) and _HOURS.fullmatch(end)) or begin == end:
        raise ValueError('must be two times of the day, such as "22:00-07:00", or false')
    return f"{begin}-{end}"


def _check_time(text: str) -> str:
    text = text.strip().lower()
    if text != OFF and not _HOURS.fullmatch(text):
        raise ValueError('must be a time of the day, such as "08:00", or false')
    return text


def _join(value: object) -> object:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return _name_off(value)


def _check_lengths(text: str) -> str:
    parts = [part.strip() for part in text.lower().split(",")]
    if parts == [OFF]:
        return OFF
    if len(parts) > _MOST_REMINDERS or OFF in parts:
        raise ValueError(f"must be 1 to {_MOST_REMINDERS} lengths of time, or false")
    return ", ".join(check_duration(part) for part in parts)


def check_address(text: str) -> str:
    """Take an address: a scheme and printable characters, without a space.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*://[\x21-\x7e]+", text.strip()):
        raise ValueError('must be an address, such as "ntfy://…"')
    return text.strip()


Hours = Annotated[str, BeforeValidator(_name_off), AfterValidator(_check_hours)]
TimeOfDay = Annotated[str, BeforeValidator(_name_off), AfterValidator(_check_time)]
Lengths = Annotated[str, BeforeValidator(_join), AfterValidator(_check_lengths)]
Address = Annotated[str, AfterValidator(check_address)]


class DestinationSettings(Section):
    """Whom to tell: a section `[alerts.to.NAME]` for each, with one address."""

    url_file: Path | None = setting(
        None,
        "file of mode 0600 that holds the address, such as ntfy://…; a credential of systemd "
        "that has the destination's name goes before it",
        form="an absolute path",
        is_address=True,
    )
    url: Address | None = setting(
        None,
        "the address itself, in a file of settings of mode 0600; shown without what is secret",
        form="an address",
        is_address=True,
        is_secret=True,
    )
    exec: Path | None = setting(
        None,
        "program that is run for each message: JSON on its standard input, exit code 0 when done",
        form="an absolute path",
        is_address=True,
    )
    least: Literal["critical", "warning", "notice"] = setting(
        "warning", "the least urgency that it hears of at once"
    )
    after: Duration = setting(
        OFF,
        "it hears only of what is open and unacknowledged for so long; false: of all",
        form="a length of time, or false",
    )
    quiet: Hours | None = setting(
        None,
        "its own quiet hours, or false for none; auto: those of all",
        form="two times of the day, or false",
    )

    @model_validator(mode="after")
    def _check_one_address(self) -> Self:
        if [self.url_file, self.url, self.exec].count(None) != 2:  # noqa: PLR2004 - of three
            raise ValueError("must have one of url_file, url and exec")
        return self


class AlertsSettings(Section):
    """The alerts: what people are told, and when. Each receiver has a section of its own."""

    enabled: bool | None = setting(
        None, "tell people at all; auto: as soon as a destination is named"
    )
    down_after_s: float = setting(
        120.0, "a gateway without a good answer for so long is down", ge=1, le=86_400
    )
    gather_s: float = setting(
        30.0, "wait before a first message, for all that belongs together", ge=0, le=3600
    )
    settle_s: float = setting(
        600.0, "how long a finding must be gone before it counts as over", ge=0, le=86_400
    )
    remind: Lengths = setting(
        "1h, 4h, 24h",
        "when a critical alert is told again, until somebody acknowledges it; the last one "
        "repeats; false: never",
        form="a list of lengths of time, or false",
    )
    most_per_hour: int = setting(
        10, "most messages in an hour to one destination; the rest is counted", ge=1, le=1000
    )
    quiet: Hours = setting(
        OFF,
        'hours in which only what is critical is told, such as "22:00-07:00", by local time; '
        "the rest comes at their end",
        form="two times of the day, or false",
    )
    digest: TimeOfDay = setting(
        "08:00",
        "when notices and what waited are told, by local time; false: never",
        form="a time of the day, or false",
    )
    names: bool = setting(False, "let messages hold the names of jobs")
    host: str | None = setting(
        None,
        "this host's name in messages; auto: the system's own",
        form="a name without spaces",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$",
    )
    to: dict[str, DestinationSettings] = Field(default_factory=dict)

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return self.enabled is not False and bool(self.to)

    def choose(self, patience_s: float) -> AlertSettings:
        """Choose the settings for whoever decides what is told; no address is among them.

        Args:
            patience_s: how long a start may take, by `health.start_patience_s`.
        """
        from tailflip.flow.alerts import (  # noqa: PLC0415 - a guard does without
            AlertSettings,
            Destination,
            Urgency,
        )

        remind = () if self.remind == OFF else self.remind.split(", ")
        return AlertSettings(
            down_after_s=self.down_after_s,
            patience_s=patience_s,
            gather_s=self.gather_s,
            settle_s=self.settle_s,
            remind_s=tuple(parse_length_ms(each) / 1000 for each in remind),
            most_per_hour=self.most_per_hour,
            quiet=_read_off(self.quiet) or "",
            digest=_read_off(self.digest) or "",
            names=self.names,
            host="auto" if self.host is None else self.host,
            destinations=tuple(
                Destination(
                    name=name,
                    least=Urgency(each.least),
                    after_ms=to_ms(each.after) or 0,
                    quiet=_read_off(each.quiet),
                )
                for name, each in (self.to.items() if self.is_on else ())
            ),
        )


class HeartbeatSettings(Section):
    """The sign of life to a service that calls you when it stays out."""

    url_file: Path | None = setting(
        None,
        "file of mode 0600 that holds the address; a credential of systemd named heartbeat goes "
        "before it; auto: no heartbeat",
        form="an absolute path",
    )
    every_s: float = setting(
        300.0, "time between two; up to a tenth is added or taken away", ge=1, le=86_400
    )
    when: Literal["well", "alive"] = setting(
        "well", "well: only while the gateway answers and nothing critical is open; alive: always"
    )

    def is_on(self, env: Mapping[str, str]) -> bool:
        """Whether there is a heartbeat: its address is in a file, or a credential of systemd."""
        return self.url_file is not None or find_credential(HEARTBEAT, env) is not None


def _read_off(text: str | None) -> str | None:
    return "" if text == OFF else text
