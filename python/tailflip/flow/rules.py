"""The names of rules, repairs and kinds of keys, as the extension and the ledger spell them."""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """The rules that may change or remove an entry, from the least lossy to the most."""

    SLIM = "slim"
    RETIRE = "retire"
    EXPIRE = "expire"
    FORCE_EXPIRE = "force-expire"
    SINGLE_FLIGHT = "single-flight"
    CAP_PER_JOB = "cap-per-job"
    CAP_TOTAL = "cap-total"
    DROP_KIND = "drop-kind"
    NAMED = "named"


ONLINE = "online"  # beside the rules of a policy: what a living gateway is asked to delete


class Repair(StrEnum):
    """What is done to a database whatever the policy. No rule judges it.

    `PROVE`: entries that the gateway refuses without looking are proven by it anew. `QUARANTINE`:
    rows that it cannot read go to the archive. `FREE_PAGES`: pages without use are given back.
    """

    PROVE = "prove-anew"
    QUARANTINE = "quarantine"
    FREE_PAGES = "free-pages"


class KeyKind(StrEnum):
    """The kinds of session keys, which the engine reads from the key."""

    CRON_RUN = "cron run"
    CRON_BASE = "cron base"
    MAIN = "main"
    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"
    THREAD = "thread"
    SUBAGENT = "sub-agent"
    ACP = "acp"
    HOOK = "hook"
    DASHBOARD = "dashboard"
    DREAM = "dream narrative"
    OTHER = "other"
