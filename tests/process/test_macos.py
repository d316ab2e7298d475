"""Everything that callers of `platform_calls` do, done again as if this were macOS.

Other tests are run once more, in Pythons for which Linux looks like macOS; see
`fakes/macos/sitecustomize.py`. Left out is only what macOS cannot do: read a cgroup, be a
subreaper, have a service of systemd's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support import macos

TESTS = Path(__file__).parents[1]
CALLERS = {
    "locks and processes": (
        "unit/stores/test_lock.py",
        "unit/observe/gateway/test_process.py",
        "unit/observe/gateway/test_liveness.py",
    ),
    "admission and evidence": (
        *(
            "unit/supervise/test_admission.py",
            "unit/stores/proof/test_prove.py",
            "unit/stores/test_preflight.py",
        ),
        "process/test_past.py",
    ),
    "verbs": (
        "cli/test_verbs.py::test_compact_then_undo_by_the_printed_command",
        "cli/test_verbs.py::test_half_done_work_is_ended_first_and_told",
    ),
    "launchd": (
        "unit/install/test_launchd.py",
        "cli/test_install.py::test_an_agent_gets_the_gate_and_is_put_back_byte_for_byte",
        "cli/test_install.py::test_an_agent_that_openclaw_wrote_anew_is_not_put_back",
        "cli/test_install.py::test_run_is_not_offered_for_launchd",
    ),
    "holders": ("unit/observe/test_holders.py::test_who_has_it_open_is_named",),
    "gate": (
        "process/test_gate.py::test_the_gateway_is_the_process_that_was_started_with_all_its_things",
        "process/test_gate.py::test_a_store_that_will_not_fit_is_compacted_first",
        "process/test_gate.py::test_a_death_of_memory_is_inferred_from_nodes_report_and_cured",
        "process/test_gate.py::test_a_kill_is_inferred_from_the_lock_that_it_left",
        "process/test_gate_beside.py::test_a_start_beside_a_living_gateway_is_refused_with_its_pid",
        "process/test_gate.py::test_a_refused_configuration_is_held_until_the_file_changes",
    ),
    "run": (
        "process/test_run_memory.py::test_a_death_of_memory_is_cured_and_can_be_undone",
        "process/test_run_ends.py::test_a_gateway_that_starts_its_successor_itself_is_followed_to_it",
        "process/test_run_survives.py::test_a_living_gateway_is_taken_over_and_its_stderr_read_on",
        "process/test_child.py::test_one_that_was_taken_over_shows_its_end_though_it_is_not_ours",
        "process/test_child.py::test_the_end_of_one_that_is_gone_already_is_not_waited_for",
        "process/test_run_survives.py::test_the_end_of_a_gateway_that_was_taken_over_is_seen_at_once",
        "process/test_run_survives.py::test_a_gateway_that_somebody_else_started_is_waited_for",
        "process/test_pid1.py::test_a_thousand_orphans_are_reaped",
    ),
}


@pytest.fixture
def on_macos(tmp_path):
    """Run a Python as on macOS; what it did that macOS would not have borne is a failure."""
    folder = macos.make_folder(tmp_path)

    def run(*words):
        env = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
        done = subprocess.run(
            [sys.executable, *words], env=env, capture_output=True, text=True, check=False
        )
        told = folder / "told"
        return done, Counter(told.read_text().splitlines() if told.exists() else ())

    return run


@pytest.mark.parametrize("who", CALLERS)
def test_those_who_ask_the_system_work_as_on_macos(on_macos, who):
    tests = (str(TESTS / each) for each in CALLERS[who])
    done, told = on_macos("-m", "pytest", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert not [what for what in told if what.startswith("opened ")]
    assert not [what for what in told if what.startswith("ran ")], "there is no systemd"
    # A tailflip that tests start does not always get our environment by itself.
    assert bool(told["began tailflip"]) is (who in ("gate", "run"))


def test_every_sync_of_a_compaction_is_a_full_one(on_macos):
    tests = TESTS / "unit/stores/test_transaction.py"
    done, told = on_macos("-m", "pytest", "-p", "no:cacheprovider", str(tests))
    assert done.returncode == 0, done.stdout[-20_000:]
    assert told["synced fully"] > 50
    assert told["synced"] == 0


def test_what_asks_linux_is_found_out(on_macos):
    """The tests above can fail."""
    done, told = on_macos(
        "-c",
        "from tailflip.base import platform_calls;"
        "from tailflip.observe.gateway.process import start_ticks;"
        "platform_calls.here = platform_calls.Linux(); start_ticks(1)",
    )
    assert "NotOnMacOS" in done.stderr
    assert told == {"opened /proc/1/stat": 1}
