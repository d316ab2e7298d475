"""Every path that the system allows works: bytes that are no UTF-8, controls, very long names."""

from __future__ import annotations

import json
import os
import time

import pytest

from support.stores import HOUR_MS
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.outcomes import Report
from tailflip.ledger.history import History, read_guards
from tailflip.stores import archive

NAMES = {
    "no UTF-8": os.fsdecode(b"d\xe9j\xe0 vu \xff"),
    "half a pair": os.fsdecode(b"\xed\xa0\x80"),
    "a newline": "two\nlines",
    "controls": "\x1b[31mred\x07\x01",
    "long": "l" * 255,
    "quotes": "\"'$HOME `x` %s \\",
}


@pytest.fixture(params=NAMES)
def odd(request, tmp_path, monkeypatch, place, capfd):
    """An installation, and everything of ours, below a folder of an odd name."""
    root = tmp_path / NAMES[request.param]
    root.mkdir()
    for name, folder in (
        ("HOME", "home"),
        ("OPENCLAW_STATE_DIR", "openclaw"),
        ("TAILFLIP_STATE_DIR", "tailflip"),
        ("TMPDIR", "tmp"),
    ):
        monkeypatch.setenv(name, str(root / folder))
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(root / "openclaw" / "openclaw.json"))
    (root / "home").mkdir()
    (root / "tmp").mkdir()
    return type(place)(root, capfd)


def test_compact_and_everything_after_it(odd):
    before = json.loads(odd.fill())
    for verb in (("check",), ("check", "--json"), ("inspect",), ("inspect", "--json")):
        assert odd.run(*verb)[0] in (0, 1), verb
    code, out, err = odd.run("compact", "--apply", "--json")
    assert code == 0, err
    (report,) = json.loads(out)["reports"]
    assert report["store"] == str(odd.store)
    action = report["action_id"]
    assert (
        archive.list_actions(Workspace(Home(odd.home), RealDisk()))[0].action.store_path
        == odd.store
    )
    for verb in (
        ("archive", "list"),
        ("archive", "list", "--json"),
        ("archive", "show", action),
        ("archive", "show", action, "--json"),
        ("archive", "verify", action),
        ("restore", action),
        ("restore", action, "--apply", "--json"),
    ):
        code, _, err = odd.run(*verb)
        assert code == 0, (verb, err)
    assert json.loads(odd.store.read_bytes()) == before
    assert odd.run("compact", str(odd.store), "--state-dir", str(odd.state), "--apply")[0] == 0
    assert odd.run("restore", "--all", "--store", str(odd.store), "--apply")[0] == 0
    assert json.loads(odd.store.read_bytes()) == before
    time.sleep(0.002)
    assert odd.run("archive", "expire", "--older-than", "0ms", "--apply", "--json")[0] == 0
    assert odd.list_litter() == []


def test_what_stands_before_and_beside_a_gateway(odd):
    odd.fill()
    tight = ("--heap-limit", "260mb")
    for verb in (
        ("preflight", *tight),
        ("preflight", *tight, "--json"),
        ("reconcile",),
        ("reconcile", "--apply"),
        ("reconcile", "--apply", "--json"),
        ("status",),
        ("status", "--json"),
        ("incidents",),
        ("incidents", "list", "--json"),
        ("config", "show", "--json"),
    ):
        code, _, err = odd.run(*verb)
        assert code in (0, 1), (verb, err)
        assert "Traceback" not in err
    assert read_guards(Workspace(Home(odd.home), RealDisk())) == (os.path.realpath(odd.state),)
    history = History(Workspace(Home(odd.home), RealDisk()), os.path.realpath(odd.state))
    assert history.lives.read()


def test_a_damaged_store_is_salvaged_and_put_back(odd):
    damaged = odd.fill()[:-500]
    odd.store.write_bytes(damaged)
    code, _, err = odd.run("compact", "--apply")
    assert code == 0, err
    _, out, _ = odd.run("archive", "list", "--json")
    for each in json.loads(out)["actions"]:
        assert odd.run("restore", each["id"], "--apply")[0] == 0, each
    assert odd.store.read_bytes() == damaged


def test_a_job_is_held_and_a_marker_cleared_and_both_come_back(odd):
    odd.fill()
    jobs = odd.state / "cron" / "jobs.json"
    written = json.loads(jobs.read_bytes())
    written["jobs"][0]["state"] = {"runningAtMs": clock.now_ms() - 30 * HOUR_MS}
    jobs.write_text(json.dumps(written, indent=2))
    before = jobs.read_bytes()
    code, _, err = odd.run("reconcile", "--apply")
    assert code == 0, err
    assert jobs.read_bytes() != before
    _, out, _ = odd.run("archive", "list", "--json")
    for each in json.loads(out)["actions"]:
        if each["store"] == str(jobs):
            assert odd.run("restore", each["id"], "--apply")[0] == 0
    assert jobs.read_bytes() == before


def test_a_value_is_read_back_as_it_was_written():
    for name in NAMES.values():
        report = Report(action_id="a", kind="compact", store=name, bytes_before=1, bytes_after=1)
        assert Report.model_validate_json(report.model_dump_json(indent=2)) == report
        assert Report.model_validate_json(report.model_dump_json().encode()) == report
