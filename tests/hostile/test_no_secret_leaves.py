"""Secrets put everywhere a gateway has them: none is in what we say, log or record.

Where they are whole on purpose: the archive and the quarantine, which are the user's own
bytes, and the stderr column of the ledger. A session key can hold a phone number, so keys
are told only by the verbs that are asked for them.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support.hostile_installation import make_run
from tailflip.base import clock

FAKE = Path(__file__).parents[1] / "fakes" / "fake_gateway.py"
SECRET = "CANARY"  # noqa: S105 - every one of them begins so
PHONE = "+4915112345678"
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
HOUR_MS = 3_600_000
# What shows keys because it was asked what an archive holds.
ASKED_FOR_KEYS = ("archive show",)
VERBS = (
    ("check",),
    ("check", "--json"),
    ("inspect",),
    ("inspect", "--json"),
    ("compact",),
    ("compact", "--json"),
    ("reconcile",),
    ("reconcile", "--json"),
    ("tasks",),
    ("tasks", "--json"),
    ("preflight", "--json", "--heap-limit", "260mb"),
    ("compact", "--apply", "--cap-total", "1", "--json"),
    ("reconcile", "--apply", "--json"),
    ("archive", "list"),
    ("archive", "list", "--json"),
    ("restore", "--all"),
    ("restore", "--all", "--json"),
    ("restore", "--all", "--apply"),
    ("reconcile", "--apply"),
    ("status",),
    ("status", "--json"),
    ("incidents",),
    ("incidents", "--json"),
    ("config", "show"),
    ("config", "show", "--json"),
    ("report",),
    ("report", "--for-issue"),
    ("report", "--json"),
    ("fleet",),
    ("fleet", "--json"),
)


def canary(where: str) -> str:
    return f"{SECRET}-{where}-9f8e7d6c5b4a"


def fill(place):
    """Put a secret in every place where the gateway has text of people, or a token."""
    now_ms = clock.now_ms()
    text = {"lastMessage": canary("text"), "origin": {"label": canary("label")}}
    entries = {
        "agent:main:main": {"sessionId": "main", "updatedAt": now_ms, **text},
        f"agent:main:whatsapp:direct:{PHONE}": {"sessionId": "p", "updatedAt": now_ms, **text},
        f"agent:main:cron:{JOB}": {"sessionId": "z", "updatedAt": now_ms - 2 * HOUR_MS},
    }
    for n in range(40):
        entries[f"agent:main:cron:{JOB}:run:r{n}"] = make_run(
            f"r{n}", skillsSnapshot={"prompt": canary("skills")}, summary=canary("summary"), **text
        )
    began = now_ms - 30 * HOUR_MS
    zombie = f"agent:main:cron:{JOB}:run:z"
    entries[zombie] = {"sessionId": "z", "updatedAt": began, "status": "running", **text}
    place.put(entries)
    for name in ("main", "p", "z", "r0"):
        path = place.store.with_name(f"{name}.jsonl")
        path.write_text(json.dumps({"message": canary("transcript")}) + "\n")
    cron = place.state / "cron"
    (cron / "runs").mkdir(parents=True)
    job = {
        "id": JOB,
        "name": "morning report",
        "enabled": True,
        "schedule": {"kind": "cron", "expr": "0 * * * *"},
        "payload": {"kind": "agentTurn", "message": canary("payload")},
        "delivery": {"to": PHONE},
        "state": {"runningAtMs": now_ms - HOUR_MS, "lastError": canary("last-error")},
    }
    (cron / "jobs.json").write_text(json.dumps({"version": 1, "jobs": [job]}))
    line = {"ts": began + 60_000, "jobId": JOB, "action": "finished", "status": "error"}
    line |= {"runAtMs": began, "durationMs": 60_000, "sessionId": "z", "sessionKey": zombie}
    line |= {"error": canary("run-error"), "summary": canary("run-summary")}
    (cron / "runs" / f"{JOB}.jsonl").write_text(json.dumps(line) + "\n{broken " + canary("broken"))
    config = {"gateway": {"mode": "local", "auth": {"token": canary("token")}}}
    config |= {"channels": {"telegram": {"botToken": canary("bot")}}, "env": {"K": canary("env")}}
    (place.state / "openclaw.json").write_text(json.dumps(config))
    (place.state / ".env").write_text(f"API_KEY={canary('dotenv')}\n")
    place.env |= {
        "OPENCLAW_GATEWAY_TOKEN": canary("env-token"),
        "ANTHROPIC_API_KEY": canary("api-key"),
    }


def find_secrets(told: str) -> list[str]:
    return [line for line in told.splitlines() if SECRET in line or PHONE in line]


def read_record(place) -> str:
    """Everything that we keep, but for the bytes of users."""
    texts = []
    for path in sorted(place.home.root.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        of_users = path.name in ("records.zst", "before") or path.parent == place.home.quarantine
        if path == place.home.ledger:
            with closing(sqlite3.connect(path)) as db:
                db.execute("UPDATE lives SET stderr = NULL")  # not committed
                texts.append("\n".join(db.iterdump()))
        elif not of_users:
            texts.append(f"{path.name}: {data.decode(errors='replace')}")
    return "\n".join(texts)


def test_no_verb_tells_a_secret(place):
    fill(place)
    for verb in VERBS:
        ran = place.run(*verb)
        assert ran.code in (0, 1), (verb, ran)
        assert find_secrets(ran.err) == [], verb
        if " ".join(verb[:2]) not in ASKED_FOR_KEYS:
            assert find_secrets(ran.out) == [], verb
    assert place.home.archives.is_dir()
    assert find_secrets(read_record(place)) == []


@pytest.mark.parametrize(
    "damage",
    [
        b'{"agent:main:main": {"sessionId": "%s", "updatedAt": 1}, "%s": {"a"',
        b'{"agent:main:main": {"token": "%s"}, %s}',
        b"%s %s",
    ],
)
def test_no_error_quotes_what_it_could_not_read(place, damage):
    place.put({})
    place.store.write_bytes(damage % ((canary("broken").encode(),) * 2))
    for name in ("openclaw.json", "cron/jobs.json"):
        path = place.state / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'{{"gateway": {{"auth": {{"token": "{canary("config")}" oops')
        for verb in (("check",), ("compact",), ("inspect", "--json"), ("reconcile",)):
            ran = place.run(*verb)
            assert find_secrets(ran.out + ran.err) == [], verb
            assert "Traceback" not in ran.err
        path.unlink()


def test_what_a_guarded_gateway_says_is_passed_on_and_kept_and_told_nowhere(place):
    fill(place)
    said_last = f"Error: request to {PHONE} failed: {canary('stderr')}"
    script = place.root / "gateway.sh"  # what is said is in no command line that we see
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} {FAKE} --port 18999 --die 1 --after-s 0.1 "
        f"--say '{said_last}'\n"
    )
    command = ["/bin/sh", str(script), "--token", canary("argv"), f"--password={canary('argv2')}"]
    place.env.pop("OPENCLAW_GATEWAY_PORT")
    guarded = subprocess.Popen(
        [
            *(sys.executable, "-m", "tailflip", "run", "--set", "restart.first_delay_s=600"),
            *("--set", "restart.cap_s=600", "--port", "18999", "--", *command),
        ],
        env=place.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in guarded.stderr:
        said.append(line)
        if "the gateway will be started" in line:
            guarded.terminate()
    assert guarded.wait() == 0, said
    guarded.stderr.close()
    ours = [line for line in said if "tailflip: " in line]
    assert ours
    assert len(find_secrets("".join(said))) == 1, "the gateway's own line passes by"
    assert find_secrets("".join(ours)) == []
    assert find_secrets(read_record(place)) == []
    for verb in (("status",), ("status", "--json"), ("incidents", "--json"), ("incidents",)):
        assert find_secrets(place.run(*verb).out) == []
    assert "***" in read_record(place)
    (incident,) = json.loads(place.run("incidents", "--json").out)["incidents"]
    number = str(incident["id"])
    assert find_secrets(place.run("incidents", "why", number).out) == []
    assert find_secrets(place.run("incidents", "why", number, "--stderr").out) != []


def test_nobody_else_may_read_what_we_make(place):
    """With the widest umask there is."""
    fill(place)
    for verb in (("compact", "--apply"), ("restore", "--all", "--apply"), ("reconcile", "--apply")):
        ran = place.run(*verb, umask=0)
        assert ran.code == 0, ran
    place.store.write_bytes(place.store.read_bytes()[:-20])
    assert place.run("compact", "--apply", umask=0).code == 0
    place.run("gate", "--", "/bin/true", umask=0)
    for path in (place.home.root, *place.home.root.rglob("*")):
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.lstat().st_mode) == allowed, path
    assert stat.S_IMODE(place.store.stat().st_mode) == 0o600
    shutil.rmtree(place.home.root)
