"""The work of a compaction grows with the runs, and not with their square.

SQLite chooses the order of a join by statistics, and a gateway leaves some in the file. On the
database of a real 2026.9.6 with 6,524 runs one join then read 76 GB, and took an hour.
"""

import tempfile
from contextlib import closing

import pytest

from support.agent_database import add_entry, add_window, connect, make_database
from support.stores import GONE, HOUR_MS, JOB, NOW_MS, make_entry, run_key
from tailflip.base.durable import RealDisk
from tailflip.plan.policy import Policy
from tailflip.stores.sqlite import change, library
from tailflip.stores.sqlite.drafting import write_draft
from tailflip.stores.sqlite.mark import read_mark
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.survey import Judging, Surveyed, measure_pages
from tailflip.stores.sqlite.work import WorkReader

POLICY = Policy(retention_ms=24 * HOUR_MS)
OLD = NOW_MS - 60 * HOUR_MS
FEW, MANY = 300, 1_200
BASE = f"agent:main:cron:{JOB}"


def make_runs(path, count, version, analysed_at):
    """Old runs, half of them killed in the middle; each other one has a closed window too."""
    make_database(path, {BASE: make_entry("base"), "agent:main:main": make_entry("main")}, version)
    with closing(connect(path)) as db, db:
        for n in range(count):
            if n == analysed_at:
                db.execute("ANALYZE")
            killed = {"cronRunContinuation": {"n": n}, "status": "running"}
            told = killed if n % 2 else {"status": "done"}
            add_entry(db, run_key(f"run-{n}"), make_entry(f"run-{n}", 60 * HOUR_MS, **told))
            if n % 2:
                add_window(db, BASE, f"closed-{n}", OLD, "done")
        if analysed_at == count:
            db.execute("ANALYZE")


def count_steps(path, monkeypatch):
    """Count the steps of SQLite's machine that a draft and the change itself take."""
    counted, removed = 0, 0

    def count():
        nonlocal counted
        counted += 1

    def watch(db):
        db.set_progress_handler(count, 100)
        return db

    def draft(db, schema):
        nonlocal removed
        numbers = Judging(watch(db), POLICY, GONE, NOW_MS).sum_up(measure_pages(db))
        removed = numbers.entries - numbers.entries_after
        for table in ("units", "sizes", "guarded", "parents"):  # a survey has its own
            db.execute(f"DROP TABLE temp.{table}")
        surveyed = Surveyed(numbers, read_mark(path), schema, POLICY, GONE, NOW_MS)
        with tempfile.TemporaryFile() as records:
            write_draft(
                db, schema, surveyed, store=path, fd=work.fileno(), archive_fd=records.fileno()
            )

    monkeypatch.setattr(change, "connect", lambda path: watch(library.connect(path)))
    with tempfile.TemporaryFile() as work:
        read(path, draft)
        change.take_steps(path, WorkReader(work.fileno()), RealDisk())
    return counted, removed


@pytest.mark.parametrize("version", [19, 23])
@pytest.mark.parametrize("analysed", ["never", "long ago", "now"])
def test_steps_grow_with_the_runs(tmp_path, monkeypatch, version, analysed):
    found = []
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.sqlite"
        make_runs(path, count, version, {"never": -1, "long ago": 10, "now": count}[analysed])
        steps, removed = count_steps(path, monkeypatch)
        assert removed >= count
        found.append(steps)
    assert found[1] < 1.5 * MANY / FEW * found[0], found
