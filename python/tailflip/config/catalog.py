"""The list of settings, made from the classes in `config.schema`; for messages and documents."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args, get_origin

from tailflip.config.addresses import mask_address
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
    be "auto". The section may be one of a table, such as `alerts.to.phone`.
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
    is_address: bool = False
    is_secret: bool = False

    @property
    def key(self) -> str:
        """The setting's name in messages and for flags, such as `restart.cap_s`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The setting's environment variable, such as `TAILFLIP_RESTART_CAP_S`."""
        return f"TAILFLIP_{self.section}_{self.name}".upper()

    def read(self, config: Config) -> object:
        """Read the setting's value; what is secret of it is masked."""
        at: Any = config
        for word in self.key.split("."):
            at = at[word] if isinstance(at, dict) else getattr(at, word)
        return mask_address(at) if self.is_secret and at is not None else at


@dataclass(frozen=True)
class Table:
    """A place inside a section for sections of any name, such as `alerts.to`."""

    key: str
    kind: type[Section]

    def is_in(self, section: str) -> bool:
        """Whether a section holds this table."""
        return self.key.partition(".")[0] == section

    def list_settings(self, name: str) -> tuple[Setting, ...]:
        """List the settings of the section of that name."""
        section = f"{self.key}.{name}"
        fields = self.kind.model_fields.items()
        return tuple(_describe(section, each, field) for each, field in fields)


@cache
def list_settings() -> tuple[Setting, ...]:
    """List all settings in the order they are declared, but those of tables."""
    return tuple(
        _describe(section, name, field)
        for section, kind in list_sections().items()
        for name, field in kind.model_fields.items()
        if _find_kind(field) is None
    )


@cache
def list_tables() -> tuple[Table, ...]:
    """List the tables inside sections."""
    return tuple(
        Table(f"{section}.{name}", inner)
        for section, kind in list_sections().items()
        for name, field in kind.model_fields.items()
        if (inner := _find_kind(field)) is not None
    )


def list_named(config: Config) -> tuple[Setting, ...]:
    """List the settings of the sections that tables have in a configuration."""
    found: list[Setting] = []
    for table in list_tables():
        section, _, name = table.key.partition(".")
        for each in getattr(getattr(config, section), name):
            found += table.list_settings(each)
    return tuple(found)


def list_sections() -> dict[str, type[Section]]:
    """List all sections by name."""
    return {name: cast("type[Section]", f.annotation) for name, f in Config.model_fields.items()}


def _find_kind(field: FieldInfo) -> type[Section] | None:
    """Find what a table holds; None for a plain setting."""
    is_table = get_origin(field.annotation) is dict
    return cast("type[Section]", get_args(field.annotation)[1]) if is_table else None


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
    marks = extra if isinstance(extra, dict) else {}
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
        is_address=bool(marks.get("is_address")),
        is_secret=bool(marks.get("is_secret")),
    )


def _find_bound(field: FieldInfo, name: str) -> float | None:
    bounds = (getattr(rule, name, None) for rule in field.metadata)
    return next((bound for bound in bounds if bound is not None), None)
