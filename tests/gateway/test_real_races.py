"""The gateway's own library writes at full speed; everything of ours works at the same time.

`compact`, `restore`, `reconcile` and `watch` each in a loop of their own, beside one writer.
What the library acknowledged must be there at the end: in the store, or in an archive.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import real_gateway
from test_real_lock import chat_key, library, run_key, write_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QUICK_S, LONG_S = 20, 300
HANDS: tuple[tuple[str, ...], ...] = (
    ("compact", "--apply"),
    ("reconcile", "--apply"),
    ("restore", "--all", "--apply"),
)
# Done, nothing there to put back (yet), or somebody else at it: each is an answer.
ANSWERS = {0, 64, 75}


def loop(  # noqa: PLR0917 - a thread's
    install: real_gateway.Install,
    state: Path,
    verb: Sequence[str],
    stop: threading.Event,
    told: Counter[tuple[str, int]],
    wrong: list[str],
) -> None:
    while not stop.is_set():
        ran = real_gateway.tailflip(install, state, *verb)
        told[verb[0], ran.returncode] += 1
        if ran.returncode not in ANSWERS:
            wrong.append(f"{verb}: {ran.returncode}: {ran.stderr}")


def race(install: real_gateway.Install, tmp_path: Path, seconds: float) -> None:
    state, store = write_store(tmp_path)
    stop, told, wrong = threading.Event(), Counter[tuple[str, int]](), []
    log = (tmp_path / "watch.log").open("wb")
    watch = subprocess.Popen(
        [sys.executable, "-m", "tailflip", "watch", "--interval", "1s"],
        env=install.environment(state),
        stdout=log,
        stderr=log,
    )
    threads = [
        threading.Thread(target=loop, args=(install, state, verb, stop, told, wrong))
        for verb in HANDS
    ]
    try:
        with library(install, state, store, "loop", seconds) as writer:
            for thread in threads:
                thread.start()
            writer.wait(seconds + 120)
            assert writer.stdout is not None
            acknowledged = json.loads(writer.stdout.read())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        assert watch.poll() is None, (tmp_path / "watch.log").read_text()
        watch.terminate()
        assert watch.wait(30) == 0
        log.close()
    assert wrong == []
    assert acknowledged["failed"] == []
    updates = acknowledged["updates"]
    print(f"{install.version}: {updates} updates, {dict(told)}")
    assert updates > seconds
    for verb in HANDS:
        assert told[verb[0], 0] > 0, told

    # Put everything back that was ever taken out: then all of it must be there.
    ran = real_gateway.tailflip(install, state, "restore", "--all", "--apply")
    assert ran.returncode == 0, ran.stderr
    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == updates, "an update was lost"
    assert [n for n in range(updates) if chat_key(n) not in left] == []
    assert [n for n in range(updates) if run_key(n) not in left] == []
    ran = real_gateway.tailflip(install, state, "compact", "--apply")
    assert ran.returncode == 0, ran.stderr
    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == updates
    assert [n for n in range(updates) if chat_key(n) not in left] == []
    assert not list(store.parent.glob("sessions.json.*")), "lock or temporary file left behind"
    for records in (state.parent / "tailflip" / "archive").glob("*/manifest.json"):
        ran = real_gateway.tailflip(install, state, "archive", "verify", records.parent.name)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.gateway
@pytest.mark.timeout(900)
def test_no_acknowledged_update_is_lost_beside_all_that_we_do(
    plain_install: real_gateway.Install, tmp_path: Path
) -> None:
    race(plain_install, tmp_path, QUICK_S)


@pytest.mark.nightly
@pytest.mark.timeout(2400)
def test_the_same_for_five_minutes(gateway_install: real_gateway.Install, tmp_path: Path) -> None:
    race(gateway_install, tmp_path, LONG_S)
