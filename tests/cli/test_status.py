"""What a person sees in the morning: `status`, `incidents`, and what they leave alone."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from support.heap import make_tight
from support.incident_history import ACTION, PERIOD_MS, STDERR, make_death, make_life, record_night
from support.service_definitions import Host
from support.stores import HOUR_MS, NOW_MS, list_tree
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home, Presence
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Breaker, Cause, Decision
from tailflip.ledger.history import History

DISK = RealDisk()


@pytest.fixture(autouse=True)
def morning(monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)


@pytest.fixture
def history(place):
    place.fill(10_000)
    return History(Workspace(Home(place.home), DISK), str(place.state))


def record(history, place, **how):
    """Record a night on this place's own store."""
    return record_night(history, store=str(place.store), **how)


def test_status_of_a_gateway_that_was_never_guarded(place):
    place.fill(10_000)
    code, out, err = place.run("status")
    assert (code, err) == (0, "")
    assert re.search(r"guarded +by nobody now\n", out)
    assert re.search(r"next +nothing was ever guarded here: `tailflip run -- openclaw", out)
    assert not place.home.exists(), "looking makes nothing"


def test_status_after_a_night_of_crashes(place, history):
    record(history, place)
    code, out, err = place.run("status")
    lines = out.splitlines()
    assert (code, err) == (1, "")
    assert lines[0] == "DOWN: the gateway does not run, and nobody saw its end"
    for expected in (
        rf"^guards    {place.state}$",
        r"^gateway   OpenClaw 2026\.4\.14, port 1, not running \(",
        r"^life      since 2026-02-01 20:47:05Z \(5\.9 h ago\), pid 4121: it is gone, and its ",
        r"^memory    310\.0 MB 4\.9 h ago$",
        r"^stores    \d+\.\d KB in 1; grow 24\.\d MB a day$",
        r"^starts    allowed$",
        r"^last      2026-02-01 20:46:42Z \(5.9 h ago\) decided to start it at .*: trying again$",
        r"^next      nothing guards it: start `tailflip run` again; it goes on where it was$",
        r"^deaths \(7 in the last 24 h\)$",
        r"^  2026-02-01 20:46:42Z \(5\.9 h ago\) v8-heap-oom \(proven\) after 42 s$",
        r"^done 2026-02-01 20:47:00Z \(5\.9 h ago\): compact 185\.0 MB -> 9\.0 MB$",
        r"^  undo: tailflip restore \S+ --apply$",
    ):
        assert re.search(expected, out, re.MULTILINE), (expected, out)
    assert "incident" not in out
    assert sum("v8-heap-oom" in line for line in lines) == 5, "the newest five"


def test_status_while_starts_are_not_allowed_is_grave(place, history):
    record(history, place, is_over=False)
    code, out, _ = place.run("status")
    assert code == 1
    assert re.search(
        r"^starts    not allowed after 7 deaths of one kind in a row$", out, re.MULTILINE
    )
    assert re.search(
        r"^incident 1 is open since 2026-02-01 20:40:42Z \(6 h ago\): 7 deaths, v8-heap-oom; "
        r"`tailflip incidents why 1`$",
        out,
        re.MULTILINE,
    )
    assert "error: loading the stores needs about 4.3 GB" in out
    place.run("incidents", "ack", "1")
    assert place.run("status")[0] == 1, "an open breaker stays grave"


def test_an_incident_that_somebody_saw_is_no_longer_grave(place, history):
    incident = history.incidents.open(make_death(), NOW_MS)
    assert place.run("status")[0] == 1
    assert place.run("incidents", "ack", incident.id)[0] == 0
    code, out, _ = place.run("status")
    assert code == 0
    assert ", seen: " in out


def test_a_verdict_without_a_decision_is_told_as_that(place, history):
    """Killed between the two, the decision before stood there as if it were about this death."""
    record(history, place, deaths=2, is_over=False)
    incident = history.incidents.read()[0]
    dead = make_life("late", NOW_MS - 9, 8, death=make_death(), incident=incident.id, mode="gate")
    history.lives.begin(dead)
    _, out, _ = place.run("status")
    assert re.search(
        r"^last      a death was judged, and nothing decided: tailflip was", out, re.MULTILINE
    )
    assert re.search(r"^guarded   at each start by `tailflip gate`", out, re.MULTILINE)
    assert "decides about its last death" in place.run("status", "--json")[1]
    told = "nothing was decided then: tailflip was ended in between; its next start does it\n"
    assert place.run("incidents", "why")[1].count(told) == 1
    history.decisions.record(Decision(kind="start", reason="r"), Breaker(), "late", NOW_MS - 1)
    assert told not in place.run("incidents", "why")[1]
    assert " decided to start it at once: r" in place.run("status")[1]


def test_status_shows_who_guards(place, history):
    record(history, place)
    with history.workspace.home.supervise(history.guard, Presence.RUN, NOW_MS - HOUR_MS, DISK):
        _, out, _ = place.run("status")
    assert f"by `tailflip run`, pid {os.getpid()}, since 2026-02-02 01:40:00Z" in out
    assert re.search(r"^life .*, pid 4121, first answer after 10 s$", out, re.MULTILINE)
    assert re.search(r"^next      nothing to do$", out, re.MULTILINE)


def test_status_as_json_has_everything(place, history):
    record(history, place)
    history.facts.put("heap-limit", {"key": "k", "limit_bytes": 600_000_000, "source": "node"})
    code, out, err = place.run("status", "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert found["verdict"]["state"] == "down"
    assert found["state_dir"] == str(place.state)
    assert found["gateway"]["alive"] is False
    assert found["memory"]["limit_bytes"] == 600_000_000
    assert found["store_totals"]["count"] == 1
    assert found["life"]["id"] == "cured"
    assert found["deaths_in_a_day"] == len(found["deaths"]) == 7
    assert found["deaths"][0]["death"]["cause"] == "v8-heap-oom"
    assert found["actions"][0]["id"] == ACTION
    assert found["breaker"]["state"] == "closed"
    assert found["decision"]["kind"] == "start"
    assert found["is_grave"] is True


def test_the_heap_limit_that_we_were_told_wins(place, history, monkeypatch):
    record(history, place)
    history.facts.put("heap-limit", {"key": "k", "limit_bytes": 600_000_000, "source": "node"})
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", "1gb")
    assert "heap limit 1.1 GB (gateway.heap_limit)" in place.run("status")[1]


def test_asked_without_the_services_environment_shows_what_was_guarded_last(
    place, history, monkeypatch
):
    """At 3 in the morning nobody remembers that the unit sets OPENCLAW_STATE_DIR."""
    record(history, place)
    monkeypatch.delenv("OPENCLAW_STATE_DIR")
    for verb in ("status", "incidents"):
        code, out, err = place.run(verb)
        assert code == (1 if verb == "status" else 0)
        assert "v8-heap-oom" in out
        assert f"nothing is on record about {place.root}/.openclaw; this is what was" in err
    other = place.root / "other"
    other.mkdir()
    (other / "openclaw.json").write_text("{}")
    code, out, err = place.run("status", "--state-dir", str(other))
    assert (code, "v8-heap-oom" in out) == (0, False), "who names one gets that one"
    assert f"also on record (--state-dir): {place.state}" in err


def test_a_state_directory_that_is_gone_leaves_the_record_readable(place, history):
    record(history, place)
    place.state.rename(place.root / "moved")
    code, out, err = place.run("status")
    assert (code, err) == (1, "")
    assert out.startswith("AT RISK: no state directory")
    assert "not found" in out
    assert "v8-heap-oom" in out


def test_actions_on_other_stores_are_not_ours(place, history):
    record_night(history, store="/elsewhere/agents/main/sessions/sessions.json")
    assert ACTION not in place.run("status")[1]
    assert ACTION not in place.run("incidents", "why", "1")[1]


def test_incidents_are_listed(place, history):
    assert place.run("incidents") == (0, "", f"no incidents of {place.state}\n")
    record(history, place)
    for argv in (["incidents"], ["incidents", "list"]):
        code, out, err = place.run(*argv)
        assert (code, err) == (0, "")
        head, row = out.splitlines()
        assert head.split() == ["id", "state", "opened", "cause", "lasted", "deaths"]
        assert row.split() == [
            *["1", "over", "2026-02-01", "20:40:42Z", "(6", "h", "ago)"],
            *["v8-heap-oom", "9.6", "min", "7"],
        ]
    (found,) = json.loads(place.run("incidents", "--json")[1])["incidents"]
    assert (found["id"], found["death_count"]) == ("1", 7)


def test_why_tells_the_night(place, history):
    record(history, place)
    code, out, err = place.run("incidents", "why", "1")
    assert (code, err) == (0, "")
    assert out.replace(str(place.store), "STORE").replace(str(place.state), "STATE") == (
        """\
incident 1 (over): its JavaScript heap was full and V8 gave up
gateway STATE, 7 deaths (v8-heap-oom), since 2026-02-01 20:40:42Z (6 h ago)

2026-02-01 20:40:00Z  the gateway was started (OpenClaw 2026.4.14)
2026-02-01 20:40:00Z  found, error: loading the stores needs about 4.3 GB of heap, the gateway has \
2.3 GB: /home/u/.openclaw/openclaw.json
2026-02-01 20:40:20Z  the gateway answered, 20 s after its start
2026-02-01 20:40:42Z  the gateway died after 42 s with exit code 1: its JavaScript heap was full \
and V8 gave up (proven)
2026-02-01 20:40:42Z  decided to start it at 2026-02-01 20:40:44Z: trying again
2026-02-01 20:41:00Z  the gateway was started (OpenClaw 2026.4.14)
2026-02-01 20:41:20Z  the gateway answered, 20 s after its start
2026-02-01 20:41:42Z  the gateway died after 42 s with exit code 1: its JavaScript heap was full \
and V8 gave up (proven)
2026-02-01 20:41:42Z  decided to start it at 2026-02-01 20:41:44Z: trying again
2026-02-01 20:42:00Z  the same 4 times more until 2026-02-01 20:45:42Z; it lived 42 s
2026-02-01 20:46:00Z  the gateway was started (OpenClaw 2026.4.14)
2026-02-01 20:46:20Z  the gateway answered, 20 s after its start
2026-02-01 20:46:42Z  the gateway died after 42 s with exit code 1: its JavaScript heap was full \
and V8 gave up (proven)
2026-02-01 20:46:42Z  decided to start it at 2026-02-01 20:46:44Z: trying again
2026-02-01 20:47:00Z  compacted STORE: 6,539 entries -> 120, 185.0 MB -> 9.0 MB; undo: tailflip \
restore 20260202T020000Z-abcdef --apply
2026-02-01 20:47:05Z  the gateway was started (OpenClaw 2026.4.14)
2026-02-01 20:47:05Z  no longer so: heap-forecast: /home/u/.openclaw/openclaw.json
2026-02-01 20:47:15Z  the gateway answered, 10 s after its start
2026-02-01 20:50:20Z  the gateway has lived long enough: the incident is closed

evidence
  stderr: FATAL ERROR: Reached heap limit

the last 63 B of its stderr: tailflip incidents why 1 --stderr

you have seen it: tailflip incidents ack 1
"""
    )


def test_why_leaves_out_a_later_life_that_is_another_story(place, history):
    record(history, place)
    history.lives.begin(make_life("tomorrow", NOW_MS + PERIOD_MS, version="2026.9.6"))
    assert "2026.9.6" not in place.run("incidents", "why", "1")[1]


def test_why_without_a_number_tells_the_newest(place, history):
    record(history, place)
    assert place.run("incidents", "why") == place.run("incidents", "why", "1")
    history.incidents.open(make_death(), NOW_MS)
    assert place.run("incidents", "why")[1].startswith("incident 2 (open)")


def test_why_as_json(place, history):
    record(history, place)
    found = json.loads(place.run("incidents", "why", "1", "--json")[1])
    assert found["incident"]["cause"] == "v8-heap-oom"
    assert len(found["lives"]) == 7
    assert found["story"][0]["text"].startswith("the gateway was started")
    assert found["stderr_life_id"] == "n6"


def test_stderr_is_shown_only_when_asked_for_and_harmless(place, history):
    record(history, place)
    code, out, err = place.run("incidents", "why", "1", "--stderr")
    assert code == 0
    assert out == ("secret-token\nFATAL ERROR: Reached heap limit \\x1b[2J\nlast line \\xff\n6\n")
    assert err == "of the life that ended 2026-02-01 20:46:42Z\n"
    for argv in (["status"], ["status", "--json"], ["incidents"], ["incidents", "why", "1"]):
        assert "secret" not in place.run(*argv)[1]
    assert "secret" not in place.run("incidents", "why", "1", "--json")[1]


def test_stderr_that_was_not_kept_is_said_to_be_missing(place, history):
    incident = history.incidents.open(make_death(), NOW_MS)
    found = place.run("incidents", "why", incident.id, "--stderr")
    assert found == (0, "", "no stderr is kept of this incident\n")


def test_ack_says_since_when_and_keeps_the_first_time(place, history, monkeypatch):
    record(history, place)
    text = "incident 1 is noted as seen since 2026-02-02 02:40:00Z "
    assert place.run("incidents", "ack", "1") == (0, f"{text}(now)\n", "")
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS + HOUR_MS)
    assert place.run("incidents", "ack", "1") == (0, f"{text}(1 h ago)\n", "")
    told = json.loads(place.run("incidents", "ack", "1", "--json")[1])
    assert told["incident"]["acked_ms"] == NOW_MS
    assert "over, seen" in place.run("incidents")[1]
    assert "a person took note" in place.run("incidents", "why", "1")[1]
    assert "you have seen it" not in place.run("incidents", "why", "1")[1]


REFUSED = [
    (["incidents", "ack"], 64, r"^error: no incident is open of /"),
    (["incidents", "ack", "1", "--all"], 64, r"^error: an incident or --all, not both"),
    (
        ["incidents", "why"],
        64,
        r"^error: no incidents of /.*\nhint: none of its deaths was seen .*`tailflip check` says",
    ),
    (["incidents", "why", "9"], 64, r"^error: no such incident: 9\nhint: see `tailflip incidents`"),
    (["incidents", "ack", "\x1b[2J"], 64, r"^error: no such incident: \\x1b\[2J\n"),
    (["incidents", "frob"], 64, r"no such command"),
    (["status", "--profile", "../x"], 64, r"^error: profile name is not valid"),
    (["status", "extra"], 64, r"^error: "),
]


@pytest.mark.parametrize(("argv", "code", "err"), REFUSED, ids=lambda v: str(v)[:30])
def test_bad_arguments_are_refused(place, history, argv, code, err):
    found = place.run(*argv)
    assert (found[0], found[1]) == (code, "")
    assert re.search(err, found[2].strip()), found[2]


def test_what_a_person_sees_changes_nothing(place, history):
    record(history, place)
    before = list_tree(place.root)
    for argv in (["status"], ["status", "--json"], ["incidents"], ["incidents", "why", "1"]):
        place.run(*argv)
    assert list_tree(place.root) == before


def test_a_ledger_that_is_locked_for_long_is_an_error_not_a_hang(place, history):
    """A lock that SQLite itself takes on the file's byte 1 GiB, held by somebody else."""
    record(history, place)
    begin = time.monotonic()
    fd = os.open(history.workspace.home.ledger, os.O_RDWR)
    pid = os.fork()
    if pid == 0:
        fcntl.lockf(fd, fcntl.LOCK_EX, 512, 0x40000000)
        signal.pause()
        os._exit(0)
    try:
        _wait_for_lock(fd)
        code, _, err = place.run("incidents")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)
    assert code == 75, err
    assert "locked" in err
    assert time.monotonic() - begin < 30


def _wait_for_lock(fd: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 512, 0x40000000)
        except BlockingIOError:
            return
        fcntl.lockf(fd, fcntl.LOCK_UN, 512, 0x40000000)
        time.sleep(0.01)
    pytest.fail("the lock was never taken")


def test_watch_shows_it_again_until_ctrl_c(place, history):
    record(history, place)
    argv = [sys.executable, "-m", "tailflip", "status", "--watch"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen, first = 0, ""
        for line in child.stdout:
            first += line
            seen += line.startswith("guards ")
            if seen == 2:
                child.send_signal(signal.SIGINT)
                break
        out, err = child.communicate(timeout=30)
    assert child.returncode == 1, err
    assert re.search(r"^as of \S+ \S+, again every 2 s; Ctrl-C leaves$", out + first, re.MULTILINE)
    assert "\x1b" not in out, "no terminal, no colours"
    assert "Traceback" not in err
    assert STDERR[:6].decode() not in out


@pytest.mark.parametrize("is_over", [True, False])
def test_the_screen_of_one_gateway_fits_80_by_24(place, history, monkeypatch, is_over):
    """What stands in the way, the next step and an undo were below the edge, or cut by it."""
    monkeypatch.setenv("COLUMNS", "80")
    record(history, place, is_over=is_over)
    with history.workspace.home.supervise(history.guard, Presence.RUN, NOW_MS - HOUR_MS, DISK):
        _, out, _ = place.run("status")
    lines = out.splitlines()
    assert len(lines) <= 23, "the prompt has the last line"
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("OK: " if is_over else "WAITING: ")
    if is_over:
        assert any(line.startswith("  undo: tailflip restore ") for line in lines)


def test_check_and_status_begin_with_the_same_verdict(place, history, monkeypatch):
    """`check` said "nothing is wrong", code 0, while an open breaker kept the gateway down."""
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    record(history, place, is_over=False)
    shown = [place.run(verb) for verb in ("status", "check")]
    first = {out.splitlines()[0] for _, out, _ in shown}
    assert [code for code, _, _ in shown] == [1, 1]
    assert len(first) == 1
    assert first.pop().startswith("DOWN: no start is allowed after 7 deaths of one kind in a row")
    found = json.loads(place.run("check", "--json")[1])
    quick = json.loads(place.run("status", "--json")[1])["verdict"]
    assert found["verdict"] == quick | {"warning_count": found["verdict"]["warning_count"]}
    assert {"starts-stopped", "incident-open"} < {each["code"] for each in found["findings"]}


def test_stores_that_will_not_fit_are_told_before_anything_was_guarded(place, monkeypatch):
    """`status` said `starts allowed`, code 0, of a store that was about to kill the gateway."""
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", f"{make_tight(30_000_000)}b")
    place.fill(30_000_000)
    code, out, err = place.run("status")
    assert (code, err) == (1, "")
    assert re.match(
        r"AT RISK: loading the stores needs about \S+ [MG]B of heap, the gateway has", out
    )
    assert "\nnext      run `tailflip compact` to see what can go\n" in out
    assert place.run("check")[1].startswith("AT RISK: loading the stores needs about ")
    assert place.run("compact", "--apply")[0] == 0
    assert "AT RISK" not in place.run("status")[1]


def test_a_small_heap_is_told_as_by_check(place, monkeypatch):
    """`status` said OK of a heap that `check` found too small, if it was below 448 MiB."""
    unit = Host(place.root).put_unit()
    own = f"Environment=OPENCLAW_STATE_DIR={place.state}\n[Install]"
    unit.write_text(unit.read_text().replace("[Install]", own))
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", "300mb")
    place.fill(3_000_000)
    first = [place.run(verb)[1].splitlines()[0] for verb in ("status", "check")]
    assert first[0] == first[1]
    assert first[0].startswith("AT RISK: loading the stores needs about ")


def test_the_only_open_incident_needs_no_number(place, history):
    """`why` took none and `ack` wanted one."""
    record(history, place)
    opened = history.incidents.open(make_death(), NOW_MS)
    assert place.run("incidents", "why")[1].startswith(f"incident {opened.id} (open)")
    code, out, err = place.run("incidents", "ack")
    assert (code, err) == (0, "")
    assert out.startswith(f"incident {opened.id} is noted as seen since ")


def test_of_several_open_incidents_one_is_named_or_all(place, history):
    causes = (Cause.V8_HEAP, Cause.HANG)
    ids = [history.incidents.open(make_death(cause), NOW_MS).id for cause in causes]
    code, _, err = place.run("incidents", "ack")
    assert (code, "2 incidents are open: 2, 1" in err) == (64, True)
    assert "--all" in err
    told = json.loads(place.run("incidents", "ack", "--all", "--json")[1])
    assert sorted(each["id"] for each in told["incidents"]) == ids
    assert all(each.acked_ms for each in history.incidents.read())


def test_a_quick_look_does_not_say_that_nothing_is_wrong(place):
    """`check` had a finding about a job beside a `status` that called all well."""
    place.put(b"{}")
    out = " ".join(place.run("status")[1].split())
    assert "nothing is wrong" not in out
    assert "; a quick look found nothing wrong, `tailflip check` takes a full look" in out


def test_a_cured_death_wants_nothing_more(place, history):
    """The gateway lived again, and its story still ended with what fills the heap."""
    incident = history.incidents.open(make_death(), NOW_MS - 9_000)
    died = make_life("d", NOW_MS - 20_000, 9_000, death=make_death(), incident=incident.id)
    history.lives.begin(died.model_copy(update={"cured": True}))
    history.lives.begin(make_life("l", NOW_MS - 5_000))
    out = place.run("incidents", "why")[1]
    assert (
        "\nnext: nothing to do: it was cured, and is over once the gateway has lived well\n" in out
    )
