"""What the exit codes mean: for help, the manual page and the documentation."""

from __future__ import annotations

MEANINGS = {
    0: "done, or nothing to do",
    1: "`check` found a problem, or `status` is grave",
    64: "bad arguments",
    65: "store invalid, its bytes intact",
    69: "a service cannot be reached",
    70: "a bug",
    73: "no room, or no state directory",
    74: "read or write failed, the original in place",
    75: "try later",
    77: "permission",
    78: "configuration",
}
STOPPED = "128+n stopped by signal n"


def list_codes() -> str:
    """List all codes in one paragraph."""
    codes = [f"{code} {meaning}" for code, meaning in MEANINGS.items()]
    return f"Exit codes: {'. '.join([*codes, STOPPED])}."
