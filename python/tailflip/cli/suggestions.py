"""Which verb is meant by a word that is none: by what people say, or by its spelling."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What people say, by what they mean.
_MEANT = {
    "status": "state health ping top ps alive up info overview dashboard next",
    "fleet": "gateways all hosts every",
    "check": "doctor diagnose diagnosis verify-store problems findings lint audit test scan",
    "inspect": "analyze analyse show stats du size sizes usage sessions stores explain look",
    "compact": "repair fix heal cure clean cleanup clear shrink trim prune vacuum gc purge "
    "reduce salvage plan apply recover optimize",
    "reconcile": "sync settle unstick zombies markers storms stuck retention",
    "tasks": "jobs runs cron crons task",
    "watch": "monitor observe beside follow tail",
    "restore": "undo rollback revert unarchive back put-back",
    "archive list": "backup backups archives actions trash list ls",
    "archive verify": "verify",
    "archive expire": "expire delete rm",
    "incidents": "incident history events deaths crashes",
    "incidents why": "why log logs cause causes story reason",
    "incidents ack": "ack acknowledge seen",
    "maintenance on": "maintain pause hands-off mute snooze silence",
    "maintenance off": "resume unpause unmute",
    "serve": "web http server ui board",
    "page": "browser url link website",
    "metrics": "prometheus prom exporter openmetrics grafana",
    "report": "weekly week month summary availability html",
    "config show": "settings configure options env",
    "config check": "validate",
    "install": "setup enable init add service",
    "uninstall": "remove disable teardown",
    "demo": "example examples tour try",
    "run": "start restart guard supervise daemon exec launch up-gateway gateway",
    "gate": "before wrap",
    "preflight": "precheck ready admit",
    "version": "ver about",
    "schema": "schemas json jsonschema",
    "help": "man usage-help commands verbs",
}
_MEANT_IN = {
    "archive": {
        "list": "ls all index",
        "show": "cat view inspect read get info",
        "verify": "check test validate",
        "expire": "delete rm remove prune purge drop clean",
    },
    "incidents": {
        "list": "ls all history",
        "why": "show explain tell view story cause info get",
        "ack": "acknowledge seen close resolve done",
    },
    "maintenance": {
        "on": "begin start enable set extend",
        "off": "end stop disable cancel done",
        "status": "show list ls",
        "run": "exec with wrap during",
    },
    "config": {
        "show": "list ls get print view dump",
        "check": "validate verify test lint",
        "example": "init sample template default defaults generate edit",
    },
}


_SURELY = 0.75  # less, and `repiar` means `report`
_ALIKE = 0.65  # less, and `update` means `gate`


def suggest(word: str, names: Sequence[str], group: str = "") -> str | None:
    """Suggest the verb that is meant, with its group."""
    said = word.lower()
    table = _MEANT_IN.get(group, {}) if group else _MEANT
    by_word = {each: verb for verb, words in table.items() for each in words.split()}
    meant = said if said in names else by_word.get(said)
    if meant is None:
        near = get_close_matches(said, names, 1, _SURELY) or get_close_matches(
            said, (*names, *by_word), 1, _ALIKE
        )
        meant = by_word.get(near[0], near[0]) if near else None
    return f"{group} {meant}".strip() if meant else None
