"""Findings on record open, stand and end; what stands is rarely written."""

from __future__ import annotations

from support.ledger_rows import commits, make_finding
from support.stores import HOUR_MS, NOW_MS


def test_findings_open_stay_and_end(history):
    big, bad = make_finding(), make_finding(code="store-invalid")
    judged = {"heap-forecast", "store-invalid"}
    assert history.findings.note([big], NOW_MS, judged)
    assert history.findings.note([big, bad], NOW_MS + 1, judged)
    assert [each.finding for each in history.findings.read()] == [bad, big]
    assert history.findings.note([bad], NOW_MS + 2, judged)
    (open_,) = history.findings.read()
    assert (open_.finding, open_.first_ms, open_.ended_ms) == (bad, NOW_MS + 1, None)
    ended = history.findings.read(open_only=False)[1]
    assert (ended.finding, ended.first_ms, ended.ended_ms) == (big, NOW_MS, NOW_MS + 2)
    assert history.findings.note([bad, big], NOW_MS + 3, judged)
    assert len(history.findings.read(open_only=False)) == 3


def test_a_look_that_did_not_judge_a_code_does_not_end_its_findings(history):
    history.findings.note([make_finding()], NOW_MS, {"heap-forecast"})
    assert history.findings.note([], NOW_MS + 1, {"store-invalid"}) is False
    assert len(history.findings.read()) == 1


def test_a_finding_that_stands_is_refreshed_at_most_once_an_hour(counted):
    judged = {"heap-forecast"}
    counted.findings.note([make_finding()], NOW_MS, judged)
    for minutes in range(60):
        seen = make_finding(message=f"size {minutes}")
        assert counted.findings.note([seen], NOW_MS + minutes * 60_000, judged) is False
    assert commits(counted) == 1
    assert counted.findings.note([make_finding(message="grown")], NOW_MS + HOUR_MS, judged)
    (noted,) = counted.findings.read()
    assert (noted.finding.message, noted.first_ms, noted.last_ms) == (
        "grown",
        NOW_MS,
        NOW_MS + HOUR_MS,
    )


def test_a_finding_that_became_an_error_is_written_at_once(history):
    history.findings.note([make_finding(severity="warning")], NOW_MS, set())
    assert history.findings.note([make_finding()], NOW_MS + 1, set())
    assert history.findings.read()[0].finding.severity == "error"


def test_two_findings_of_one_code_and_subject_are_one(history):
    twice = [make_finding(message="in one store"), make_finding(message="in another")]
    assert history.findings.note(twice, NOW_MS, set())
    assert history.findings.note(twice, NOW_MS + 1, set()) is False
    assert history.findings.read()[0].finding.message == "in one store"
