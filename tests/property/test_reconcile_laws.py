"""Doing it twice is doing it once, undoing it is not having done it, and chats stay."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.process import start_ticks
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import reconcile_all
from tailflip.reconcile.write import undo
from tailflip.stores.restore import restore

HOUR_MS = 3_600_000
KINDS = ("markers", "tasks", "zombies", "retention")
STATUS = st.sampled_from([None, "running", "done", "failed", "killed", "timeout", 7])

entries = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["run", "run", "run", "base", "subagent", "direct", "odd"]),
            "job": st.sampled_from(["a", "b"]),
            "age_h": st.one_of(st.none(), st.integers(0, 72)),
            "status": STATUS,
            "log": st.sampled_from([None, "ok", "error", "timeout"]),
            "live": st.booleans(),
        }
    ),
    max_size=12,
)
markers = st.lists(
    st.fixed_dictionaries(
        {
            "running_h": st.one_of(st.none(), st.integers(0, 72)),
            "kind": st.sampled_from(["every", "cron", "at"]),
            "enabled": st.booleans(),
        }
    ),
    max_size=3,
)


class Place:
    """One installation made of what hypothesis chose."""

    def __init__(self, root, chosen, marked):
        self.root, self.state = root, root / "state"
        self.sessions = self.state / "agents" / "main" / "sessions"
        self.sessions.mkdir(parents=True)
        (self.state / "cron" / "runs").mkdir(parents=True)
        self.store = self.sessions / "sessions.json"
        self.jobs = self.state / "cron" / "jobs.json"
        self.home, self.disk = Home(root / "tailflip"), RealDisk()
        self.env = {"HOME": str(root), "OPENCLAW_STATE_DIR": str(self.state), "PATH": str(root)}
        self.env["OPENCLAW_GATEWAY_PORT"] = "1"
        self.now = 0
        self.live = set()
        self.write(chosen, marked)

    def write(self, chosen, marked):
        self.now = int(time.time() * 1000)
        store, lines = {"agent:main:main": {"sessionId": "main", "status": "running"}}, []
        for n, each in enumerate(chosen):
            key = {
                "run": f"agent:main:cron:{each['job']}:run:s{n}",
                "base": f"agent:main:cron:{each['job']}",
                "subagent": f"agent:main:subagent:s{n}",
                "direct": f"agent:main:direct:{n}",
                "odd": f"whatever:{n}",
            }[each["kind"]]
            entry = {"sessionId": f"s{n}", "n": n}
            if each["age_h"] is not None:
                entry["updatedAt"] = self.now - each["age_h"] * HOUR_MS - 1000
            if each["status"] is not None:
                entry["status"] = each["status"]
            store[key] = entry
            if each["log"] is not None and each["age_h"] is not None:
                line = {"action": "finished", "jobId": each["job"], "durationMs": 500}
                line |= {"status": "ok" if each["log"] == "ok" else "error"}
                line |= {"runAtMs": entry["updatedAt"] - 100}
                if each["log"] != "timeout":
                    line |= {"sessionKey": key, "sessionId": f"s{n}"}
                lines.append(line)
            if each["live"]:
                self.live.add(key)
                me = {"pid": os.getpid(), "starttime": start_ticks(os.getpid())}
                (self.sessions / f"s{n}.jsonl.lock").write_text(json.dumps(me))
        self.store.write_text(json.dumps(store, indent=2))
        (self.state / "cron" / "runs" / "a.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )
        jobs = [
            {
                "id": name,
                "enabled": each["enabled"],
                "schedule": {"kind": each["kind"]},
                "state": {}
                if each["running_h"] is None
                else {"runningAtMs": self.now - each["running_h"] * HOUR_MS},
            }
            for name, each in zip("abc", marked, strict=False)
        ]
        self.jobs.write_text(json.dumps({"version": 1, "jobs": jobs}, indent=2))

    def reconcile(self):
        work = begin(
            self.env,
            workspace=Workspace(self.home, self.disk),
            apply=True,
            on_progress=lambda *_: None,
            capabilities=find_capabilities((2026, 3, 28)),
        )
        result = reconcile_all(work, KINDS)
        assert result.errors == []
        return result.steps

    def undo_all(self):
        for action in Ledger(Workspace(self.home, self.disk)).read_all():
            if action.kind in undo.KINDS:
                undo.undo(
                    action,
                    env=self.env,
                    workspace=Workspace(self.home, self.disk),
                    apply=True,
                    now_ms=self.now + 50,
                )
            elif action.kind == "compact":
                restore(
                    Workspace(self.home, self.disk),
                    action_id=action.id,
                    apply=True,
                    now_ms=self.now + 60,
                )


@settings(max_examples=40, deadline=None)
@given(entries, markers)
def test_laws_of_reconciliation(chosen, marked):
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), chosen, marked)
        before, jobs = place.store.read_bytes(), place.jobs.read_bytes()
        place.reconcile()
        once, jobs_once = place.store.read_bytes(), place.jobs.read_bytes()

        old, new = json.loads(before), json.loads(once)
        for key, entry in old.items():
            is_chat = key.startswith(("agent:main:main", "agent:main:direct"))
            if key in place.live or (is_chat and entry.get("status") != "running"):
                assert new[key] == entry, "live runs, and chats that are over, are not touched"
            elif is_chat:
                # 2026.3.28 does not resume a chat of a dead gateway: it may be ended, no more.
                changed = {k for k in {**entry, **new[key]} if entry.get(k) != new[key].get(k)}
                assert changed <= {"status", "endedAt", "runtimeMs"}
            elif ":run:" not in key:
                assert key in new, "only runs ever go"
            elif key in new:
                changed = {k for k in {**entry, **new[key]} if entry.get(k) != new[key].get(k)}
                assert changed <= {"status", "endedAt", "runtimeMs"}
                assert new[key].get("status") != "running" or "updatedAt" not in entry
        assert b"runningAtMs" not in jobs_once

        assert [step.counts for step in place.reconcile() if step.counts] == []
        assert (place.store.read_bytes(), place.jobs.read_bytes()) == (once, jobs_once)

        place.undo_all()
        assert place.jobs.read_bytes() == jobs
        assert json.loads(place.store.read_bytes()) == old
