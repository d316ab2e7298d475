"""One supervisor a gateway, known by its pid, and gone with its process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, StoreInvalid, TailflipError, TryLater
from tailflip.base.state_dir import Presence

GUARD, OTHER = "/home/u/.openclaw", "/home/u/.openclaw-work"


def test_only_one_supervises_and_the_other_learns_who(home):
    with home.supervise(GUARD, Presence.RUN, 17, RealDisk()):
        found = home.read_supervisor(GUARD)
        assert (found.pid, found.mode, found.started_ms) == (os.getpid(), "run", 17)
        with (
            pytest.raises(TryLater, match=f"tailflip run, pid {os.getpid()}") as refused,
            home.supervise(GUARD, Presence.WATCH, 18, RealDisk()),
        ):
            pass
        assert GUARD in refused.value.message
        assert home.read_supervisor(GUARD).mode == "run"
    assert home.read_supervisor(GUARD) is None


def test_it_is_given_back_at_an_error_and_can_be_had_again(home):
    with pytest.raises(ZeroDivisionError), home.supervise(GUARD, Presence.RUN, 1, RealDisk()):
        raise ZeroDivisionError
    with home.supervise(GUARD, Presence.RUN, 2, RealDisk()):
        assert home.read_supervisor(GUARD).started_ms == 2


def test_gateways_have_supervisors_of_their_own(home):
    with (
        home.supervise(GUARD, Presence.RUN, 1, RealDisk()),
        home.supervise(OTHER, Presence.WATCH, 2, RealDisk()),
    ):
        assert home.read_supervisor(GUARD).mode == "run"
        assert home.read_supervisor(OTHER).mode == "watch"


def test_the_kernel_gives_it_back_when_the_process_is_killed(home):
    code = (
        "import os, sys; from pathlib import Path; from tailflip.base.state_dir import Home; "
        "from tailflip.base.durable import RealDisk\n"
        f"with Home(Path(sys.argv[1])).supervise({GUARD!r}, 'run', 1, RealDisk()):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(home.root)], check=False)
    assert process.returncode == -9
    assert home.read_supervisor(GUARD) is None
    with home.supervise(GUARD, Presence.RUN, 2, RealDisk()):
        assert home.read_supervisor(GUARD).started_ms == 2


def test_a_shorter_note_leaves_nothing_of_a_longer_one(home):
    with home.supervise(GUARD, Presence.WATCH, 10**15, RealDisk()):
        pass
    with home.supervise(GUARD, Presence.RUN, 1, RealDisk()):
        assert home.read_supervisor(GUARD).mode == "run"


def test_it_is_readable_by_nobody_else_and_follows_no_link(home, tmp_path):
    with home.supervise(GUARD, Presence.RUN, 1, RealDisk()):
        [path] = home.guards.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(TailflipError), home.supervise(GUARD, Presence.RUN, 1, RealDisk()):
        pass
    assert victim.read_text() == "precious"


def test_nobody_supervises_where_nothing_is(home):
    assert home.read_supervisor(GUARD) is None
    assert not home.root.exists()


def test_a_directory_that_cannot_be_made_is_said(home):
    home.root.write_text("")
    with (
        pytest.raises((CannotCreate, StoreInvalid)) as refused,
        home.supervise(GUARD, Presence.RUN, 1, RealDisk()),
    ):
        pass
    assert str(home.root) in refused.value.message


def test_one_pass_at_a_time_tells_of_a_gateway_and_none_waits(home):
    with home.tell(GUARD, RealDisk()) as first:
        assert first
        with home.tell(GUARD, RealDisk()) as second, home.tell("/other", RealDisk()) as other:
            assert (second, other) == (False, True)
        with home.supervise(GUARD, Presence.RUN, 1, RealDisk()):
            assert home.read_supervisor(GUARD).mode == "run"
    with home.tell(GUARD, RealDisk()) as again:
        assert again
