"""Which verb ends with which exit code: for help, the manual page and the documentation.

Tests provoke each code of each verb, and hold every command line that they run to this table.
"""

from __future__ import annotations

MEANINGS = {
    0: "done, or nothing to do",
    1: "`check` found a problem, or `status` or `fleet` is grave",
    64: "bad arguments",
    65: "store or archive invalid, its bytes intact",
    69: "a service cannot be reached",
    70: "a bug",
    73: "no room, or no state directory",
    74: "read or write failed, the original in place",
    75: "try later",
    77: "permission",
    78: "configuration",
}
STOPPED = "128+n stopped by signal n"
# Every verb may end with these.
ALWAYS = (0, 64, 70)
_OF_A_START = (65, 74, 75, 77, 78)
# The others, by verb.
ALSO: dict[str, tuple[int, ...]] = {
    "status": (1, 73, 74, 75),
    "fleet": (1, 73, 74, 75),
    "check": (1, 65, 73, 74, 75, 78),
    "inspect": (65, 69, 73, 74, 77, 78),
    "compact": (65, 69, 73, 74, 75, 77, 78),
    "reclaim": (73, 74, 75, 77, 78),
    "slim": (65, 73, 74, 75, 77, 78),
    "reconcile": (65, 69, 73, 74, 75, 77, 78),
    "tasks": (73, 74, 75, 78),
    "watch": (73, 75, 78),
    "maintenance on": (73, 74, 75),
    "maintenance off": (73, 74, 75),
    "maintenance status": (73, 74, 75),
    "maintenance run": (73, 74, 75, 77, 78),
    "retry": (73, 74, 75),
    "release": (73, 74, 75, 77),
    "restore": (65, 73, 74, 75, 77),
    "archive list": (73, 74, 75),
    "archive show": (65, 73, 74, 75, 77),
    "archive verify": (65, 73, 74, 75, 77),
    "archive expire": (73, 74, 75, 77),
    "incidents list": (73, 74, 75),
    "incidents why": (73, 74, 75),
    "incidents ack": (73, 74, 75),
    "alerts list": (73, 74, 75),
    "alerts test": (69, 73, 74, 75),
    "alerts ack": (73, 74, 75),
    "alerts flush": (69, 73, 74, 75),
    "metrics": (73, 74, 77),
    "report": (65, 73, 74, 75, 77),
    "config show": (78,),
    "config check": (78,),
    "config example": (),
    "install": (65, 69, 73, 74, 75, 77),
    "uninstall": (65, 69, 74, 77),
    "demo": (73,),
    "gate": _OF_A_START,
    "preflight": _OF_A_START,
    "run": (75, 78),
    "serve": (73, 75, 77, 78),
    "page": (73, 77),
    "help": (),
    "version": (),
    "schema": (),
}


def list_codes(verb: str | None = None) -> str:
    """List the codes of a verb, or all, in one paragraph."""
    known = MEANINGS if verb is None else (*ALWAYS, *ALSO.get(verb, ()))
    codes = [f"{code} {_of(code, verb)}" for code in sorted(known)]
    return f"Exit codes: {'. '.join([*codes, STOPPED])}."


def _of(code: int, verb: str | None) -> str:
    """Say what a code means; 1 is of two verbs, each with its own meaning."""
    if code == 1 and verb is not None:
        said = {"check": "a problem was found", "fleet": "a gateway needs you"}
        return said.get(verb, "the gateway needs you")
    return MEANINGS[code]
