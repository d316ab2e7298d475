"""How packages are read: small ones with each form of a text, and a run that was broken off."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from matrix import catalogue, probes
from matrix.probes import Fact, read_package
from tailflip.observe.gateway.catalogue import parse


def pack(tmp_path, files, package=None):
    """A package as npm packs it."""
    path = tmp_path / "openclaw-2026.1.1.tgz"
    files = {"package/package.json": json.dumps(package or {}), **files}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("text", "fact", "value"),
    [
        ('process.on("SIGUSR1", onSigusr1);', Fact.RESTART_SIGNAL, "SIGUSR1"),
        ("process.on(`SIGUSR2`,onRestart)", Fact.RESTART_SIGNAL, "SIGUSR2"),
        ("const SHUTDOWN_TIMEOUT_MS = 25e3;", Fact.STOP_BUDGET_S, 25),
        ("x=1,GATEWAY_SHUTDOWN_TIMEOUT_MS=325e3,y", Fact.STOP_BUDGET_S, 325),
        ('"KillMode=process",', Fact.KILL_MODE, "process"),
        ('"Service.KillMode":`mixed`', Fact.KILL_MODE, "mixed"),
        ("throw Error(`KillMode=mixed is required`)", Fact.KILL_MODE, None),
        ("A=720*60*60*1e3,DEFAULT_SESSION_PRUNE_AFTER_MS=2592e6", Fact.MAINTENANCE_DAYS, 30),
        (
            "const DEFAULT_SESSION_PRUNE_AFTER_MS = 720 * 60 * 60 * 1e3;",
            Fact.MAINTENANCE_DAYS,
            30,
        ),
        ('["/readyz", "ready"]', Fact.READYZ, True),
        ('fetch("/readyz")', Fact.READYZ, False),
        ("CREATE TABLE IF NOT EXISTS session_nodes (", Fact.SESSIONS, "database"),
        ('path.join(dir, "sessions.json")', Fact.SESSIONS, "files"),
        ("CREATE TABLE cron_run_logs (", Fact.CRON_RUNS, None),
    ],
)
def test_a_fact_is_found_in_whatever_form_it_has(tmp_path, text, fact, value):
    assert read_package(pack(tmp_path, {"package/dist/a.js": text}))[fact] == value


def test_libraries_tests_and_pages_for_browsers_are_not_read(tmp_path):
    names = ("node_modules/x/a.js", "dist/control-ui/a.js", "dist/a.test.js", "docs/a.md")
    text = "process.env.OPENCLAW_WRAPPER"
    path = pack(tmp_path, {f"package/{name}": text for name in names})
    assert read_package(path)[Fact.WRAPPER] is False
    path = pack(tmp_path, {"package/openclaw.mjs": text})
    assert read_package(path)[Fact.WRAPPER] is True


def test_what_a_package_says_of_itself_counts(tmp_path):
    package = {
        "engines": {"node": ">=24"},
        "openclaw": {"schemaVersions": {"state": 18, "agent": 23}},
    }
    facts = read_package(pack(tmp_path, {}, package))
    found = [facts[each] for each in (Fact.NODE, Fact.STATE_SCHEMA, Fact.AGENT_SCHEMA)]
    assert found == [">=24", 18, 23]


def test_two_values_of_one_fact_are_an_error(tmp_path):
    path = pack(tmp_path, {"package/dist/a.js": '"KillMode=mixed" "KillMode=process"'})
    with pytest.raises(ValueError, match=r"KillMode: .* says \['mixed', 'process'\]"):
        read_package(path)


def test_a_text_in_the_middle_of_megabytes_is_found_whole(tmp_path):
    text = f"{'x' * 5_000}const GATEWAY_SHUTDOWN_TIMEOUT_MS = 325e3;{'GATEWAY_' * 2_000}"
    assert read_package(pack(tmp_path, {"package/dist/a.js": text}))[Fact.STOP_BUDGET_S] == 325


def facts_of(**changed):
    return {fact: changed.get(fact.name) for fact in Fact}


def test_a_table_holds_the_changes_and_gives_back_every_release():
    facts = {
        "2026.1.2": facts_of(NODE="24", WRAPPER=False),
        "2026.1.10": facts_of(NODE="24", WRAPPER=True),
        "2026.1.1": facts_of(NODE="22", WRAPPER=False),
    }
    table = parse(catalogue.fold("2026-01-11", facts))
    assert table.releases == ("2026.1.1", "2026.1.2", "2026.1.10")
    assert [each.since for each in table.facts[Fact.NODE]] == ["2026.1.1", "2026.1.2"]
    assert catalogue.unfold(table) == facts


def test_a_run_that_was_broken_off_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_KEPT", tmp_path / "kept.jsonl")
    monkeypatch.setattr(catalogue.catalogue, "TABLE", tmp_path / "table.jsonl")
    fetched = []

    def fetch(release):
        if len(fetched) == 1 and release not in fetched:
            fetched.append("broken")
            raise TimeoutError
        fetched.append(release)
        return facts_of(NODE=release)

    monkeypatch.setattr(catalogue, "fetch", fetch)
    with pytest.raises(TimeoutError):
        catalogue.make(["2026.1.1", "2026.1.2"])
    assert not (tmp_path / "table.jsonl").exists()
    catalogue.make(["2026.1.1", "2026.1.2"])
    assert fetched == ["2026.1.1", "broken", "2026.1.2"]
    (tmp_path / "kept.jsonl").unlink()
    catalogue.make(["2026.1.1", "2026.1.2", "2026.1.3"])
    assert fetched[3:] == ["2026.1.3"], "what the table has is not read again"
    monkeypatch.setattr(probes, "fingerprint", lambda: "others")
    (tmp_path / "kept.jsonl").unlink()
    catalogue.make(["2026.1.1"])
    assert fetched[4:] == ["2026.1.1"], "what other probes have read is read again"
