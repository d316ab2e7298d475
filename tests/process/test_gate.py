"""`gate` and `preflight`: look, heal, and be gone; the gateway is then alone with its manager."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from support.guarded_gateway import NEAR, wait_until
from support.heap import make_tight
from support.stores import NOW_MS, format_store, make_entries, make_entry
from tailflip.base import clock
from tailflip.flow.lives import Breaker, BreakerState, Cause, Decision, Waiting
from tailflip.ledger.facts import SURVEY_FACT

STORE, FITS = 3_000_000, 1_000_000
TIGHT = ("--heap-limit", f"{make_tight(3_000_000)}b")
NO_ADMISSION = ("--set", "heal.admission=false")
GARBAGE = b"\x7fELF\x02\x01\x01 garbage"


def too_much() -> bytes:
    """A store of one chat that must stay."""
    entry = make_entry("s", NOW_MS - clock.now_ms(), note="x" * 6_000_000)
    return json.dumps({"agent:main:main": entry}, indent=2).encode()


def gate(place, *options, flags=(), **popen):
    return place.start("gate", *flags, "--", *place.command(*options), **popen)


def preflight(place, *flags, command=(), **popen):
    words = ("--", *command) if command else ()
    return place.start("preflight", *flags, *words, **popen)


def wait_listening(place, guarded):
    return wait_until(place.listener, "gateway that listens", story=guarded.said)


# --- what the gateway finds --------------------------------------------------------------


def test_a_program_that_is_gone_is_told_and_on_record(place):
    """Once `status` said "let it start, nothing was changed" of a start that never came about."""
    guarded = place.start("gate", "--", "/gone/node", "/x/index.js", "gateway")
    assert guarded.wait() == 78
    assert "cannot start /gone/node: No such file" in guarded.said()
    assert "openclaw gateway install --force" in guarded.said()
    (life,) = place.lives()
    assert (life.ended_ms is not None, life.death) == (True, None)
    start = place.history.starts.read_last()
    assert (start.go, start.reason) == (False, "cannot start /gone/node: No such file or directory")
    assert "openclaw gateway install --force" in start.hint


def test_the_gateway_is_the_process_that_was_started_with_all_its_things(place):
    told = place.root / "told"
    out, into = os.pipe()
    guarded = gate(
        place,
        "--tell",
        str(told),
        "--echo-stdin",
        env={"OWN": "kept", "NOTIFY_SOCKET": "/nowhere", "INVOCATION_ID": "of-the-service"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=into,
        cwd=place.root,
    )
    os.close(into)
    assert wait_listening(place, guarded) == guarded.pid
    found = json.loads(told.read_text())
    assert found["pid"] == guarded.pid
    assert found["argv"] == place.command("--tell", str(told), "--echo-stdin")[1:]
    env = found["env"]
    # A manager speaks to the gateway itself: nothing of that is taken away.
    assert env.pop("TAILFLIP_LIFE") == place.lives()[0].id
    assert env.items() >= {**place.env, "OWN": "kept", "NOTIFY_SOCKET": "/nowhere"}.items()
    assert set(env) - set(place.env) == {"OWN", "NOTIFY_SOCKET", "INVOCATION_ID"} | (
        set(env) & {"LC_CTYPE", "PWD"}
    )
    assert [fd for fd in found["descriptors"] if fd > 2] in ([], [3])
    guarded.process.stdin.write(b"\xff untouched\n")
    guarded.process.stdin.flush()
    assert guarded.process.stdout.readline() == b"\xff untouched\n"
    guarded.send(signal.SIGTERM)
    assert guarded.wait() == 0
    os.close(out)


def test_what_it_counted_is_on_record_for_metrics(place):
    place.fill(STORE)
    assert gate(place, "--die", "0").wait() == 0
    told = place.history.facts.get(SURVEY_FACT)
    (store,) = told["stores"]
    assert store["agent"] == "main"
    assert sum(store["kinds"].values()) > 0
    assert told["heap_bytes"] > 0
    assert abs(told["at_ms"] - clock.now_ms()) < 60_000


def test_no_signal_is_ignored_that_was_not_before(place):
    # A shell does not touch what it inherits, a Python does.
    command = ["/bin/sh", "-c", "exec /bin/cat /proc/self/status"]

    def read(words) -> dict[str, str]:
        text = subprocess.run(words, env=place.env, capture_output=True, check=True).stdout
        pairs = (line.split(":") for line in text.decode().splitlines() if line[:3] == "Sig")
        return {name: value.strip() for name, value in pairs if name != "SigQ"}

    bare = read(command)
    assert read([sys.executable, "-m", "tailflip", "gate", "--", *command]) == bare
    assert int(bare["SigIgn"], 16) & 1 << signal.SIGPIPE - 1 == 0


def test_the_exit_code_is_the_gateways(place):
    guarded = gate(place, "--die", "3")
    assert guarded.wait() == 3
    guarded = place.start("gate", "--", "/bin/sh", "-c", "kill -SEGV $$")
    assert guarded.wait() == -signal.SIGSEGV


def test_a_healthy_store_is_not_touched(place):
    before = format_store(make_entries())
    place.put(before)
    info = place.store.stat()
    env = {"TAILFLIP_RECONCILE_ENABLED": "true"}
    guarded = gate(place, flags=("--heap-limit", "2gb"), env=env)
    wait_listening(place, guarded)
    assert place.store.read_bytes() == before
    assert place.store.stat().st_mtime_ns == info.st_mtime_ns
    assert guarded.said() == ""


@pytest.mark.parametrize(
    ("command", "code"), [(("/nonexistent",), 78), (("/etc/passwd",), 77), ((), 64)]
)
def test_what_cannot_be_started_is_said(place, command, code):
    guarded = place.start("gate", "--", *command)
    assert guarded.wait() == code
    assert guarded.said().startswith("error: ")


# --- healing -----------------------------------------------------------------------------


def test_a_store_that_will_not_fit_is_compacted_first(place):
    place.fill(STORE)
    guarded = gate(place, "--oom-above", str(FITS), flags=TIGHT)
    wait_listening(place, guarded)
    assert place.store.stat().st_size < FITS
    assert "store compacted" in guarded.said()


def test_a_damaged_store_is_salvaged_first(place):
    before = place.fill(STORE)
    place.put(before[:-100])
    guarded = gate(place)
    wait_listening(place, guarded)
    json.loads(place.store.read_bytes())
    assert [path.read_bytes() for path in place.home.quarantine.iterdir()] == [before[:-100]]


def test_a_death_of_memory_is_inferred_from_nodes_report_and_cured(place):
    """The forecast said it fits, and was wrong: the next start compacts all the same."""
    place.env["TAILFLIP_GATEWAY_HEAP_LIMIT"] = NEAR
    place.fill(STORE)
    options = ("--oom-above", str(FITS), "--report")
    assert gate(place, *options).wait() == -signal.SIGABRT
    assert place.store.stat().st_size > FITS
    guarded = gate(place, *options)
    wait_listening(place, guarded)
    assert place.store.stat().st_size < FITS
    living, dead = place.lives()
    assert (dead.death.cause, dead.cured, dead.end_known) == (Cause.V8_HEAP, True, False)
    assert (living.mode, living.pid, living.ended_ms) == ("gate", guarded.pid, None)
    assert [x.cause for x in place.history.incidents.read()] == [Cause.V8_HEAP]


def test_a_kill_is_inferred_from_the_lock_that_it_left(place):
    guarded = gate(place)
    pid = wait_listening(place, guarded)
    guarded.die()
    guarded = gate(place)
    assert wait_listening(place, guarded) != pid
    dead = place.lives()[1]
    assert dead.death.cause is Cause.UNKNOWN
    told = "; ".join(dead.death.evidence)
    assert f"was left by pid {pid}" in told
    assert "ledger" in told
    assert place.doubles() == ""


def test_a_clean_end_is_nobodys_failure(place):
    guarded = gate(place)
    wait_listening(place, guarded)
    guarded.send(signal.SIGTERM)
    assert guarded.wait() == 0
    guarded = gate(place)
    wait_listening(place, guarded)
    assert place.lives()[1].death is None
    assert place.history.incidents.read() == ()
    assert guarded.said() == ""


def test_a_loop_of_deaths_is_held_until_something_changes(place):
    before = place.fill(STORE)
    # Nothing can be cured here, and the forecast is not believed.
    flags = ("--set", "heal.enabled=false", *NO_ADMISSION)
    options = ("--oom-above", str(FITS), "--report")
    for _ in range(3):
        assert gate(place, *options, flags=flags).wait() == -signal.SIGABRT
    held = gate(place, *options, flags=flags)
    assert held.wait() == 75
    assert "not started" in held.said()
    assert len(place.pids()) == 3
    assert place.history.decisions.read_breaker().state is BreakerState.OPEN
    assert gate(place, *options, flags=flags).wait() == 75
    assert place.store.read_bytes() == before
    place.put(b"{}")
    wait_listening(place, gate(place, *options, flags=flags))


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["gate", "preflight"])
def test_a_store_that_nothing_is_left_of_forbids_the_start(place, verb):
    place.put(GARBAGE)
    guarded = place.start(verb, "--", *place.command())
    assert guarded.wait() == 65
    lines = guarded.said().splitlines()
    assert [line.partition(":")[0] for line in lines[-2:]] == ["error", "hint"]
    assert str(place.store) in guarded.said()
    assert place.store.read_bytes() == GARBAGE
    assert place.pids() == []
    assert place.lives() == ()


@pytest.mark.parametrize("verb", ["gate", "preflight"])
def test_what_must_stay_and_is_too_much_forbids_the_start(place, verb):
    place.put(too_much())
    command = (place.install("2026.4.14"), *place.options())
    guarded = place.start(verb, "--heap-limit", "400mb", "--", *command)
    assert guarded.wait() == 65
    assert "of heap" in guarded.said()
    assert place.pids() == []


def test_an_old_wait_of_run_forbids_no_start(place):
    """A start was refused once, under `run`. Long after, under `gate`, it was refused for ever."""
    place.put(GARBAGE)
    guarded = place.run()
    guarded.hear("waiting=cure")
    guarded.wait_watching(place.store)
    place.put(b"{}")
    guarded.wait_ready()
    assert guarded.stop() == 0
    guarded = gate(place)
    wait_listening(place, guarded)


def test_a_refused_configuration_is_held_until_the_file_changes(place):
    guarded = place.run("--die", "78", "--say", "Config invalid")
    guarded.hear("waiting=config-change")
    assert guarded.stop() == 0
    held = gate(place)
    assert held.wait() == 78
    assert "not started" in held.said()
    place.configure(bind="loopback")
    wait_listening(place, gate(place))


@pytest.mark.parametrize("broken", ["directory", "garbage"])
def test_a_ledger_that_cannot_be_used_keeps_no_gateway_down(place, broken):
    place.home.root.mkdir()
    if broken == "directory":
        place.home.ledger.mkdir()
    else:
        place.home.ledger.write_bytes(b"not a database, and long enough to be looked at" * 100)
    guarded = gate(place)
    assert wait_listening(place, guarded) == guarded.pid
    assert " error: " in guarded.said()


@pytest.mark.parametrize("home", ["/proc/tailflip", "/dev/null/tailflip"])
def test_a_state_directory_that_cannot_be_made_keeps_no_gateway_down(place, home):
    guarded = gate(place, env={"TAILFLIP_STATE_DIR": home})
    assert wait_listening(place, guarded) == guarded.pid
    assert "starts all the same" in guarded.said()
    assert guarded.stop() in (0, -signal.SIGTERM)
    assert preflight(place, env={"TAILFLIP_STATE_DIR": home}).wait() == 0


# --- preflight ---------------------------------------------------------------------------


def test_preflight_says_go(place):
    before = place.fill(STORE)
    guarded = preflight(place, "--heap-limit", "2gb", stdout=subprocess.PIPE)
    assert guarded.process.communicate()[0] == b"go\n"
    assert guarded.process.returncode == 0
    assert place.store.read_bytes() == before
    assert [(life.mode, life.pid) for life in place.lives()] == [("preflight", None)]


def test_preflight_heals_and_tells_a_program_what_it_did(place):
    place.fill(STORE)
    guarded = preflight(place, *TIGHT, "--json", stdout=subprocess.PIPE)
    told = json.loads(guarded.process.communicate()[0])
    assert guarded.process.returncode == 0
    assert (told["go"], told["looked"], told["hint"]) == (True, True, None)
    [report] = told["reports"]
    assert report["size_bytes_after"] == place.store.stat().st_size < FITS
    assert report["undo"].startswith("tailflip restore ")


def test_preflight_tells_a_program_why_not(place):
    place.put(GARBAGE)
    guarded = preflight(place, "--json", stdout=subprocess.PIPE)
    told = json.loads(guarded.process.communicate()[0])
    assert guarded.process.returncode == 65
    assert (told["go"], told["reports"]) == (False, [])
    assert str(place.store) in told["reason"]
    assert told["hint"]


def test_what_else_filled_the_heap_is_told_until_a_life_was_good(place):
    before = place.fill(70_000)
    place.env["TAILFLIP_GATEWAY_HEAP_LIMIT"] = "4gb"
    assert gate(place, "--oom-above", "0", "--report").wait() == -signal.SIGABRT
    guarded = gate(place)
    wait_listening(place, guarded)
    assert "the stores are not the cause" in guarded.said()
    assert [each.finding.code for each in place.history.findings.read()] == ["memory-elsewhere"]
    assert place.store.read_bytes() == before
    life = place.lives()[0]
    older = {"started_ms": life.started_ms - 10**9, "started_mono_ms": None}
    place.history.lives.update(life.model_copy(update=older))
    for report in place.state.glob("report.*.json"):
        report.unlink()  # or the longer life has it, too
    guarded.send(signal.SIGTERM)
    guarded.wait()
    wait_listening(place, gate(place))
    assert place.history.findings.read() == ()


def test_preflight_finds_a_past_death_as_gate_does(place):
    place.env["TAILFLIP_GATEWAY_HEAP_LIMIT"] = NEAR
    place.fill(STORE)
    options = ("--oom-above", str(FITS), "--report")
    command = place.command(*options)
    assert preflight(place, command=command).wait() == 0
    process = subprocess.run(command, env=place.env, check=False, stderr=subprocess.DEVNULL)
    assert process.returncode == -signal.SIGABRT
    guarded = preflight(place, "--json", command=command, stdout=subprocess.PIPE)
    told = json.loads(guarded.process.communicate()[0])
    assert told["death"]["cause"] == Cause.V8_HEAP
    assert told["reports"]
    assert place.store.stat().st_size < FITS


def test_preflight_without_any_installation_says_go(place):
    place.config.unlink()
    place.state.rmdir()
    guarded = preflight(place, "--json", stdout=subprocess.PIPE)
    told = json.loads(guarded.process.communicate()[0])
    assert (guarded.process.returncode, told["go"]) == (0, True)


def test_gate_does_not_count_what_run_decided_on(place):
    """A wait for time is the service manager's matter here."""
    waiting = Decision(kind="wait", reason="x", waiting=Waiting.TIME, at_ms=clock.now_ms() + 10**7)
    place.home.create(place.history.workspace.disk)
    breaker = Breaker(state=BreakerState.OPEN, signature="x", row=3, waiting=Waiting.TIME)
    place.history.decisions.record(waiting, breaker, None, clock.now_ms())
    wait_listening(place, gate(place))
