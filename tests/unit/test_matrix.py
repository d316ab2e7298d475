"""The matrix of releases: whatever a step does is an answer, and a record has a line a release."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
import real_gateway

from matrix import __main__ as matrix
from matrix import databases, lines, page, release, runs
from matrix.lines import Line, NotServed, NotThere, Outcome
from support.agent_database import connect, make_database


def ask(line: Line, asked: str, error: Exception | None = None) -> None:
    with line.asking(asked, 60) as told:
        told.append("so")
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.OK),
        (AssertionError("no"), Outcome.FAILED),
        (subprocess.TimeoutExpired("openclaw", 180), Outcome.FAILED),
        (NotServed("no"), Outcome.NOT_SERVED),
        (NotThere("no"), Outcome.NOT_THERE),
    ],
)
def test_whatever_a_step_raises_is_its_answer(error, outcome):
    line = Line("2026.7.35", "2026-11-29")
    ask(line, "boots", error)
    assert [answer.outcome for answer in line.answers] == [outcome]
    assert line.answers[0].told.startswith("so")


def test_a_step_that_takes_too_long_is_an_answer_too():
    line = Line("2026.7.35", "2026-11-29")
    with line.asking("boots", 0.05):
        try:
            time.sleep(20)
        except Exception:  # noqa: BLE001 - as a step may catch whatever fails
            pytest.fail("a step cannot swallow the end of its time")
    assert line.outcome is Outcome.FAILED
    assert "not over after" in line.answers[0].told


def test_what_needs_a_failed_step_is_not_asked():
    line = Line("2026.7.35", "2026-11-29")
    ask(line, "boots", AssertionError("no"))
    with line.asking("is killed", 60):
        line.need("boots")
    assert line.answers[1].outcome is Outcome.NOT_ASKED


def test_what_needs_something_that_is_not_there_is_not_there_either():
    line = Line("2026.8.1", "2026-11-29")
    ask(line, "dies", NotThere("it refuses the store"))
    with line.asking("is cured", 60):
        line.need("dies")
    assert line.outcome is Outcome.OK


def test_a_database_is_asked_for_where_the_release_keeps_one_and_no_step_without_it(tmp_path):
    """`false` stands for a release whose tool cannot import."""
    kept = [each for each in matrix.LISTED if databases.keeps_databases(each)]
    assert kept == ["2026.8.1", "2026.8.2", "2026.9.3", "2026.9.5", "2026.9.6"]
    line = Line("2026.9.6", "2026-11-29")
    program = Path(shutil.which("false") or "")
    install = real_gateway.Install(line.release, program, tmp_path)
    databases.ask_of_database(line, install, tmp_path)
    assert [answer.outcome for answer in line.answers] == [
        Outcome.FAILED,
        *[Outcome.NOT_ASKED] * 4,
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session_nodes SET status = 'running'",
        "UPDATE session_windows SET status = 'running'",
        "UPDATE session_nodes SET entry_json = json_set(entry_json, '$.status', 'running')",
    ],
)
def test_a_run_is_stuck_wherever_a_database_calls_it_running(tmp_path, change):
    database = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(database, {"one": {"sessionId": "s-one", "status": "done"}})
    assert databases.list_running(tmp_path) == []
    with closing(connect(database)) as db, db:
        db.execute(change)
    assert databases.list_running(tmp_path) == ["one"]


def test_a_store_is_imported_first_where_the_release_refuses_the_file():
    refused = [each for each in matrix.LISTED if databases.refuses_files(each)]
    assert refused == ["2026.8.1", "2026.8.2", "2026.9.3", "2026.9.5"]


@pytest.mark.parametrize("name", ["cron/jobs.json", "cron/jobs-state.json", "state/a.sqlite-wal"])
def test_a_run_is_marked_wherever_its_gateway_writes_that_it_began(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text('{"state": {"lastRunAtMs": 1}}')
    assert not runs.is_marked(tmp_path)
    path.write_text('{"state": {"runningAtMs": 1}}')
    assert runs.is_marked(tmp_path)


def test_a_database_without_sessions_calls_none_running(tmp_path):
    """Those of 2026.6 and 2026.7 hold other things."""
    database = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    database.parent.mkdir(parents=True)
    with closing(connect(database)) as db, db:
        db.execute("CREATE TABLE cache_entries (key TEXT)")
    assert databases.list_running(tmp_path) == []


def test_the_worst_answer_is_the_outcome_of_a_line():
    line = Line("2026.7.35", "2026-11-29")
    ask(line, "a")
    ask(line, "b", NotThere("no"))
    assert line.outcome is Outcome.OK
    ask(line, "c", NotServed("no"))
    assert line.outcome is Outcome.NOT_SERVED
    ask(line, "d", AssertionError("no"))
    assert line.outcome is Outcome.FAILED


def test_a_record_keeps_one_line_a_release_in_the_order_of_releases(tmp_path):
    record = tmp_path / "matrix.jsonl"
    for version in ("2026.7.35", "2026.7.1-2", "2026.7.1", "2026.10.1", "2026.7.1-2"):
        lines.keep(record, lines.as_row(Line(version, "2026-11-29")))
    assert list(lines.read(record)) == ["2026.7.1", "2026.7.1-2", "2026.7.35", "2026.10.1"]


@pytest.mark.parametrize(
    "heaps", [{8: 300, 24: 460}, {8: 176, 24: 201, 110: 348}, {8: 192, 24: 219, 110: 300}]
)
def test_a_fit_is_just_above_all_smallest_heaps(heaps):
    factor, base = page.fit(heaps)
    above = {
        mb: (factor * mb * 1_000_000 + base) / (page.limit_mib(mib) << 20)
        for mb, mib in heaps.items()
    }
    assert min(above.values()) >= 1
    assert max(above.values()) <= 1.08


def test_the_forecast_of_what_was_measured_is_safe_and_at_most_a_fifth_too_high():
    measured = [
        (version, mb, page.forecast_mib(version, mb) / page.limit_mib(mib))
        for version, line in lines.read(lines.HEAPS).items()
        for mb, mib in page.measured(line).items()
    ]
    assert measured
    assert [each for each in measured if not 1 <= each[2] <= 1.2] == []


def test_all_without_a_good_line_are_asked_and_one_that_was_interrupted_is_asked_again(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENCLAW_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KEEP", raising=False)
    monkeypatch.setattr(lines, "MATRIX", tmp_path / "matrix.jsonl")
    monkeypatch.setattr(page, "PAGE", tmp_path / "releases.md")
    monkeypatch.setattr(matrix.signal, "signal", lambda *_: None)
    monkeypatch.setattr(matrix, "list_stable", lambda: ["2026.7.1", "2026.7.35", "2026.8.1"])
    monkeypatch.setattr(matrix.sys, "argv", ["matrix", "matrix", "--all"])
    failed = Line("2026.7.1", "2026-11-29")
    ask(failed, "boots", AssertionError("no"))
    lines.keep(lines.MATRIX, lines.as_row(failed))
    asked = []

    def answer(line: Line, folder: Path) -> None:
        asked.append(line.release)
        (tmp_path / "cache" / line.release).mkdir(parents=True)
        ask(line, "boots")
        if asked == ["2026.7.1", "2026.7.35"]:
            raise KeyboardInterrupt

    monkeypatch.setattr(release, "try_release", answer)
    with pytest.raises(KeyboardInterrupt):
        matrix.main()
    assert [line["outcome"] for line in lines.read(lines.MATRIX).values()] == ["ok"]
    matrix.main()
    assert asked == ["2026.7.1", "2026.7.35", "2026.7.35", "2026.8.1"]
    assert list(lines.read(lines.MATRIX)) == ["2026.7.1", "2026.7.35", "2026.8.1"]
    assert list((tmp_path / "cache").iterdir()) == []  # one release at a time is on the disk
    assert "`2026.8.1`" in page.PAGE.read_text("utf-8")
