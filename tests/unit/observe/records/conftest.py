"""A state directory whose records a test puts there, in the forms that it wants."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tailflip.observe.installation import locate
from tailflip.observe.records.forms import read_forms

KINDS = ("cron", "run_log", "tasks", "subagents")


class State:
    def __init__(self, root):
        self.root = root
        (root / "state").mkdir(parents=True)
        (root / "cron").mkdir()

    def database(self, *tables):
        with closing(sqlite3.connect(self.root / "state/openclaw.sqlite")) as db:
            for table in tables:
                db.execute(f"CREATE TABLE {table} (x)")

    def put(self, name, value):
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))

    @property
    def forms(self):
        found = read_forms(locate({"OPENCLAW_STATE_DIR": str(self.root)}))
        return tuple(getattr(found, kind).form for kind in KINDS)

    def read(self):
        return read_forms(locate({"OPENCLAW_STATE_DIR": str(self.root)}))


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "s")
