"""By consent, the real doctor takes in what keeps the real gateway from starting."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import guarded
import pytest
import real_gateway
from sqlite_states import MB, database_of, write_state

from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

CONSENT = ("--set", "heal.doctor=true")
REFUSES_OLD_STORES = "2026.8.1"  # it ends with 78 where a store of JSON lies, and imports none


def test_a_store_that_the_release_will_not_import_is_imported_by_its_doctor(tmp_path: Path) -> None:
    install, state = guarded.install_or_skip(REFUSES_OLD_STORES), tmp_path / "state"
    write_state(state, MB)
    port = real_gateway.configure(state)
    with guarded.run(install, state, *CONSENT, port=port) as running:
        running.wait_for_life(2, 600)
        assert running.stays_up(10), running.tell()
        (death,) = running.deaths()
        assert death.cause is Cause.MIGRATION
        first = running.lives()[0]
        assert first.cured
        assert first.doctored is not None
        assert "openclaw doctor" in first.doctored
        why = real_gateway.tailflip(install, state, "incidents", "why")
        assert "as heal.doctor allows" in " ".join(why.stdout.split())
    with closing(sqlite3.connect(database_of(state))) as db:
        (rows,) = db.execute("SELECT count(*) FROM session_nodes").fetchone()
    assert rows > 0
