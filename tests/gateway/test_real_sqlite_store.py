"""Sessions in SQLite on the real gateways: made small, started, put back, started again."""

from __future__ import annotations

import pytest
from guarded import install_or_skip
from imported_store import ImportedStore

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

MB = 1_000_000


@pytest.fixture(scope="module", params=["2026.8.1", "2026.9.5", "2026.9.6"])
def imported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ImportedStore:
    """One for each version of the agent's database that is known: 19, 21, 23."""
    state = tmp_path_factory.mktemp(f"sqlite-{request.param}") / "state"
    store = ImportedStore(install_or_skip(request.param), state)
    store.bring_in(12 * MB)
    return store


def test_a_database_is_made_small_accepted_and_put_back(imported: ImportedStore) -> None:
    """The gateway lives on the small database, and on the one that was put back."""
    before, keys, was = imported.rows(), imported.keys(), imported.database.stat()
    imported.compact()
    now = imported.database.stat()
    assert now.st_size < was.st_size / 4
    assert now.st_ino == was.st_ino
    left = imported.keys()
    assert left
    assert not [key for key in left if ":run:" in key]
    assert imported.install.listed_sessions(imported.state) == left
    imported.restore()
    assert imported.rows() == before
    imported.compact()
    with imported.started():
        assert imported.is_left_alone()
    imported.restore()
    assert imported.keys() == keys
    with imported.started():
        pass
    told = imported.install.openclaw(imported.state, "doctor", "--non-interactive")
    assert "integrity" not in told.stdout.lower() or "ok" in told.stdout.lower()
