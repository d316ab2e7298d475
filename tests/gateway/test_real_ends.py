"""Every other end of a real gateway, and of its supervisor: killed, restarted, misconfigured."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import guarded
import pytest
import real_gateway
from guarded import DIRECT, TWO_PROCESSES, WITHOUT_ADMISSION, WRAPPER, install_or_skip

from tailflip.demo.incident import write_incident
from tailflip.flow.lives import BreakerState, Cause, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import psutil

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

MB = 1_000_000
DEADLINE_S = 120


def write_state(tmp_path: Path, size_bytes: int = MB) -> tuple[Path, Path, int]:
    """Return state directory, store and port."""
    state = tmp_path / "state"
    incident = write_incident(state, size_bytes=size_bytes, now_ms=int(time.time() * 1000))
    return state, incident["store"], real_gateway.configure(state)


@contextmanager
def alive(
    install: real_gateway.Install, tmp_path: Path, *, argv: Sequence[str] = ()
) -> Iterator[tuple[guarded.Guarded, psutil.Process]]:
    """A guarded gateway that answers, and its own process."""
    state, _, port = write_state(tmp_path)
    with guarded.run(install, state, port=port, argv=argv) as running:
        running.wait_for_life(1, DEADLINE_S)
        yield running, running.worker()


def test_gate_finds_out_what_the_last_one_died_of(
    json5_install: real_gateway.Install, tmp_path: Path
) -> None:
    """Nobody saw it die, and the forecast may not help: Node's report and the lock must tell."""
    state, store, port = write_state(tmp_path, 20 * MB)
    flags = f"--report-on-fatalerror --report-dir={state}"
    with real_gateway.gateway(
        json5_install, state, heap_mib=400, port=port, node_options=flags
    ) as alone:
        assert not alone.settle(), "the store was meant to kill it before it answers"
        assert real_gateway.HEAP_DEATH in alone.output()

    with guarded.gate(
        json5_install, state, *WITHOUT_ADMISSION, port=port, heap_mib=400, node_options=flags
    ) as running:
        assert running.settle(DEADLINE_S), running.tell()
        died, lives = running.lives()
        assert died.death is not None
        assert died.death.cause is Cause.V8_HEAP
        assert died.cured
        assert lives.pid == running.process.pid, "the gate became the gateway"
        assert store.stat().st_size < 2 * MB
    assert running.process.returncode == 0


@pytest.mark.parametrize(
    ("prefix", "form", "ends"),
    [
        pytest.param(TWO_PROCESSES, WRAPPER, (1, None), id="wrapper"),
        pytest.param((), DIRECT, (None, 9), id="direct"),
    ],
)
def test_killed_gateway_did_not_die_of_memory(
    plain_install: real_gateway.Install,
    tmp_path: Path,
    prefix: tuple[str, ...],
    form: str,
    ends: tuple[int | None, int | None],
) -> None:
    """Behind its wrapper this is exit 1, as an exhausted heap is."""
    argv = [*prefix, *guarded.command(plain_install, form)]
    with alive(plain_install, tmp_path, argv=argv) as (running, worker):
        store = running.state / "agents" / "main" / "sessions" / "sessions.json"
        before = store.stat().st_size
        worker.send_signal(signal.SIGKILL)
        running.wait_for_life(2, DEADLINE_S)
        first = running.lives()[0]
        assert (first.exit_code, first.signal) == ends
        assert [death.cause for death in running.deaths()] == [Cause.UNKNOWN]
        assert not first.cured
        assert store.stat().st_size > before / 2
        assert running.stays_up(5), running.tell()


def test_orphan_of_a_killed_wrapper_is_taken_over(
    plain_install: real_gateway.Install, tmp_path: Path
) -> None:
    argv = [*TWO_PROCESSES, *guarded.command(plain_install)]
    with alive(plain_install, tmp_path, argv=argv) as (running, worker):
        wrapper = running.life().pid
        assert wrapper not in (None, worker.pid)
        os.kill(wrapper, signal.SIGKILL)
        running.wait_for(lambda: "goes on in another process" in running.output(), 20, "takeover")
        assert running.stays_up(10), running.tell()
        assert not guarded.is_gone(worker)
        assert len(running.lives()) == 1
    assert running.process.returncode == 0
    assert guarded.is_gone(worker), "asked to stop, it ends the orphan"


def test_gateway_of_a_killed_supervisor_is_adopted(
    json5_install: real_gateway.Install, tmp_path: Path
) -> None:
    with alive(json5_install, tmp_path) as (first, worker):
        first.process.kill()
        first.process.wait()
        assert not guarded.is_gone(worker)
        # It must also bear to write to a standard error that nobody reads.
        json5_install.call(first.state, first.port, "health")
        with guarded.run(json5_install, first.state, port=first.port) as second:
            second.wait_for(lambda: "took over" in second.output(), 20, "adoption")
            assert second.stays_up(10), second.tell()
            assert second.life().worker_pid == worker.pid
            assert len(second.lives()) == 1
        assert second.process.returncode == 0
        assert guarded.is_gone(worker)
    assert second.deaths() == []


def test_restart_of_the_old_kind_stays_in_its_process(
    json5_install: real_gateway.Install, tmp_path: Path
) -> None:
    with alive(json5_install, tmp_path) as (running, worker):
        starts = running.output().count("starting HTTP server")
        running.process.send_signal(signal.SIGUSR1)
        running.wait_for(
            lambda: running.output().count("starting HTTP server") > starts, 60, "restart"
        )
        running.wait_for(running.is_healthy, 60, "answer")
        assert running.stays_up(5), running.tell()
        assert len(running.lives()) == 1
        assert running.life().worker_pid == worker.pid
        assert not guarded.is_gone(worker)
    assert running.deaths() == []


def test_restart_of_the_new_kind_is_handed_over(
    sqlite_install: real_gateway.Install, tmp_path: Path
) -> None:
    """OPENCLAW_SUPERVISOR_MODE=external: it ends with 0 and a hand-off, we owe the next start."""
    with alive(sqlite_install, tmp_path) as (running, worker):
        running.process.send_signal(signal.SIGUSR2)
        running.wait_for_life(2, DEADLINE_S)
        first, second = running.lives()
        assert (first.exit_code, first.signal) == (0, None)
        assert first.death is not None
        assert first.death.cause is Cause.PLANNED_RESTART
        assert second.worker_pid != worker.pid
        assert second.started_ms - first.ended_ms < 5_000
        asked = sqlite_install.openclaw(running.state, "gateway", "restart")
        assert asked.returncode == 0, asked.stderr[-2000:]
        running.wait_for_life(3, DEADLINE_S)
        assert running.lives()[1].death.cause is Cause.PLANNED_RESTART
        breaker = running.history.decisions.read_breaker()
        assert (breaker.state, breaker.row, breaker.deaths) == (BreakerState.CLOSED, 2, 2), (
            "after lives of seconds they count, and two are no loop"
        )
        assert running.is_healthy("/startupz", "started")
    assert running.deaths() == []


@pytest.mark.parametrize(
    ("version", "fault"),
    [("2026.3.28", "schema"), ("2026.4.14", "syntax"), ("2026.9.6", "schema")],
)
def test_refused_configuration_is_waited_for(version: str, fault: str, tmp_path: Path) -> None:
    install = install_or_skip(version)
    state, _, port = write_state(tmp_path)
    config = state / "openclaw.json"
    good = config.read_text()
    bad = json.loads(good) | {"gateway": {"port": "many"}}
    config.write_text(good[: len(good) // 2] if fault == "syntax" else json.dumps(bad))
    with guarded.run(install, state, port=port) as running:
        running.wait_for(running.deaths, DEADLINE_S, "refusal")
        running.wait_for(running.history.decisions.read_last, 10, "decision")
        decision = running.history.decisions.read_last().decision
        assert decision.waiting is Waiting.CONFIG_CHANGE, running.tell()
        assert running.deaths()[0].cause is Cause.CONFIG
        time.sleep(5)
        assert len(running.lives()) == 1, "it may not try while nothing changed"
        config.write_text(good)
        running.wait_for_life(2, DEADLINE_S)
        assert running.stays_up(5), running.tell()
