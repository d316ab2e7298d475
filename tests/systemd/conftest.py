"""One booted machine for all tests here: the wheel in it, and gateways as OpenClaw has them."""

from __future__ import annotations

import itertools
import shutil

import pytest
from machine import NotPossible, boot
from real_openclaw import VERSIONS, boot_openclaw
from stand_in import Gateway, collect_wheels, install_all

import real_gateway  # isort: skip

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    wheels = collect_wheels(tmp_path_factory.mktemp("wheels"))
    try:
        with boot(folder) as booted:
            install_all(booted, wheels)
            yield booted
    except NotPossible as e:
        pytest.skip(str(e))
    finally:
        shutil.rmtree(folder / "root", ignore_errors=True)


@pytest.fixture
def gateway(machine):
    """Make gateways; each has a profile, a port and a state directory of its own."""
    made: list[Gateway] = []

    def make(**about: str) -> Gateway:
        number = next(_numbers)
        made.append(Gateway(machine, f"p{number}", 18800 + number, **about))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="module", params=VERSIONS)
def openclaw(request, tmp_path_factory):
    """The real one in a machine of its own, with its service installed by itself."""
    folder, wheels = tmp_path_factory.mktemp("machine"), tmp_path_factory.mktemp("wheels")
    try:
        with boot_openclaw(request.param, folder, wheels) as booted:
            yield booted
    except (NotPossible, real_gateway.NotInstallable) as e:
        pytest.skip(str(e))
    finally:
        shutil.rmtree(folder / "root", ignore_errors=True)
