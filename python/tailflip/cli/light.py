"""The options of `gate`, `preflight` and `run`, and a parser that costs a start nothing.

It reads well-formed options only. Anything else, `--help` and mistakes included, goes to Typer,
which declares its own options from the same table: all verbs speak one language.
"""

from __future__ import annotations

from dataclasses import field

from tailflip.flow.late import dataclass

ABOUT = {
    "gate": "Look at the session stores, heal what must be, then become COMMAND.",
    "preflight": "The same without COMMAND being started: exit code 0 says go.",
    "run": "Start COMMAND and guard it: watch, find out why it died, heal, start again.",
    "serve": "Answer with a page, metrics and a state, to this host alone; changes nothing.",
}
MORE = {
    "gate": "For a service manager that restarts the gateway itself: put `tailflip gate --` in "
    "front of its command. Nothing of tailflip stays behind in the process.",
    "preflight": "For ExecStartPre= and init containers. COMMAND tells which gateway will start, "
    "and with which heap.",
    "run": "SIGTERM and SIGINT stop both, SIGHUP reads the settings again, SIGUSR1 and SIGUSR2 "
    "restart the gateway. `tailflip status` shows how it goes.",
    "serve": "`tailflip page` gives a link to the page. /metrics wants the token, for Prometheus; "
    "/status.json and /incidents/N are there too, and /healthz says a word to whoever asks.",
}


VERSION = ("-V", "--version")
# Verbs that have verbs of their own.
GROUPS = frozenset({"archive", "incidents", "alerts", "config", "maintenance"})


@dataclass(frozen=True)
class Option:
    """An option; without `metavar` it is a flag. `key` is the setting that it sets."""

    name: str
    metavar: str | None
    meaning: str
    key: str | None = None
    repeats: bool = False

    @property
    def field(self) -> str:
        """Name the option as a field."""
        return self.name.removeprefix("--").replace("-", "_")


_SHARED = (
    Option("--state-dir", "DIR", "OpenClaw's state directory.", "gateway.state_dir"),
    Option("--profile", "NAME", "OpenClaw's profile.", "gateway.profile"),
    Option("--port", "PORT", "The gateway's port.", "gateway.port"),
    Option("--heap-limit", "SIZE", "The gateway's heap limit, such as 2gb.", "gateway.heap_limit"),
    Option(
        "--set",
        "KEY=VALUE",
        "Any setting, such as heal.admission=false; `tailflip config show` lists them.",
        repeats=True,
    ),
    Option(
        "--unit",
        "FILE",
        "A unit of systemd: start what its own ExecStart says now; COMMAND only if that cannot "
        "be read.",
    ),
)
_PARK = Option(
    "--park",
    None,
    "Do not exit when the start is refused: wait, and look again once something has changed; for "
    "launchd, which would start it again whatever the exit code.",
)
_RELEASE = Option(
    "--release",
    "VERSION",
    "Say what the stores will meet in this release of OpenClaw; nothing is healed or recorded.",
)
_JSON = Option("--json", None, "Write JSON to standard output.")
_SERVE = (
    *_SHARED[:2],
    Option("--listen", "ADDRESS", "Where to listen, such as 127.0.0.1:9309."),
    Option(
        "--fd",
        "N",
        "Take the socket of this number, which listens already; without --end-after, end after "
        "ten quiet minutes.",
    ),
    Option("--end-after", "TIME", "End after so long without a question, such as 10m."),
)
OPTIONS = {"gate": (*_SHARED, _PARK), "preflight": (*_SHARED, _RELEASE, _JSON), "run": _SHARED}
OPTIONS["serve"] = _SERVE


@dataclass
class Given:
    """The options that were given, by their field names."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    def last(self, name: str) -> str | None:
        """Return the value of an option."""
        return self.texts[name][-1] if name in self.texts else None


def read_options(verb: str, words: list[str]) -> Given | None:
    """Read well-formed options; None for anything that Typer has to answer."""
    known = {option.name: option for option in OPTIONS[verb]}
    given, rest = Given(), iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        option = known.get(name)
        if option is None or (option.field in given.texts and not option.repeats):
            return None
        if option.metavar is None:
            if equals:
                return None
            given.flags.add(option.field)
            continue
        text = value if equals else next(rest, None)
        if text is None or (not equals and text.startswith("-")):
            return None
        given.texts.setdefault(option.field, []).append(text)
    return given
