"""`check` is what people run first: it sees what the other verbs see, and what lies around."""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid

import pytest

from tailflip.base import clock

HOUR_MS = 3_600_000
DAILY = {"kind": "cron", "expr": "0 13 * * *"}


def job(name, **members):
    return {
        "id": str(uuid.uuid4()),
        "name": name,
        "enabled": True,
        "schedule": DAILY,
        "sessionTarget": "isolated",
        "payload": {"kind": "agentTurn", "message": name},
        "state": {},
        **members,
    }


def entry(age_ms, **members):
    return {"sessionId": str(uuid.uuid4()), "updatedAt": clock.now_ms() - age_ms, **members}


@pytest.fixture
def sick(place):
    place.put(json.dumps({"agent:main:main": entry(HOUR_MS)}, indent=2).encode())
    (place.state / "cron" / "runs").mkdir(parents=True)

    def put_jobs(*jobs):
        text = json.dumps({"version": 1, "jobs": jobs})
        (place.state / "cron" / "jobs.json").write_text(text)

    return place, put_jobs


def check(place):
    code, out, err = place.run("check", "--json")
    found = json.loads(out)["findings"]
    assert code == (1 if found else 0), err
    return {finding["code"]: finding for finding in found}


def test_all_is_well(sick):
    place, put_jobs = sick
    put_jobs(job("a"), job("b"))
    assert check(place) == {}


def test_a_storm_in_the_run_log_is_told_by_check_as_by_reconcile(sick):
    """A hundred runs a second, and check said that nothing was wrong."""
    place, put_jobs = sick
    stormy = job("nightly")
    put_jobs(stormy)
    began = clock.now_ms() - 2 * HOUR_MS
    lines = (
        {"ts": at, "action": "finished", "status": "ok", "runAtMs": at, "durationMs": 0}
        for at in range(began, began + 800, 8)
    )
    log = place.state / "cron" / "runs" / f"{stormy['id']}.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = check(place)
    assert list(found) == ["job-storm"]
    assert found["job-storm"]["message"] == (
        "100 runs in 0.8 s, one every 8 ms; its schedule allows one every 24 h"
    )
    _, out, _ = place.run("reconcile", "storms", "--json")
    assert json.loads(out)["findings"] == [found["job-storm"]]


def test_a_job_that_is_there_three_times_is_told(sick):
    place, put_jobs = sick
    twins = [job("report"), job("report", agentId="main"), job("report")]
    put_jobs(*twins, job("report", agentId="other"), job("report", enabled=False))
    assert check(place)["jobs-twin"]["evidence"] == ["report: 3 times"]


def test_programs_are_told_what_was_not_looked_for(sick):
    """What only a guard sees is not "all is well": check says that it could not look."""
    place, put_jobs = sick
    put_jobs(job("a"))
    told = json.loads(place.run("check", "--json")[1])
    assert set(told["not_looked_for"]) == {
        "crash-loop", "restart-loop", "memory-elsewhere", "memory-trend", "start-refused",
        "entries-resurrected", "work-kills", "safe-start",
        "settings-wrong",  # those of the shell are right: the gateway's start had its own
    }  # fmt: skip
    quick = json.loads(place.run("status", "--json")[1])
    assert set(told["not_looked_for"]) < set(quick["not_looked_for"])


def test_status_tells_what_check_tells_as_far_as_it_looks(sick):
    place, put_jobs = sick
    put_jobs(job("report"), job("report"))
    left = place.store.with_name("sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp")
    left.write_text("12345")
    os.utime(left, (1, 1))
    found = check(place)
    told = json.loads(place.run("status", "--json")[1])["findings"]
    assert [{name: each[name] for name in found["leftovers"]} for each in told] == list(
        found.values()
    )
    assert {each["code"] for each in told} == {"jobs-twin", "leftovers"}


def test_chats_left_running_are_told_and_said_to_stay(sick):
    place, _ = sick
    running = {"status": "running", "startedAt": 1}
    store = {f"agent:main:slack:channel:c{n}": entry(30 * HOUR_MS, **running) for n in range(28)}
    store |= {f"agent:main:subagent:{n}": entry(30 * HOUR_MS, **running) for n in range(3)}
    place.put(json.dumps(store).encode())
    found = check(place)["chats-running"]
    assert found["evidence"] == ["channel: 28", "sub-agent: 3"]
    assert "chats are left to the gateway" in found["hint"]


@pytest.mark.parametrize(
    ("key", "option"),
    [
        ("agent:main:dreaming-narrative-rem-0123456789ab-{}", "dream"),
        ("agent:main:subagent:{}", "subagent"),
    ],
)
def test_a_kind_that_fills_a_store_can_be_dropped_and_put_back(sick, key, option):
    """500 finished entries that no rule removes: named, taken out by age, and undone."""
    place, _ = sick
    store = {"agent:main:main": entry(0)}
    store |= {key.format(n): entry(n * HOUR_MS, status="done") for n in range(500)}
    data = json.dumps(store, indent=2).encode()
    place.put(data)
    hint = check(place)["kind-fills-store"]["hint"]
    assert f"tailflip compact --drop-kind {option} --older-than " in hint
    argv = ("compact", "--drop-kind", option, "--older-than", "100h")
    code, out, err = place.run(*argv)
    assert (code, err) == (0, "")
    assert "drop-kind 400 entries" in " ".join(out.split())
    assert place.store.read_bytes() == data
    code, out, _ = place.run(*argv, "--apply", "--json")
    assert code == 0
    assert len(json.loads(place.store.read_bytes())) == 101
    action = json.loads(out)["reports"][0]["action_id"]
    assert place.run("restore", action, "--apply")[0] == 0
    assert json.loads(place.store.read_bytes()) == store


def test_each_kind_has_its_own_age(place):
    """Once the last age counted for all kinds, and the first was forgotten without a word."""
    now, hour_ms = clock.now_ms(), 3_600_000
    entries = {
        key: {"sessionId": f"{n}{hours}", "updatedAt": now - hours * hour_ms, "status": "done"}
        for hours in (30, 90)
        for n, key in enumerate(
            (
                f"agent:main:subagent:{hours}",
                f"agent:main:dreaming-narrative-rem-0123456789ab-{now - hours * hour_ms}",
            )
        )
    }
    place.put(json.dumps(entries).encode())
    argv = ("compact", "--drop-kind", "dream", "--older-than", "24h", "--drop-kind", "subagent")
    code, out, _ = place.run(*argv, "--older-than", "40h", "--apply")
    assert (code, "dream entries kept 24 h, subagent entries kept 40 h" in out) == (0, True)
    assert list(json.loads(place.store.read_bytes())) == ["agent:main:subagent:30"]
    assert place.run("restore", "--all", "--apply")[0] == 0
    assert json.loads(place.store.read_bytes()) == entries
    for more, word in (
        (("1h", "--older-than", "1h"), "one age for all kinds, or one for each"),
        (("false",), "--older-than is not a length of time"),
    ):
        code, _, err = place.run(*argv, "--older-than", *more)
        assert (code, word in err) == (64, True), (more, err)


@pytest.mark.parametrize(
    "argv", [("--drop-kind", "dream"), ("--older-than", "7d"), ("--drop-kind", "main")]
)
def test_a_kind_needs_an_age_and_a_chat_is_no_such_kind(sick, argv):
    place, _ = sick
    code, _, err = place.run("compact", *argv, *(["--older-than", "1d"] * ("main" in argv)))
    assert code == 64
    assert err.startswith("error: ")


def test_litter_beside_the_store_is_counted(sick):
    place, _ = sick
    folder = place.store.parent
    for n in range(999):
        (folder / f"old-{n}.jsonl").write_text("x")
        os.utime(folder / f"old-{n}.jsonl", (1, 1))
    assert "folder-litter" not in check(place)
    copy = folder / "a.jsonl.bak-1220-1732800000000"
    copy.write_text("x")
    assert check(place)["folder-litter"]["evidence"] == [
        "without an entry: 999 files, 999 B",
        "copy before a repair: 1 file, 1 B",
    ]
    _, out, _ = place.run("inspect")
    assert "without an entry" in out


def test_a_stranger_on_the_port_is_named(sick, monkeypatch):
    place, _ = sick
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", str(server.getsockname()[1]))
        found = check(place)["port-taken"]
        out = place.run("check")[1]
    assert f"is held by pid {os.getpid()} (" in found["message"]
    assert found["severity"] == "error"
    assert "no gateway can start on it [port-taken]\n" in out  # its port is named once


def test_a_broken_configuration_hides_nothing_else(place):
    """`check` ended with its first word about the configuration, and looked at nothing."""
    place.fill(100_000)
    (place.state / "openclaw.json").write_text('{"gateway": {"port": ')
    litter = place.store.with_name("sessions.json.1b4e28ba-2fa1-41d2-883f-0016d3cca427.tmp")
    litter.write_text("{}")
    os.utime(litter, (1, 1))
    code, out, err = place.run("check")
    assert code == 78
    assert out.startswith("AT RISK: ")
    assert "openclaw.json" in out.splitlines()[0]
    # Its own cure comes next; it was "nothing was ever guarded here: `tailflip run ...`".
    assert out.splitlines()[1].startswith("next: correct that")
    assert "error: configuration is not valid JSON5" in err
    told = json.loads(place.run("check", "--json")[1])
    assert [each["kind"] for each in told["errors"]] == ["config-invalid"]
    assert told["verdict"]["state"] == "at-risk"
    assert [each["path"] for each in told["stores"]] == [str(place.store)]
    codes = {each["code"] for each in told["findings"]}
    assert {"marker-orphaned", "zombie-runs"} & codes, codes
    assert any(litter.name in str(each) for each in told["findings"]), codes


def test_a_store_that_a_person_names_and_that_is_not_there_is_an_error(place, tmp_path):
    """`check typo.json` said "OK: nothing is wrong", with exit code 0."""
    place.put(b"{}")
    gone = tmp_path / "typo.json"
    code, out, err = place.run("check", str(gone))
    assert (code, out) == (65, "")
    assert f"error: cannot use {gone}: No such file or directory" in err
    gone = place.state / "agents" / "typo" / "sessions" / "sessions.json"
    code, out, err = place.run("check", str(place.store), str(gone))
    assert (code, out.startswith("OK: ")) == (65, True)
    assert str(gone) in err
    told = json.loads(place.run("check", str(place.store), str(gone), "--json")[1])
    assert [str(gone) in each["message"] for each in told["errors"]] == [True]


@pytest.mark.parametrize("verb", ["check", "inspect", "compact"])
def test_the_path_is_blamed_and_not_a_directory_that_nobody_named(place, tmp_path, verb):
    """`compact typo.json` complained that there is no ~/.openclaw."""
    shutil.rmtree(place.state, ignore_errors=True)
    code, _, err = place.run(verb, str(tmp_path / "typo.json"))
    assert (code, "typo.json: No such file" in err, "no state directory" in err) == (
        65,
        True,
        False,
    )
