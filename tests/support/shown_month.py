"""A month in a ledger, with hostile names and secrets wherever a name or a text can stand."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from support.incident_history import MB, make_death, make_life
from support.stores import HOUR_MS
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Breaker, Cause, Decision, Waiting
from tailflip.flow.work import Work, WorkKind
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.ledger.database import Database

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.ledger.history import History

DAY_MS = 24 * HOUR_MS
# Each stands in the ledger or in the gateway's files, and may be shown nowhere.
CANARIES = {
    "job": "Weekly<script>alert(1)</script>canaryjob",
    "key": "agent:main:telegram:canarykey",
    "url": "https://canary.example/hook?token=canaryurl",
    "token": "sk-canarytoken0123456789abcdef0123456789",
    "content": "dear canary, my password is hunter2",
    "path": "agents/main/sessions/canarypath.json",
}


def record_month(history: History, now_ms: int) -> None:
    """Record thirty days: a death a day, an action every third, a sample every half hour."""
    guard = history.guard
    for day in range(30, 0, -1):
        at_ms = now_ms - day * DAY_MS
        cause = (Cause.V8_HEAP, Cause.HANG, Cause.UNKNOWN)[day % 3]
        death = make_death(cause).model_copy(
            update={
                "signature": f"{cause} {CANARIES['content']}",
                "evidence": (f"stderr: {CANARIES['url']} {CANARIES['token']}",),
                "hint": f"look at {guard}/{CANARIES['path']}",
            }
        )
        life = make_life(f"l{day}", at_ms, guard=guard, ready_ms=at_ms + 20_000)
        history.lives.begin(life)
        incident = history.incidents.open(death, at_ms + 3 * HOUR_MS)
        work = Work(kind=WorkKind.JOB, key=CANARIES["job"])
        command = ("node", CANARIES["token"])
        known = {"ended_ms": at_ms + 3 * HOUR_MS, "death": death, "incident": incident.id,
                 "exit_code": 134, "in_flight": (work,), "command": command}  # fmt: skip
        history.lives.end(life.model_copy(update=known), CANARIES["content"].encode())
        if day > 1:
            history.incidents.close_all(at_ms + 4 * HOUR_MS)
        decision = Decision(
            kind="start", reason=f"trying again after {CANARIES['key']}", waiting=Waiting.TIME,
            at_ms=at_ms + 3 * HOUR_MS + 2_000,
        )  # fmt: skip
        history.decisions.record(decision, Breaker(row=1), life.id, at_ms + 3 * HOUR_MS)
        if day % 3 == 0:
            act(history, f"20260101T0000{day:02d}Z-aaaaaa", at_ms + 3 * HOUR_MS + 500)
    last = make_life("now", now_ms - 13 * HOUR_MS, guard=guard, ready_ms=now_ms - 13 * HOUR_MS + 9)
    history.lives.begin(last)
    put_samples(history, now_ms)
    findings = [
        Finding("job-rapid", "warning", CANARIES["job"], f"{CANARIES['job']}: 312 runs, one every "
                "21 s", f"openclaw cron disable {CANARIES['job']}", (CANARIES["content"],)),
        Finding("store-invalid", "error", f"{guard}/{CANARIES['path']}",
                f"{guard}/{CANARIES['path']} is damaged", f"see {CANARIES['url']}"),
        Finding("made-up-code", "warning", CANARIES["key"], CANARIES["content"], CANARIES["url"]),
    ]  # fmt: skip
    history.findings.note(findings, now_ms - 5 * HOUR_MS, {each.code for each in findings})


def put_samples(history: History, now_ms: int) -> None:
    """Put a sample for every half hour on record, in one transaction: they are 1,440."""
    rows = []
    for step in range(30 * 48, 0, -1):
        grown = 100 + (30 * 48 - step) % 96
        sizes = (300 + grown * 3) * MB, grown * MB // 10
        rows.append((history.guard, "now", now_ms - step * HOUR_MS // 2, *sizes))
    with Database(history.workspace).writing() as db:
        db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", rows)


def act(history: History, name: str, at_ms: int) -> None:
    """Record a compaction of a store below a path that may not be shown, with its manifest."""
    store = f"{history.guard}/{CANARIES['path']}"
    ledger = Ledger(history.workspace)
    action = Action(id=name, kind="compact", store=store, state=State.INTENDED, created_ms=at_ms,
                    details=Details(temps=()))  # fmt: skip
    ledger.begin(action)
    ledger.advance(action, State.DONE, took_ms=900, freed_bytes=184 * MB)
    folder = history.workspace.home.archive(name)
    folder.mkdir(parents=True, exist_ok=True)
    rewrite = {"bytes": 1_300_000, "entries": 1_650, "digest": "", "kept_digest": "", "rules": [],
               "records": 0, "archive_bytes": 0, "archive_digest": ""}  # fmt: skip
    manifest = {"action": name, "kind": "compact", "store": store, "created_ms": at_ms,
                "engine": "", "entries_before": 6_539, "bytes_before": 185 * MB,
                "digest_before": "", "transcript_suffix": "", "rewrite": rewrite}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    os.close(os.open(folder / "records.zst", os.O_CREAT | os.O_WRONLY))


def put_hostile_jobs(state: Path) -> None:
    """Give the gateway's own jobs and sessions the names that may not be shown."""
    path = state / "cron" / "jobs.json"
    jobs = json.loads(path.read_text())
    for job in jobs["jobs"]:
        job["name"] = CANARIES["job"]
    path.write_text(json.dumps(jobs))
    config = state / "openclaw.json"
    told = json.loads(config.read_text()) if config.exists() else {}
    told.setdefault("gateway", {})["auth"] = {"token": CANARIES["token"]}
    config.write_text(json.dumps(told))
