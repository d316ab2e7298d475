"""The wheel, built once; and a place without the source tree to try it in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.programs import run_program

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """What `make wheel` gives."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Elsewhere:
    """A home with nothing in it, far from the source tree."""

    home: Path

    def run(self, *argv: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {
            k: v
            for k, v in os.environ.items()
            if k.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_"))
        }
        env = {**kept, "HOME": str(self.home), "PATH": "/usr/bin:/bin", "TERM": "dumb", **more}
        return run_program(argv, timeout_s=200, env=env, cwd=self.home)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).with_name("maturin")
    env = {**os.environ, "PATH": f"{maturin.parent}:{os.environ['PATH']}"}
    for argv in (["build", "--release", "--strip"], ["sdist"]):
        subprocess.run(
            [maturin, *argv, "--out", out], cwd=ROOT, env=env, check=True, capture_output=True
        )
    [wheel], [sdist] = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture
def elsewhere(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Elsewhere(home)


@pytest.fixture(scope="session")
def tools():
    """pipx and uv, from our own environment."""
    here = Path(sys.executable).parent
    found = {name: shutil.which(name, path=str(here)) for name in ("pipx", "uv")}
    assert all(found.values()), found
    return found
