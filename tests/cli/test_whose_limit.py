"""The heap limit that verbs tell is the gateway's own, and where nobody knows it they say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from support.service_definitions import Host
from tailflip.observe.gateway import heap

# Answers like Node 24: what is asked for, and 192 MB for young objects.
NODE = """\
#!/bin/sh
size=4096
for word in $NODE_OPTIONS; do
  case $word in --max-old-space-size=*) size=${word#*=} ;; esac
done
printf %s $(((size + 192) * 1048576))
"""
VERBS = {"check": "forecast", "inspect": "forecast", "compact": "before"}


@pytest.fixture
def host(place, monkeypatch):
    """A home whose gateway has a unit, and a caller whose shell has another heap."""
    heap._answers.clear()
    host = Host(place.root)
    unit = host.put_unit()
    (place.root / "bin" / "node").write_text(NODE)
    lines = (
        f"Environment=NODE_OPTIONS=--max-old-space-size=400\n"
        f"Environment=OPENCLAW_STATE_DIR={place.state}\n[Install]"
    )
    unit.write_text(unit.read_text().replace("[Install]", lines))
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=8000")
    return host


def tell(place, verb):
    """What a verb tells as JSON, and the same for people."""
    told = json.loads(place.run(verb, "--json")[1])[VERBS[verb]]
    out = place.run(verb)[1]
    return told, next(line for line in out.splitlines() if "of heap to load" in line)


def check_all(place, limit_mib, source, verdict, *, known=True):
    for verb in VERBS:
        told, line = tell(place, verb)
        assert told["limit_bytes"] == limit_mib << 20, verb
        assert told["limit_known"] is known, verb
        assert source in told["source"], verb
        assert line.endswith(verdict), verb
    memory = json.loads(place.run("status", "--json")[1])["memory"]
    assert memory["limit_bytes"] == limit_mib << 20
    assert source in memory["source"]


def test_the_unit_s_heap_counts_and_not_the_shell_s(place, host):
    """ "The limit is 4.5 GB: it fits", for a gateway to which its unit gives 400 MB."""
    place.fill(40_000_000)
    source = "openclaw-gateway.service: "
    check_all(place, 592, source, ": it will not fit")
    assert "--max-old-space-size=400 and V8's reserve of 201.3 MB" in tell(place, "check")[1]


def test_the_living_gateway_s_heap_counts_before_its_unit_s(place, host, monkeypatch):
    """Even of a living pid that it printed, `check` told the limit of the shell."""
    place.fill(40_000_000)
    program = place.root / "node"
    program.symlink_to(sys.executable)
    (place.state / "tasks").mkdir()
    env = {
        "HOME": str(place.root),
        "OPENCLAW_STATE_DIR": str(place.state),
        "NODE_OPTIONS": "--max-old-space-size=300",
    }
    entry = host.put_package("2026.5.28")
    entry.write_text(
        "import time\n"
        f"db = open({str(place.state)!r} + '/tasks/runs.sqlite-wal', 'w')\n"
        "print('up', flush=True); time.sleep(60)\n"
    )

    def answer(owner, program, *words):
        size = int(owner.options.rpartition("=")[2])
        return str((size + 192) << 20) if "-e" in words else "v24.0.0"

    monkeypatch.setattr(heap, "_ask_node", answer)  # the process is a Python, and no node
    words = [str(program), str(entry), "gateway", "run"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"up\n"
            assert json.loads(place.run("check", "--json")[1])["gateway"]["pid"] == process.pid
            check_all(place, 492, f"pid {process.pid}: ", ": it will not fit")
        finally:
            process.kill()


def test_without_a_definition_our_record_counts(place, host, monkeypatch):
    """A gate was in front of the last start: it asked that gateway's node."""
    place.fill(40_000_000)
    for unit in host.units.iterdir():
        unit.unlink()
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=500")
    command = (str(place.root / "bin" / "node"), str(host.put_package("2026.4.14")), "gateway")
    place.run("preflight", "--set", "heal.enabled=false", "--", *command)
    heap._answers.clear()
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=8000")
    check_all(place, 692, "at its last start by tailflip: ", ": it will not fit")


def test_where_only_the_shell_tells_nobody_says_it_fits(place, host):
    place.fill(400_000)
    for unit in host.units.iterdir():
        unit.unlink()
    source = "this shell, a guess: "
    check_all(place, 8192, source, ": whether it fits is not known", known=False)
    for verb in VERBS:
        out = place.run(verb)[1]
        assert "it fits:" not in out
        assert out.count(source) == 1, "told once, whatever the number of stores and lines"


def test_a_shell_in_which_it_will_not_fit_is_still_a_warning(place, host, monkeypatch):
    """The night of the incident: the gateway is started by hand, from this very shell."""
    place.fill(40_000_000)
    for unit in host.units.iterdir():
        unit.unlink()
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=400")
    told, line = tell(place, "check")
    assert told["limit_known"] is False
    assert line.endswith(": it will not fit then")


def test_the_gateway_s_configuration_is_that_of_its_unit(place, host, monkeypatch):
    place.fill(400_000)
    config = place.root / "own.json"
    config.write_text(json.dumps({"cron": {"sessionRetention": "9d"}}))
    unit = next(host.units.iterdir())
    line = f"Environment=OPENCLAW_CONFIG_PATH={config}\n[Install]"
    unit.write_text(unit.read_text().replace("[Install]", line))
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(place.root / "of-the-caller.json"))
    told = json.loads(place.run("compact", "--json")[1])
    assert told["policy"]["retention_ms"] == 9 * 86_400_000
    assert os.environ["OPENCLAW_CONFIG_PATH"] != str(config)
