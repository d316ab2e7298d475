"""compact and reconcile judge every run alike, and neither touches what may be at work."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Gateway
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.process import start_ticks
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import reconcile_all
from tailflip.stores.json import native
from tailflip.stores.proof.judge import make_zombie_policy
from tailflip.stores.target import look

HOUR_MS = 3_600_000
MIN_MS = 60_000
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112

runs = st.lists(
    st.fixed_dictionaries(
        {
            "job": st.sampled_from(["a", "b"]),
            "age_min": st.sampled_from([1, 20, 59, 61, 130, 600, 3000]),
            "status": st.sampled_from(["running", "running", "running", None, "done"]),
            "log": st.sampled_from([None, None, "ok", "error", "keyless"]),
            "locked": st.sampled_from([False, False, False, True]),
            "written_min": st.sampled_from([None, 1, 90]),
            "at_work": st.sampled_from([False, False, False, True]),
            "has_base": st.booleans(),
        }
    ),
    max_size=8,
)
worlds = st.fixed_dictionaries(
    {
        "runs": runs,
        "marked": st.dictionaries(
            st.sampled_from(["a", "b"]), st.sampled_from([2, 60, 119, 500, 4000])
        ),
        "alive": st.sampled_from([True, None, False]),
        "lives_min": st.sampled_from([None, 5, 100, 5000]),
        "form": st.sampled_from(["files", "files", "files", "split", "sqlite", "torn jobs"]),
    }
)


class Place:
    """One installation made of what hypothesis chose."""

    def __init__(self, root, world):
        self.root, self.world, self.now = root, world, int(time.time() * 1000)
        self.state = root / "state"
        self.sessions = self.state / "agents/main/sessions"
        self.sessions.mkdir(parents=True)
        (self.state / "cron/runs").mkdir(parents=True)
        self.store = self.sessions / "sessions.json"
        self.home, self.disk = Home(root / "tailflip"), RealDisk()
        self.env = {"HOME": str(root), "OPENCLAW_STATE_DIR": str(self.state), "PATH": str(root)}
        self.env["OPENCLAW_GATEWAY_PORT"] = "1"
        self.write()

    def write(self):
        store, lines = {}, []
        for n, run in enumerate(self.world["runs"]):
            began = self.began(n, run)
            key = f"agent:main:cron:{run['job']}:run:s{n}"
            entry = {"sessionId": f"s{n}", "updatedAt": began}
            if run["status"] is not None:
                entry["status"] = run["status"]
            store[key] = entry
            if run["has_base"]:
                store[f"agent:main:cron:{run['job']}"] = {"sessionId": f"s{n}", "updatedAt": began}
            if run["log"] is not None:
                line = {"action": "finished", "jobId": run["job"], "durationMs": 500}
                line |= {"runAtMs": began, "status": "ok" if run["log"] == "ok" else "error"}
                if run["log"] != "keyless":
                    line |= {"sessionKey": key, "sessionId": f"s{n}"}
                lines.append(line)
            if run["locked"]:
                me = {"pid": os.getpid(), "starttime": start_ticks(os.getpid())}
                (self.sessions / f"s{n}.jsonl.lock").write_text(json.dumps(me))
            if run["written_min"] is not None:
                path = self.sessions / f"s{n}.jsonl"
                path.write_text("")
                os.utime(path, ns=((self.now - run["written_min"] * MIN_MS) * 1_000_000,) * 2)
        self.store.write_text(json.dumps(store))
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.state / "cron/runs/x.jsonl").write_text(text)
        self.write_jobs(self.world["form"])

    def began(self, n, run):
        """Say when a run began: no two at once, so that a line without a key is about one."""
        return self.now - run["age_min"] * MIN_MS + n * 1_000

    def write_jobs(self, form):
        marked = {
            job: {"runningAtMs": self.now - age * MIN_MS}
            for job, age in self.world["marked"].items()
        }
        inline = {} if form == "split" else marked
        jobs = [{"id": job, "state": inline.get(job, {})} for job in "ab"]
        text = json.dumps({"version": 1, "jobs": jobs})
        (self.state / "cron/jobs.json").write_text(text[:-9] if form == "torn jobs" else text)
        if form == "split":
            states = {job: {"state": state} for job, state in marked.items()}
            text = json.dumps({"version": 1, "jobs": states})
            (self.state / "cron/jobs-state.json").write_text(text)
        if form == "sqlite":
            (self.state / "state").mkdir()
            with closing(sqlite3.connect(self.state / "state/openclaw.sqlite")) as db:
                for table in ("cron_jobs", "cron_run_logs", "task_runs", "subagent_runs"):
                    db.execute(f"CREATE TABLE {table} (x)")

    @property
    def gateway(self):
        alive, lives = self.world["alive"], self.world["lives_min"]
        if alive is not True:
            return Gateway(alive, None, None, "test")
        return Gateway(True, 7, None if lives is None else self.now - lives * MIN_MS, "test")

    def judging(self):
        """Stand in for what the machine says; all of it is read by both."""
        keys = frozenset(
            f"agent:main:cron:{run['job']}:run:s{n}"
            for n, run in enumerate(self.world["runs"])
            if run["at_work"]
        )
        return mock.patch.multiple(
            "tailflip.stores.proof.judge", read_run_keys=lambda: keys
        ), mock.patch.multiple("tailflip.stores.target", read_gateway=lambda *_: self.gateway)

    def compact(self):
        """Return the store as compact's rules about runs would leave it."""
        with self.judging()[0], self.judging()[1]:
            scene = look(self.env)
            [store] = scene.stores
            return self.rewrite(scene.read_evidence(store, frozenset(), ()), scene.now_ms)

    def reconcile(self):
        """Return the store as reconcile would leave it."""
        with self.judging()[0], self.judging()[1]:
            work = begin(
                self.env,
                workspace=Workspace(self.home, self.disk),
                apply=False,
                on_progress=lambda *_: None,
                capabilities=find_capabilities((2026, 4, 14)),
            )
            result = reconcile_all(work, ("zombies",))
        assert result.errors == []
        [judged] = work.judged.values()
        return self.rewrite(judged.evidence, work.scene.now_ms)

    def rewrite(self, evidence, now_ms):
        """Do what the hands of both do, in memory."""
        with self.store.open("rb") as source, tempfile.TemporaryFile() as out:
            policy = make_zombie_policy(HOUR_MS)
            surveyed = native.survey(source.fileno(), policy, evidence, now_ms)
            with tempfile.TemporaryFile() as archive:
                native.rewrite(source.fileno(), out.fileno(), archive.fileno(), surveyed)
            out.seek(0)
            return json.loads(out.read())

    def is_untouchable(self, n, run):
        """Say by the rules of people, not by the code, what must stay as it is."""
        if run["locked"]:
            return True
        has_end = run["log"] is not None
        world, gateway = self.world, self.gateway
        if run["at_work"] and not has_end:
            return True
        may_live = gateway.alive is not False and (
            gateway.started_ms is None or self.began(n, run) >= gateway.started_ms
        )
        if not may_live or has_end:
            return False
        if world["form"] in ("sqlite", "torn jobs"):
            return True
        began = self.began(n, run)
        marker = world["marked"].get(run["job"])
        since = None if marker is None else self.now - marker * MIN_MS
        named = [m for m, each in enumerate(world["runs"]) if self.names(each, run)]
        is_newest = not named or named[-1] == n
        by_this = since is not None and (gateway.started_ms is None or since >= gateway.started_ms)
        return by_this and since <= began and is_newest

    @staticmethod
    def names(each, run):
        return each["has_base"] and each["job"] == run["job"]


@settings(max_examples=60, deadline=None)
@given(worlds)
def test_both_verbs_judge_every_run_alike_and_keep_what_may_be_at_work(world):
    """A run was called alive by one, and removed by the other in the same minute."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        one = Place(Path(folder), world)
        before = json.loads(one.store.read_text())
        compacted, reconciled = one.compact(), one.reconcile()
        assert shape(compacted) == shape(reconciled)
        for n, run in enumerate(world["runs"]):
            key = f"agent:main:cron:{run['job']}:run:s{n}"
            if run["status"] == "running" and one.is_untouchable(n, run):
                assert compacted.get(key) == before[key]
            if world["form"] == "sqlite" and run["log"] is None:
                # How it ended is on record where nobody has read.
                assert compacted.get(key) == before[key]


def shape(store):
    """Take out what differs by the milliseconds between two calls."""
    return {key: (entry.get("status"), "endedAt" in entry) for key, entry in store.items()}
