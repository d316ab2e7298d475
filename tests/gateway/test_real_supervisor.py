"""The crash loops that started this project, on the real gateway, ended by `tailflip run`.

Stores and heap limits are those at which each version was measured to die.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import TYPE_CHECKING

import guarded
import pytest
import real_gateway
from guarded import DIRECT, TWO_PROCESSES, WITHOUT_ADMISSION, WRAPPER

from fakes import echo_model
from tailflip.demo.incident import write_incident
from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

MB = 1_000_000
# version -> heap in MiB that the incident's 185 MB kill at every start, without a job due.
DEADLY_MIB = {"2026.3.28": 768, "2026.4.14": 2048, "2026.9.6": 384}
DEADLINE_S = 400  # to die, be compacted and start again; 25 to 110 s were measured


def write_state(tmp_path: Path, *, wide: bool = False) -> tuple[Path, Path]:
    """Return state directory and store of the incident."""
    state = tmp_path / "state"
    incident = write_incident(state, now_ms=int(time.time() * 1000), wide=wide)
    return state, incident["store"]


def read_digests(store: Path) -> dict[str, str]:
    """Return a digest of every entry: two whole stores of 185 MB are too much to compare."""
    entries = json.loads(store.read_bytes())
    return {k: hashlib.sha256(json.dumps(v).encode()).hexdigest() for k, v in entries.items()}


def pick_kept(digests: dict[str, str]) -> dict[str, str]:
    """Pick the entries that must stay: everything but single cron runs."""
    return {key: digest for key, digest in digests.items() if ":run:" not in key}


def restore(install: real_gateway.Install, state: Path, running: guarded.Guarded) -> None:
    """Undo all that was done before and after the death, newest first, as it was logged."""
    actions = dict.fromkeys(re.findall(r"tailflip restore (\S+) --apply", running.output()))
    assert actions
    for action in reversed(actions):
        ran = real_gateway.tailflip(install, state, "restore", action, "--apply")
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("prefix", "form", "ends"),
    [
        pytest.param(TWO_PROCESSES, WRAPPER, (1, None), id="wrapper"),
        pytest.param((), DIRECT, (None, 6), id="direct"),
    ],
)
def test_crash_loop_is_broken_by_its_first_death(
    gateway_install: real_gateway.Install,
    tmp_path: Path,
    prefix: tuple[str, ...],
    form: str,
    ends: tuple[int | None, int | None],
) -> None:
    state, store = write_state(tmp_path)
    before = read_digests(store)
    size_bytes = store.stat().st_size
    with guarded.run(
        gateway_install,
        state,
        *WITHOUT_ADMISSION,
        port=real_gateway.configure(state),
        heap_mib=DEADLY_MIB[gateway_install.version],
        argv=[*prefix, *guarded.command(gateway_install, form)],
    ) as running:
        running.wait_for_life(2, DEADLINE_S)
        first = running.lives()[0]
        assert first.death is not None
        assert first.death.cause is Cause.V8_HEAP
        assert any(real_gateway.HEAP_DEATH in line for line in first.death.evidence)
        assert (first.exit_code, first.signal) == ends
        assert first.cured
        assert store.stat().st_size < size_bytes / 10
        assert running.stays_up(20), running.tell()
        assert len(running.deaths()) == 1
        kept = pick_kept(read_digests(store))
        assert kept == pick_kept(before)
        assert kept.keys() <= gateway_install.listed_sessions(state)
    assert running.process.returncode == 0
    assert running.life().death.cause is Cause.ASKED_STOP
    assert not guarded.list_processes(state)

    restore(gateway_install, state, running)
    assert read_digests(store) == before


def test_admission_lets_the_incident_never_die(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_state(tmp_path)
    before = read_digests(store)
    with guarded.run(
        gateway_install,
        state,
        port=real_gateway.configure(state),
        heap_mib=DEADLY_MIB[gateway_install.version],
    ) as running:
        running.wait_for_life(1, DEADLINE_S)
        assert running.stays_up(20), running.tell()
        assert len(running.lives()) == 1
        assert pick_kept(read_digests(store)) == pick_kept(before)
    assert running.deaths() == []

    restore(gateway_install, state, running)
    assert read_digests(store) == before


def test_endless_import_ends_with_all_chats_listed(
    sqlite_install: real_gateway.Install, tmp_path: Path
) -> None:
    """On 2026.9.6 the import of the legacy store dies at every boot, before any breaker sees it."""
    heap_mib = DEADLY_MIB[sqlite_install.version]
    state, store = write_state(tmp_path)
    kept = pick_kept(read_digests(store)).keys()
    port = real_gateway.configure(state)
    with real_gateway.gateway(sqlite_install, state, heap_mib=heap_mib, port=port) as alone:
        assert not alone.settle(240), "the import was meant to kill it"
        assert real_gateway.HEAP_DEATH in alone.output()
    assert store.stat().st_size > 184 * MB, "nothing was imported"

    with guarded.run(sqlite_install, state, port=port, heap_mib=heap_mib) as running:
        running.wait_for_life(1, DEADLINE_S)
        assert running.is_healthy("/startupz", "started")
        # The first sweep of old runs is due 60 to 75 s after the start, and deadly as well.
        assert running.stays_up(90), running.tell()
        assert kept <= sqlite_install.listed_sessions(state)
    assert running.deaths() == []
    assert len(running.lives()) == 1


def test_import_that_died_is_cured_without_admission(
    sqlite_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_state(tmp_path)
    kept = pick_kept(read_digests(store)).keys()
    with guarded.run(
        sqlite_install,
        state,
        *WITHOUT_ADMISSION,
        port=real_gateway.configure(state),
        heap_mib=DEADLY_MIB[sqlite_install.version],
    ) as running:
        running.wait_for_life(2, DEADLINE_S)
        assert [death.cause for death in running.deaths()] == [Cause.V8_HEAP]
        assert running.stays_up(20), running.tell()
        assert kept <= sqlite_install.listed_sessions(state)


def make_busy(state: Path, every_s: int) -> Path:
    """Leave one job, due now and again every `every_s`; return its run log."""
    path = state / "cron" / "jobs.json"
    jobs = json.loads(path.read_bytes())
    job = jobs["jobs"][0]
    now_ms = int(time.time() * 1000)
    job["schedule"] = {"kind": "every", "everyMs": every_s * 1000, "anchorMs": now_ms}
    job["state"] = {"nextRunAtMs": now_ms}
    path.write_text(json.dumps(jobs | {"jobs": [job]}))
    log = state / "cron" / "runs" / f"{job['id']}.jsonl"
    log.unlink(missing_ok=True)
    return log


def test_incidents_own_loop_ends_with_its_first_death(
    plain_install: real_gateway.Install, tmp_path: Path
) -> None:
    """2026.3.28, the heap of an 8 GB host, a job a minute: five starts of five died of it."""
    state, _ = write_state(tmp_path, wide=True)
    log = make_busy(state, every_s=60)
    with (
        echo_model.serving() as model_port,
        guarded.run(
            plain_install,
            state,
            *WITHOUT_ADMISSION,
            port=real_gateway.configure(state, model_port),
            heap_mib=2048,
        ) as running,
    ):
        running.wait_for_life(2, DEADLINE_S)
        assert [death.cause for death in running.deaths()] == [Cause.V8_HEAP]
        began_ms = running.life().started_ms
        assert running.stays_up(150), running.tell()
        runs = [json.loads(line) for line in log.read_text().splitlines()]
        done = [r for r in runs if r["ts"] > began_ms and r.get("status") == "ok"]
        assert len(done) >= 2, runs
    assert len(running.deaths()) == 1
