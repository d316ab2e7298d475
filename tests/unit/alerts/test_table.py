"""Every code has its row, and no row can tell what is private."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest

from tailflip.alerts.table import (
    ACTION_FAILED,
    FAILING,
    GUARD_GONE,
    HANGS,
    OF_DATA,
    OUTAGE,
    ROWS,
    SALVAGED,
    UNKNOWN,
    find_row,
)
from tailflip.diagnose.findings.registry import find_all
from tailflip.flow.alerts import Urgency
from tailflip.flow.findings import Code

ROOT = Path(__file__).parents[3]
OWN = {ACTION_FAILED, FAILING, GUARD_GONE, HANGS, SALVAGED}
# As the table of codes has it.
CRITICAL = {
    "gateway-down", "crash-loop", "start-refused", "store-too-big", "store-invalid",
    "store-missing", "rotation-trap", "disk-full", "guard-gone", "transcript-headless",
    "transcript-too-long",
}  # fmt: skip
WARNING = {
    "disk-ahead", "gateway-hangs", "memory-trend", "heap-forecast", "heap-close", "store-growing",
    "job-storm",
    "job-rapid", "job-stuck", "job-overdue", "cron-store-invalid", "retention-invalid",
    "entries-resurrected", "transcript-huge", "salvaged", "action-failed", "alerts-failing",
}  # fmt: skip
NOTICE = {"leftovers", "marker-orphaned", "runs-stuck"}


def load_registry_cases():
    """Load the cases of the registry's own test: one for each finding, with names in it."""
    path = ROOT / "tests/unit/diagnose/findings/test_registry.py"
    spec = importlib.util.spec_from_file_location("registry_cases", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REGISTRY = load_registry_cases()


def test_every_finding_has_a_row_and_every_row_is_of_a_code():
    assert set(ROWS) == {str(each) for each in Code} | OWN


@pytest.mark.parametrize(
    ("urgency", "codes"),
    [(Urgency.CRITICAL, CRITICAL), (Urgency.WARNING, WARNING), (Urgency.NOTICE, NOTICE)],
)
def test_how_urgent_a_code_is(urgency, codes):
    assert {code for code in codes if ROWS[code].urgency is not urgency} == set()


def test_a_code_of_another_release_is_a_warning():
    assert find_row("frobnicated") == UNKNOWN
    assert UNKNOWN.urgency is Urgency.WARNING


def test_an_outage_is_critical_and_so_is_what_destroys_data():
    assert {ROWS[each].urgency for each in OUTAGE} == {Urgency.CRITICAL}
    assert set(ROWS) >= OF_DATA


@pytest.mark.parametrize("code", ROWS)
def test_the_words_of_a_row_fit_a_subject_and_hold_a_command(code):
    row = ROWS[code]
    assert 0 < len(row.title) <= 30
    assert len(row.what) <= 100
    assert row.step.startswith("tailflip ")
    assert re.fullmatch(r"[A-Za-z0-9 ,:.'-]+", row.title + row.what)


@pytest.mark.parametrize("code", [code for code in REGISTRY.CASES if ROWS[code].has_numbers])
def test_what_is_told_of_a_finding_holds_numbers_and_no_name_or_path(code):
    inputs = dataclasses.replace(REGISTRY.HEALTHY, **REGISTRY.CASES[code])
    (found,) = find_all(inputs).findings
    assert not re.search(r"/|night|\bj1\b|\bmain\b|a trace|agent:", found.message), found.message


def test_the_page_lists_every_code_under_its_urgency():
    page = (ROOT / "docs" / "alerts.md").read_text().split("## What is told")[1]
    critical, rest = page.split("A warning about the gateway", 1)
    warning, rest = rest.split("For the digest", 1)
    notice = rest.split("[Findings]", 1)[0].split(":", 1)[1]
    for urgency, text in (
        (Urgency.CRITICAL, critical),
        (Urgency.WARNING, warning),
        (Urgency.NOTICE, notice),
    ):
        named = set(re.findall(r"`([a-z-]+)`", text))
        assert named == {code for code, row in ROWS.items() if row.urgency is urgency}, urgency
