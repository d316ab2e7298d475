"""Receipts, leases and boots are read as they lie there; where none are kept there are none."""

from __future__ import annotations

import pytest

from support.state_rows import JSON_ONLY, SPLIT, StateRows
from tailflip.observe.records.owners import (
    Lease,
    Owned,
    read_ended_receipts,
    read_owned,
)
from tailflip.observe.records.runlog import RunLine

T0 = 1_795_000_000_000


@pytest.fixture
def rows(tmp_path):
    return StateRows(tmp_path, JSON_ONLY)


@pytest.fixture
def cron_store(tmp_path):
    return tmp_path / "cron" / "jobs.json"


@pytest.mark.parametrize(
    ("status", "means"),
    [
        ("ok", "done"),
        ("error", "failed"),
        ("interrupted", "killed"),
        ("skipped", None),
        ("superseded", None),
        ("running", None),
        ("of a later release", None),
    ],
)
def test_a_receipt_proves_the_end_of_a_run_or_nothing(rows, cron_store, status, means):
    rows.add_receipt("j", T0, 7, 9, status=status, lasted_ms=50)
    expected = [] if means is None else [RunLine("j", None, None, means, T0, T0 + 50)]
    assert list(read_ended_receipts(rows.path, cron_store)) == expected


def test_receipts_of_another_cron_store_are_not_ours(rows, cron_store):
    rows.add_receipt("j", T0, 7, 9, status="ok")
    rows.add_receipt("k", T0, 7, 9, status="ok")
    rows.change("UPDATE cron_run_receipts SET store_key = 'elsewhere' WHERE job_id = 'k'")
    assert [line.job_id for line in read_ended_receipts(rows.path, cron_store)] == ["j"]


def test_owners_of_runs_and_databases_are_read_and_boots_that_ended(rows, tmp_path, cron_store):
    rows.add_receipt("j", T0, 77, 123)
    rows.add_receipt("k", T0, 77, None)
    rows.add_receipt("j", T0 - 9, 76, 122, status="ok")
    rows.add_lease(tmp_path / "db", 7, 9, T0)
    rows.add_boot(7, T0, T0 + 100)
    rows.add_boot(8, T0 + 200)
    assert read_owned(rows.path, cron_store) == Owned(
        receipts=(("j", T0, 77, 123), ("k", T0, 77, None)),
        leases=(Lease(str(tmp_path / "db"), 7, 9, T0),),
        boots=((T0, T0 + 100),),
    )


def test_a_release_without_such_tables_has_none(tmp_path, cron_store):
    rows = StateRows(tmp_path, SPLIT)
    assert read_owned(rows.path, cron_store) == Owned()
    assert list(read_ended_receipts(rows.path, cron_store)) == []
