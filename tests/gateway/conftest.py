from __future__ import annotations

import pytest
import real_gateway


@pytest.fixture(scope="session", params=["2026.3.28", "2026.4.14"])
def gateway_install(request: pytest.FixtureRequest) -> real_gateway.Install:
    """Each supported version in turn, from the npm registry; skipped where it cannot be had."""
    try:
        return real_gateway.install(request.param)
    except real_gateway.NotInstallable as error:
        pytest.skip(f"no real gateway {request.param}: {error}")
