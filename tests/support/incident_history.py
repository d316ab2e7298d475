"""A made-up night: a gateway dies of its store again and again, is cured, and lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.stores import HOUR_MS, NOW_MS
from tailflip.base.workspace import Workspace
from tailflip.flow.findings import Finding
from tailflip.flow.lives import (
    Breaker,
    BreakerState,
    Cause,
    Confidence,
    Death,
    Decision,
    Incident,
    Life,
    Waiting,
)
from tailflip.flow.numbers import RewriteNumbers
from tailflip.flow.observed import Sample
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.stores.archive import Archived, Manifest

if TYPE_CHECKING:
    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.ledger.history import History

GUARD = "/home/u/.openclaw"
MB = 1_000_000
ACTION = "20260202T020000Z-abcdef"
FIRST_MS = NOW_MS - 6 * HOUR_MS
PERIOD_MS = 60_000
STDERR = b"secret-token\nFATAL ERROR: Reached heap limit \x1b[2J\nlast line \xff\n"


def make_life(name: str, started_ms: int, lasted_ms: int | None = None, **known: Any) -> Life:
    ended_ms = None if lasted_ms is None else started_ms + lasted_ms
    fields = {"guard": GUARD, "mode": "run", "version": "2026.4.14"} | known
    return Life(id=name, started_ms=started_ms, ended_ms=ended_ms, **fields)


def make_death(cause: Cause = Cause.V8_HEAP, **changed: Any) -> Death:
    fields: dict[str, Any] = {
        "cause": cause,
        "signature": cause.value,
        "confidence": Confidence.PROVEN,
        "evidence": ("stderr: FATAL ERROR: Reached heap limit",),
    }
    return Death(**fields | changed)


def make_incident(**known: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": "1",
        "guard": GUARD,
        "opened_ms": FIRST_MS,
        "closed_ms": None,
        "acked_ms": None,
        "cause": Cause.V8_HEAP,
        "signature": Cause.V8_HEAP.value,
    }
    return Incident(**fields | known)


def make_archived(
    at_ms: int, store: str = f"{GUARD}/agents/main/sessions/sessions.json"
) -> Archived:
    action = Action(
        id=ACTION,
        kind="compact",
        store=store,
        state=State.DONE,
        created_ms=at_ms,
        details=Details(temps=()),
    )
    after = RewriteNumbers(
        bytes=9 * MB,
        entries=120,
        digest="",
        kept_digest="",
        rules=(),
        records=0,
        archive_bytes=0,
        archive_digest="",
    )
    manifest = Manifest(
        action=ACTION,
        kind="compact",
        store=store,
        created_ms=at_ms,
        engine="",
        entries_before=6_539,
        bytes_before=185 * MB,
        digest_before="",
        transcript_suffix="",
        rewrite=after,
    )
    return Archived(action, manifest)


def record_night(
    history: History, *, deaths: int = 7, is_over: bool = True, store: str | None = None
) -> list[Life]:
    """Record a crash loop, and how it ended: cured and alive, or with an open breaker."""
    lives = []
    history.findings.note(
        [
            Finding(
                "heap-forecast",
                "error",
                f"{GUARD}/openclaw.json",
                "loading the stores needs about 4.3 GB of heap, the gateway has 2.3 GB",
                "run `tailflip compact` to see what can go",
            )
        ],
        FIRST_MS,
        {"heap-forecast"},
    )
    for n in range(deaths):
        started_ms = FIRST_MS + n * PERIOD_MS
        life = make_life(f"n{n}", started_ms)
        history.lives.begin(life)
        death = make_death()
        incident = history.incidents.open(death, started_ms + 42_000 + n)
        known = {"ready_ms": started_ms + 20_000, "death": death, "incident": incident.id}
        life = make_life(f"n{n}", started_ms, 42_000 + n, exit_code=1, **known)
        history.lives.end(life, STDERR + b"%d" % n)
        lives.append(life)
        ended_ms = life.ended_ms or 0
        decision = Decision(
            kind="start", reason="trying again", waiting=Waiting.TIME, at_ms=ended_ms + 2_000
        )
        history.decisions.record(decision, Breaker(row=n + 1), life.id, ended_ms + 1)
        history.samples.record(Sample(ended_ms, (400 + n) * MB, 185 * MB), life.id)
    last_ms = FIRST_MS + deaths * PERIOD_MS
    if is_over:
        act(history.workspace.home, history.workspace.disk, last_ms, store)
        cured = make_life("cured", last_ms + 5_000, ready_ms=last_ms + 15_000, pid=4121)
        history.lives.begin(cured)
        lives.append(cured)
        history.samples.record(Sample(last_ms + 10_000, 300 * MB, 9 * MB), "cured")
        history.samples.record(Sample(last_ms + HOUR_MS, 310 * MB, 10 * MB), "cured")
        history.incidents.close_all(last_ms + 200_000)
        history.findings.note([], last_ms + 5_000, {"heap-forecast"})
        history.decisions.record_breaker(Breaker())
    else:
        wait = Decision(
            kind="wait",
            reason="dies of memory and nothing more may go",
            waiting=Waiting.CURE,
            at_ms=NOW_MS + HOUR_MS,
            alert=True,
        )
        breaker = Breaker(
            state=BreakerState.OPEN,
            signature=Cause.V8_HEAP.value,
            row=deaths,
            waiting=Waiting.CURE,
            until_ms=NOW_MS + HOUR_MS,
        )
        history.decisions.record(wait, breaker, lives[-1].id, last_ms)
    return lives


def act(home: Home, disk: Disk, at_ms: int, store: str | None) -> None:
    """Record a compaction with its manifest."""
    archived = make_archived(at_ms, store or f"{GUARD}/agents/main/sessions/sessions.json")
    assert archived.manifest is not None
    Ledger(Workspace(home, disk)).begin(archived.action)
    home.archive(ACTION).mkdir(parents=True)
    path = home.archive(ACTION) / "manifest.json"
    path.write_text(archived.manifest.model_dump_json())
