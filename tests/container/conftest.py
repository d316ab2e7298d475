"""Our image on the real OpenClaw, built once; and containers of it, each with its own volume."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest
from podman import Container, NotPossible, Podman, make_base, make_ours
from volume import configure

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
sys.path.insert(0, str(Path(__file__).parents[1] / "systemd"))
import real_gateway
from stand_in import collect_wheels

VERSIONS = ("2026.4.14", "2026.9.6")  # sessions in JSON, and in SQLite
_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=VERSIONS)
def version(request):
    """The release of OpenClaw that our image is built on."""
    return request.param


@pytest.fixture(scope="session")
def image(version, tmp_path_factory):
    """Podman, and the name of our image."""
    try:
        podman = Podman.find(tmp_path_factory.mktemp("podman"))
        install = real_gateway.install(version)
        base = make_base(podman, install)
    except (NotPossible, real_gateway.NotInstallable) as e:
        pytest.skip(str(e))
    dist = collect_wheels(tmp_path_factory.mktemp("wheels"))
    # `make wheel-aarch64` puts its wheel there too: it must be in nobody's way.
    [ours] = dist.glob("tailflip-*.whl")
    stem = "-".join(ours.name.split("-")[:4])
    (dist / f"{stem}-linux_aarch64.whl").write_bytes(b"not for this machine")
    return podman, make_ours(podman, base, dist, tmp_path_factory.mktemp("context"))


@pytest.fixture
def container(image):
    """A container that was not started yet, and its volume with a configuration in it."""
    podman, name = image
    mine = f"tailflip-test-{os.getpid()}-{next(_numbers)}"
    podman.call("volume", "create", mine)
    made = Container(podman, mine, name, mine)
    configure(made)
    yield made
    made.remove()
