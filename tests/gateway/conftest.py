from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from guarded import install_or_skip
from held_runs import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import real_gateway
    from held_runs import Scene


@pytest.fixture(scope="session", params=["2026.3.28", "2026.4.14"])
def gateway_install(request: pytest.FixtureRequest) -> real_gateway.Install:
    """Each version that keeps sessions in JSON in turn; skipped where it cannot be had."""
    return install_or_skip(request.param)


@pytest.fixture(scope="session")
def plain_install() -> real_gateway.Install:
    """The oldest, where one will do."""
    return install_or_skip("2026.3.28")


@pytest.fixture(scope="session")
def json5_install() -> real_gateway.Install:
    """The one that parses every store as JSON5 before it opens its port."""
    return install_or_skip("2026.4.14")


@pytest.fixture(scope="session")
def sqlite_install() -> real_gateway.Install:
    """The one that imports a legacy store into SQLite at its start."""
    return install_or_skip("2026.9.6")


@pytest.fixture
def scene(gateway_install: real_gateway.Install, tmp_path: Path) -> Iterator[Scene]:
    """Each JSON-era gateway with a model that holds its runs."""
    with prepare(gateway_install, tmp_path) as made:
        yield made
