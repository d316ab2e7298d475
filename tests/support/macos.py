"""What plays macOS for tests on Linux: its C library, and a folder that gives Pythons to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SOURCES = Path(__file__).parents[1] / "fakes" / "macos"


def build_libc(folder: Path) -> Path:
    """Compile the stand-in for macOS's C library."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("macOS is played on Linux, by what a C compiler makes")
    library = folder / "libc.so"
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"]
    subprocess.run([*command, library, _SOURCES / "libc.c"], check=True)
    return library


def make_folder(folder: Path) -> Path:
    """Make what is put on the PYTHONPATH of a Python that is to run as on macOS."""
    build_libc(folder)
    shutil.copy(_SOURCES / "sitecustomize.py", folder)
    return folder
