"""The list of settings, made from the classes in `config.schema`; for messages and documents."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args, get_origin

from tailflip.config.schema import Config
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tailflip.config.kinds import Section

# The settings that have an option of their own where a gateway is started.
OPTIONS = {
    "gateway.state_dir": "--state-dir",
    "gateway.profile": "--profile",
    "gateway.port": "--port",
    "gateway.heap_limit": "--heap-limit",
}


@dataclass(frozen=True)
class Setting:
    """One setting, as people see it.

    `type` is bool, int, float, str or Path. `form` says what a value must be. `unit` is "s",
    "days" or "". `least` and `most` are None where there is no bound. `optional` settings may
    be "auto".
    """

    section: str
    name: str
    type: type
    form: str
    unit: str
    default: object
    meaning: str
    optional: bool
    least: float | None
    most: float | None

    @property
    def key(self) -> str:
        """The setting's name in messages and for flags, such as `restart.cap_s`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The setting's environment variable, such as `TAILFLIP_RESTART_CAP_S`."""
        return f"TAILFLIP_{self.section}_{self.name}".upper()


@cache
def list_settings() -> tuple[Setting, ...]:
    """List all settings in the order they are declared."""
    return tuple(
        _describe(section, name, field)
        for section, kind in list_sections().items()
        for name, field in kind.model_fields.items()
    )


def list_sections() -> dict[str, type[Section]]:
    """List all sections by name."""
    return {name: cast("type[Section]", f.annotation) for name, f in Config.model_fields.items()}


def _describe(section: str, name: str, field: FieldInfo) -> Setting:
    extra = field.json_schema_extra
    parts = get_args(field.annotation)
    choices = get_origin(field.annotation) is Literal
    optional = type(None) in parts
    plain = next(part for part in (*parts, field.annotation) if part is not type(None))
    plain = str if choices else get_args(plain)[0] if get_origin(plain) is Annotated else plain
    forms = {bool: "true or false", int: "a whole number", float: "a number"}
    form = f"one of {', '.join(parts)}" if choices else forms.get(plain, "a text")
    if isinstance(extra, dict):
        form = str(extra.get("form", form))
    return Setting(
        section=section,
        name=name,
        type=plain,
        form=form,
        unit=next((unit for unit in ("s", "days") if name.endswith(f"_{unit}")), ""),
        default=field.default,
        meaning=field.description or "",
        optional=optional,
        least=_find_bound(field, "ge"),
        most=_find_bound(field, "le"),
    )


def _find_bound(field: FieldInfo, name: str) -> float | None:
    bounds = (getattr(rule, name, None) for rule in field.metadata)
    return next((bound for bound in bounds if bound is not None), None)
