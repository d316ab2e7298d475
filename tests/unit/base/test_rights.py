"""Stores, folders and locks of other users: done where the gateway could, refused with the reason.

What is done as another user is done by a child that became him; only root can.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.stores import GONE, NOW_MS, make_store
from tailflip.base import platform_calls, rights
from tailflip.base.durable import RealDisk
from tailflip.base.errors import NoPermission, TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Evidence, Gateway, Store
from tailflip.plan.policy import Policy
from tailflip.stores.lock import hold
from tailflip.stores.preflight import find_refusals
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

USER, OTHER = 54_321, 54_322


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own are root's."""
    path = Path(tempfile.mkdtemp(prefix="tailflip-rights-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def store(ground: Path) -> Path:
    path = ground / "agents" / "main" / "sessions" / "sessions.json"
    make_store(path)
    return path


def give(folder: Path, uid: int) -> None:
    for path in (folder, *folder.iterdir()):
        os.chown(path, uid, uid)


def done_as(uid: int, act: Callable[[], object]) -> str:
    """Do it in a child that is another user; return what it raised, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = "it failed in a way that nobody expected"
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            act()
            said = ""
        except TailflipError as e:
            said = f"{e.exit_code} {e.message}"
        except BaseException as e:  # noqa: BLE001 - told to the parent
            said = repr(e)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said_there:
        said = said_there.read()
    os.waitpid(child, 0)
    return said


def compacting(store: Path, home: Home) -> Callable[[], object]:
    return lambda: compact_store(
        Store(store, "main"), Policy(), GONE, workspace=Workspace(home, RealDisk()), now_ms=NOW_MS
    )


def whose(path: Path) -> tuple[int, int, int]:
    info = path.stat()
    return info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)


def test_root_compacts_in_a_users_folder_and_everything_stays_the_users(
    store: Path, ground: Path
) -> None:
    """A NAS, a container: the data belongs to uid 1000, the gateway is root."""
    give(store.parent, USER)
    store.chmod(0o640)
    before = {p.name: whose(p) for p in store.parent.iterdir()}
    home = Home(ground / "state")
    report = compacting(store, home)()
    assert report.action_id
    assert report.transcripts
    assert whose(store) == before["sessions.json"] == (USER, USER, 0o640)
    assert {whose(p)[0] for p in store.parent.rglob("*")} == {USER}
    restore(Workspace(home, RealDisk()), everything=True, apply=True, now_ms=NOW_MS + 1)
    assert {p.name: whose(p) for p in store.parent.iterdir()} == before


def test_a_file_of_ours_in_a_users_folder_stays_ours(store: Path, ground: Path) -> None:
    os.chown(store.parent, USER, USER)
    assert compacting(store, Home(ground / "state"))().action_id
    assert whose(store) == (0, 0, 0o600)


def test_a_lock_in_a_users_folder_can_be_read_by_its_gateway(store: Path) -> None:
    give(store.parent, USER)
    with hold(store, RealDisk()) as lock:
        assert whose(lock.path) == (USER, USER, 0o644)
        assert lock.still_ours()


def test_a_user_replaces_roots_file_in_a_folder_of_his_own(store: Path, ground: Path) -> None:
    """As his gateway would: it reads the file, and renames its own over it."""
    give(store.parent, USER)
    os.chown(store, 0, 0)
    store.chmod(0o644)
    state = ground / "state"
    state.mkdir()
    os.chown(state, USER, USER)
    assert done_as(USER, compacting(store, Home(state))) == ""
    assert whose(store)[0] == USER


def test_a_user_may_replace_his_file_in_a_folder_that_all_may_write_to(
    store: Path, ground: Path
) -> None:
    give(store.parent, USER)
    os.chown(store.parent, OTHER, OTHER)
    store.parent.chmod(0o777)
    state = ground / "state"
    state.mkdir()
    os.chown(state, USER, USER)
    assert done_as(USER, compacting(store, Home(state))) == ""


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_another_users_file_in_another_users_folder_is_refused_with_whose_they_are(
    store: Path, mode: int
) -> None:
    give(store.parent, OTHER)
    store.chmod(0o666)
    store.parent.chmod(mode)
    said = done_as(USER, lambda: raise_all(store))
    assert said.startswith("77 ")
    assert f"store belongs to user id {OTHER}" in said
    assert f"we are {USER}" in said
    assert ("sticky" in said) == (mode == 0o1777)


def raise_all(store: Path) -> None:
    found = find_refusals(store)
    raise NoPermission("; ".join(each.message for each in found))


def test_a_folder_that_we_may_not_write_to_is_told_with_owner_and_mode(store: Path) -> None:
    said = done_as(USER, lambda: raise_all(store))
    assert f"directory of the store cannot be written to: {store}: {store.parent}" in said
    assert f"belongs to user id 0, mode 0755, we are user id {USER}" in said
    assert f"store cannot be read: {store}" in said


def test_root_that_may_give_nothing_away_is_refused_where_a_user_could_be_locked_out(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root in a container without CAP_CHOWN would leave the user's gateway a file of root's."""
    give(store.parent, USER)
    monkeypatch.setattr(platform_calls.Linux, "capabilities", lambda _: 0)
    (refusal,) = find_refusals(store)
    assert "may not give files away" in refusal.message
    assert f"user id {USER}" in refusal.message
    os.chown(store, 0, 0)  # the gateway is root too, and wrote it
    assert find_refusals(store) == ()


def test_a_file_that_cannot_be_given_away_after_all_leaves_the_old_one(
    store: Path, ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user id is not mapped in a container of its own: EINVAL, whatever the capabilities."""
    give(store.parent, USER)
    before = store.read_bytes()
    real = os.fchown

    def fchown(fd: int, uid: int, gid: int) -> None:
        if uid == USER:
            raise OSError(22, os.strerror(22))
        real(fd, uid, gid)

    monkeypatch.setattr(os, "fchown", fchown)
    with pytest.raises(NoPermission) as caught:
        compacting(store, Home(ground / "state"))()
    assert f"cannot be given to user id {USER}" in caught.value.message
    assert "the original is in place" in caught.value.message
    assert store.read_bytes() == before
    assert [p.name for p in store.parent.iterdir() if ".tmp" in p.name or ".lock" in p.name] == []


def test_a_group_that_we_are_not_in_keeps_nobody_from_compacting(store: Path, ground: Path) -> None:
    give(store.parent, USER)
    os.chown(store, USER, OTHER)
    store.chmod(0o660)
    state = ground / "state"
    state.mkdir()
    os.chown(state, USER, USER)
    assert done_as(USER, compacting(store, Home(state))) == ""
    assert whose(store) == (USER, USER, 0o600), "our own group must not read it instead"


def test_an_access_control_list_stays(store: Path, ground: Path) -> None:
    if shutil.which("setfacl") is None:
        acl = bytes.fromhex("0200000001000600ffffffff02000400") + OTHER.to_bytes(4, "little")
        acl += bytes.fromhex("04000000ffffffff10000400ffffffff20000000ffffffff")
        try:
            os.setxattr(store, "system.posix_acl_access", acl)
        except OSError:
            pytest.skip("this file system knows no access control lists")
    else:
        subprocess.run(["setfacl", "-m", f"u:{OTHER}:r", store], check=True)
    before = os.getxattr(store, "system.posix_acl_access"), whose(store)
    assert compacting(store, Home(ground / "state"))().action_id
    assert (os.getxattr(store, "system.posix_acl_access"), whose(store)) == before


@pytest.mark.parametrize("mark", ["i", "a"])
@pytest.mark.parametrize("what", ["store", "folder"])
def test_what_is_marked_immutable_or_append_only_is_refused_by_its_mark(
    store: Path, mark: str, what: str
) -> None:
    """In an append-only folder a file can be made, and never be renamed or deleted again."""
    path, chattr = store if what == "store" else store.parent, shutil.which("chattr")
    if chattr is None or subprocess.run([chattr, f"+{mark}", path], check=False).returncode:
        pytest.skip("this file system knows no marks")
    try:
        (refusal,) = find_refusals(store)
    finally:
        subprocess.run([chattr, f"-{mark}", path], check=True)
    assert isinstance(refusal, NoPermission)
    assert f"{path} is marked as immutable" in refusal.message
    assert "chattr" in (refusal.hint or "")


def test_a_living_gateway_of_another_user_would_not_honour_our_lock(store: Path) -> None:
    give(store.parent, USER)
    with subprocess.Popen(["sleep", "60"], user=USER) as gateway:
        try:
            alive = Gateway(alive=True, pid=gateway.pid, started_ms=None, evidence="test")
            (refusal,) = find_refusals(store, gateway=alive)
            assert f"runs as user id {USER}, we are 0" in refusal.message
            assert find_refusals(store, gateway=GONE.gateway) == ()
            evidence = Evidence(gateway=alive)
            with pytest.raises(NoPermission):
                compact_store(
                    Store(store, "main"),
                    Policy(),
                    evidence,
                    workspace=Workspace(Home(store.parent.parent / "state"), RealDisk()),
                    now_ms=NOW_MS,
                )
        finally:
            gateway.kill()


def test_an_archive_that_may_not_be_read_keeps_no_other_from_coming_back(
    store: Path, ground: Path
) -> None:
    state = ground / "state"
    state.mkdir()
    os.chown(state, USER, USER)
    give(store.parent, USER)
    home, wanted = Home(state), json.loads(store.read_bytes())
    assert done_as(USER, compacting(store, home)) == ""
    (first,) = home.archives.iterdir()
    assert done_as(USER, lambda: restore_all(home, 0)) == ""
    assert done_as(USER, compacting(store, home)) == ""
    first.chmod(0)
    assert done_as(USER, lambda: restore_all(home, 1)) == ""
    assert json.loads(store.read_bytes()) == wanted
    assert done_as(USER, lambda: recover(Workspace(home, RealDisk()))) == ""


def restore_all(home: Home, damaged: int) -> None:
    outcome = restore(Workspace(home, RealDisk()), everything=True, apply=True, now_ms=NOW_MS + 1)
    assert len(outcome.damaged) == damaged, outcome


def put_secret_lock(store: Path, age_s: float) -> Path:
    """Root's, mode 0600: what is in it cannot be read by the gateway's user."""
    lock = store.with_name("sessions.json.lock")
    lock.write_text(json.dumps({"pid": 1, "createdAt": "2026-01-01T00:00:00.000Z"}))
    lock.chmod(0o600)
    os.utime(lock, (time.time() - age_s,) * 2)
    return lock


def take(store: Path) -> None:
    assert find_refusals(store) == ()
    with hold(store, RealDisk(), timeout_s=0.3):
        pass


def test_an_old_lock_that_cannot_be_read_is_taken_away_as_by_the_gateway(store: Path) -> None:
    give(store.parent, USER)
    lock = put_secret_lock(store, age_s=3_600)
    assert done_as(USER, lambda: take(store)) == ""
    assert not lock.exists()


def test_a_fresh_lock_that_cannot_be_read_is_waited_for(store: Path) -> None:
    give(store.parent, USER)
    lock = put_secret_lock(store, age_s=1)
    said = done_as(USER, lambda: take(store))
    assert said.startswith("75 store is locked by an unknown process")
    assert lock.exists()


def test_an_old_lock_that_we_may_not_remove_is_told_with_the_reason(store: Path) -> None:
    give(store.parent, USER)
    os.chown(store.parent, 0, 0)
    store.parent.chmod(0o1777)
    put_secret_lock(store, age_s=3_600)
    said = done_as(USER, lambda: take(store))
    assert said.startswith("77 ")
    assert "sessions.json.lock" in said
    assert "belongs to user id 0, mode 0600" in said


def test_who_reads_why_gets_the_nearest_thing_that_is_there(ground: Path) -> None:
    why, _ = rights.explain_denial(ground / "not" / "there")
    assert why.startswith(f"{ground} belongs to user id 0")
