"""Whoever is asked about one installation gives one forecast, and has one plan.

A store of 25 MB, 2026.3.28 and 621 MB of heap: `check` said that it would die, `preflight` that
it may start, and `compact` would have cut runs that the gate keeps.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tailflip.observe.gateway.capabilities import find_capabilities

if TYPE_CHECKING:
    from tailflip.flow.capabilities import HeapUse

MEASURED = ("2026.3.28", "2026.4.14", "2026.7.35", "2026.9.6")
NOT_MEASURED = "2026.5.27"
RELEASES = (*MEASURED, NOT_MEASURED, None)  # None is an unknown one
SMALL_BYTES, HYGIENE_LEAVES = 3_000_000, 450_000
VERDICTS = re.compile(r"about .* of heap to load.*")


def find_use(version: str | None) -> HeapUse:
    parts = None if version is None else tuple(int(part) for part in version.split("."))
    return find_capabilities(parts).store_heap


def choose_limit(version: str | None, of_stores: float) -> str:
    """A limit whose margin leaves room for so many bytes of store."""
    use = find_use(version)
    return f"{int((use.base_bytes + use.factor * of_stores) / 0.9 / 1024)}kb"


def run(place, state: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = place.make_env() | {
        "OPENCLAW_STATE_DIR": str(state),
        "TAILFLIP_STATE_DIR": f"{state}-tailflip",
        "OPENCLAW_GATEWAY_PORT": "1",  # nobody listens there
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "tailflip", *argv]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def copy(place, name: str) -> Path:
    return Path(shutil.copytree(place.state, place.root / name, copy_function=shutil.copy2))


@pytest.fixture
def installed(place, request):
    """The incident in small, and a release that will load it."""
    place.fill(SMALL_BYTES)
    if request.param is not None:
        place.put_openclaw(request.param)
    return request.param


@pytest.mark.parametrize("installed", RELEASES, indirect=True)
@pytest.mark.parametrize(
    "of_stores",
    [HYGIENE_LEAVES * 0.8, SMALL_BYTES * 0.5, SMALL_BYTES * 2],
    ids=["hygiene is not enough", "hygiene is enough", "it fits"],
)
def test_five_verbs_give_one_forecast_and_have_one_plan(place, installed, of_stores):
    limit = ("--heap-limit", choose_limit(installed, of_stores))
    command = ("--", "openclaw", "gateway", "run")
    told = {
        verb: json.loads(run(place, place.state, verb, *limit, "--json").stdout)
        for verb in ("check", "inspect", "compact")
    }
    states = {name: copy(place, name) for name in ("by-hand", "preflight", "gate")}
    told["preflight"] = json.loads(
        run(place, states["preflight"], "preflight", *limit, "--json", *command).stdout
    )

    forecasts = {
        "check": told["check"]["forecast"],
        "inspect": told["inspect"]["forecast"],
        "compact": told["compact"]["before"],
    }
    figures = {(each["factor"], each["heap_bytes"]) for each in forecasts.values()}
    assert len(figures) == 1, forecasts
    # What loses something needs figures of the release, by hand as before a start.
    pressed = bool(told["compact"]["pressure"])
    assert pressed is (installed in MEASURED and of_stores < HYGIENE_LEAVES)
    forecasts["preflight"] = told["preflight"]["before"]
    one = forecasts["check"]
    sources = {each.pop("source") for each in forecasts.values()}
    assert sources == {"--heap-limit", "gateway.heap_limit"}  # which a flag is before a start
    assert forecasts == dict.fromkeys(forecasts, one)
    use, size = find_use(installed), place.store.stat().st_size
    assert one["factor"] == use.factor
    assert one["heap_bytes"] == use.base_bytes + int(size * use.factor)
    words = {
        VERDICTS.search(run(place, place.state, verb, *limit).stdout)[0]
        for verb in ("check", "inspect", "compact")
    }
    assert len(words) == 1
    doubt = {None: "the release is not known", NOT_MEASURED: "not measured for this release"}
    assert (installed not in doubt) or doubt[installed] in words.pop()

    run(place, states["by-hand"], "compact", "--apply", *limit)
    started = run(place, states["gate"], "gate", *limit, *command)
    stores = {
        name: (state / place.store.relative_to(place.state)).read_bytes()
        for name, state in states.items()
    }
    assert started.returncode == (0 if installed else 78), started.stderr
    assert stores["gate"] == stores["preflight"]
    if of_stores < SMALL_BYTES:
        assert stores["gate"] == stores["by-hand"] != place.store.read_bytes()
        after = [told[verb]["after"] for verb in ("preflight", "compact")]
        assert len({each["heap_bytes"] for each in after}) == 1
    else:
        # Zombies are ended before any start; no entry goes.
        assert json.loads(stores["gate"]).keys() == json.loads(place.store.read_bytes()).keys()


@pytest.mark.parametrize("installed", ["2026.4.14"], indirect=True)
def test_the_service_that_starts_the_gateway_says_which_release_it_is(place, installed):
    """A person's PATH may hold another one than the service starts at the next boot."""
    theirs = place.root / "service" / "node_modules" / "openclaw"
    theirs.mkdir(parents=True)
    theirs.joinpath("package.json").write_text('{"name": "openclaw", "version": "2026.3.28"}')
    entry = theirs / "index.js"
    entry.write_text("")
    unit = place.root / ".config" / "systemd" / "user" / "openclaw-gateway.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(
        f"[Service]\nExecStart=/usr/bin/node {entry} gateway --port 18789\n"
        f"Environment=OPENCLAW_STATE_DIR={place.state}\n"
    )
    for verb, name in (("check", "forecast"), ("inspect", "forecast"), ("compact", "before")):
        told = json.loads(run(place, place.state, verb, "--heap-limit", "2gb", "--json").stdout)
        assert told[name]["factor"] == find_use("2026.3.28").factor, verb
    unit.with_name("openclaw-gateway-b.service").write_text(
        unit.read_text().replace(str(entry), str(place.root / "bin" / "openclaw"))
    )
    for verb in ("check", "inspect", "compact"):
        out = run(place, place.state, verb, "--heap-limit", "2gb").stdout
        assert "the release is not known" in out, verb


def test_settings_count_by_hand_as_before_a_start(place):
    place.fill(SMALL_BYTES)
    settings = place.root / ".config" / "tailflip" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '[gateway]\nheap_limit = "400mb"\n[heal]\nmargin = 0.5\nretention = "30d"\n'
    )
    for verb, name in (("check", "forecast"), ("inspect", "forecast"), ("compact", "before")):
        told = json.loads(run(place, place.state, verb, "--json").stdout)
        found = told[name]
        assert (found["limit_bytes"], found["margin"]) == (400 << 20, 0.5), verb
    assert told["policy"]["retention_ms"] == 30 * 86_400_000


def test_compact_says_why_it_does_nothing(place):
    """A person who tries it on a run that has just ended must not wonder whether it works."""
    now_ms = int(place.state.parent.stat().st_mtime * 1000)
    run_key = "agent:main:cron:j:run:fresh"
    entry = {"sessionId": "fresh", "updatedAt": now_ms, "status": "done"}
    place.put(json.dumps({run_key: entry}, indent=2).encode())
    out = run(place, place.state, "compact").stdout
    assert "nothing to do: no other run ended longer than 24 h ago" in out
