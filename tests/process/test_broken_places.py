"""Whatever is wrong with our own directories, the gateway is started, and that is said aloud.

`Path.exists` and `Path.glob` are silent about a missing directory, and raise for one that may
not be searched or whose name is too long: `gate`, `run` and `preflight` ended with that.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from support.guarded_gateway import wait_until

IS_ROOT = os.geteuid() == 0
NOBODY = 65_534
SYSTEM_PYTHON = Path("/usr/bin/python3")
LOUD = "nothing can be remembered, and no store healed"


def make_file(own):
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(b"not a directory")


def make_loop(own):
    own.parent.mkdir(parents=True, exist_ok=True)
    own.symlink_to(own)


def make_dangling(own):
    own.parent.mkdir(parents=True, exist_ok=True)
    own.symlink_to(own.parent / "gone" / "away")


def make_ledger(data):
    def make(own):
        own.mkdir(parents=True, exist_ok=True)
        (own / "ledger.sqlite").write_bytes(data)

    return make


def make_folder_for(name):
    def make(own):
        (own / name).mkdir(parents=True)

    return make


def make_file_for(name):
    def make(own):
        own.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(b"")

    return make


def make_newer(own):
    own.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(own / "ledger.sqlite") as db:
        db.execute("PRAGMA user_version = 9999")


def make_nothing(_own):
    """The name alone is what is wrong."""


# What is wrong by what makes it so, and what the directory is called below the test's own.
BROKEN = {
    "a file": (make_file, "own"),
    "below a file": (lambda own: make_file(own.parent), "file/own"),
    "a loop": (make_loop, "own"),
    "below a loop": (lambda own: make_loop(own.parent), "loop/own"),
    "a dangling link": (make_dangling, "own"),
    "a name too long": (make_nothing, "n" * 300),
    "a parent's name too long": (make_nothing, "n" * 300 + "/own"),
    "a path too long": (make_nothing, "/".join(["n" * 200] * 22)),
    "in /proc": (make_nothing, "/proc/tailflip"),
    "a ledger of garbage": (make_ledger(b"garbage" * 4096), "own"),
    "a ledger of a newer one": (make_newer, "own"),
    "a folder for the ledger": (make_folder_for("ledger.sqlite"), "own"),
    "a folder for the claim": (make_folder_for("claim"), "own"),
    "a file for the archives": (make_file_for("archive"), "own"),
    "a file for the guards": (make_file_for("guards"), "own"),
}


def break_own(place, name):
    make, where = BROKEN[name]
    own = place.root / where
    make(own)
    place.env["TAILFLIP_STATE_DIR"] = str(own)


@pytest.mark.parametrize("broken", BROKEN)
def test_gate_starts_the_gateway(place, broken):
    place.fill(60_000)
    break_own(place, broken)
    guarded = place.start("gate", "--", "/bin/echo", "STARTED", stdout=subprocess.PIPE)
    assert guarded.process.communicate(timeout=60)[0] == b"STARTED\n", guarded.said()
    assert guarded.process.returncode == 0
    # A healthy start acts on nothing, so it claims nothing.
    assert "error" in guarded.said() or broken == "a folder for the claim"


@pytest.mark.parametrize("broken", BROKEN)
def test_preflight_says_go(place, broken):
    place.fill(60_000)
    break_own(place, broken)
    guarded = place.start("preflight", stdout=subprocess.PIPE)
    assert guarded.process.communicate(timeout=60)[0] == b"go\n", guarded.said()
    assert guarded.process.returncode == 0


@pytest.mark.parametrize("broken", BROKEN)
def test_run_starts_the_gateway_and_starts_it_again(place, broken):
    place.fill(60_000)
    break_own(place, broken)
    guarded = place.run()
    first = wait_until(place.listener, "gateway that listens", story=guarded.said)
    os.kill(first, signal.SIGKILL)
    wait_until(
        lambda: (place.listener() or first) != first, "gateway once more", story=guarded.said
    )
    assert guarded.stop() == 0


def test_run_goes_on_when_its_directory_breaks_while_it_lives(place):
    """The living supervisor ended at the gateway's next death."""
    place.fill(60_000)
    guarded = place.run()
    guarded.wait_ready()
    first = place.listener()
    shutil.rmtree(place.home.root)
    make_loop(place.home.root)
    os.kill(first, signal.SIGKILL)
    wait_until(
        lambda: (place.listener() or first) != first, "gateway once more", story=guarded.said
    )
    guarded.hear("could not be used")
    assert guarded.stop() == 0


@pytest.mark.parametrize("verb", ["gate", "run", "preflight"])
@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"])
def test_a_users_directories_of_any_kind(place, verb, variable):
    """Configuration that cannot be read heals nothing: what it allows is not known."""
    given = place.fill()
    place.env[variable] = str(place.root / ("n" * 300))
    if variable != "XDG_CONFIG_HOME":
        del place.env["TAILFLIP_STATE_DIR"]
    command = () if verb == "preflight" else ("--", "/bin/sh", "-c", "echo STARTED; kill -TERM $$")
    guarded = place.start(verb, "--heap-limit", "290mb", *command, stdout=subprocess.PIPE)
    if verb == "run":
        guarded.hear("gateway ended")
        guarded.send(signal.SIGTERM)
    said = guarded.process.communicate(timeout=60)[0]
    assert said.startswith(b"go" if verb == "preflight" else b"STARTED"), guarded.said()
    assert ("settings cannot be read" if variable == "XDG_CONFIG_HOME" else LOUD) in guarded.said()
    assert place.store.read_bytes() == given


def test_nobodys_home_is_none_at_all(place):
    """A user id without an entry and without HOME, as in some containers: Path.home raised."""
    if not IS_ROOT:
        pytest.skip("only root can be somebody without an entry")
    with_python = find_public_python()
    ask = "from tailflip.base.state_dir import Home; print(Home.locate({}).root)"
    done = subprocess.run(
        [*with_python, "-c", ask],
        env={"PYTHONPATH": place_of_modules()},
        user=54_321,
        group=54_321,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "/.local/state/tailflip\n", done.stderr


# --- permissions: as an ordinary user ------------------------------------------------------


def place_of_modules():
    return os.pathsep.join(path for path in sys.path if path)


def find_public_python():
    """An interpreter that an ordinary user can run with our modules; ours may be in root's home."""
    ask = [str(SYSTEM_PYTHON), "-c", "import tailflip.cli, tailflip._native, pydantic"]
    able = (
        SYSTEM_PYTHON.exists()
        and not subprocess.run(
            ask,
            env={"PYTHONPATH": place_of_modules()},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        ).returncode
    )
    if not able:
        pytest.skip("an ordinary user cannot run this tailflip")
    return [str(SYSTEM_PYTHON)]


@pytest.fixture
def theirs(tmp_path_factory):
    """A home directory of an ordinary user, where he can reach it, with a store."""
    if not IS_ROOT:
        pytest.skip("only root can be somebody else")
    root = Path(tmp_path_factory.mktemp("theirs"))
    for folder in (root, root.parent, root.parent.parent):
        folder.chmod(0o755)
    home = root / "home"
    sessions = home / ".openclaw" / "agents" / "main" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "sessions.json").write_text('{"agent:main:main":{"sessionId":"a","updatedAt":1}}')
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return home


def run_as(user, home, *words, python=None):
    """Run a verb to its end; `run` is stopped once its gateway has spoken."""
    with subprocess.Popen(
        [*(python or find_public_python()), "-m", "tailflip", *words],
        env={"PYTHONPATH": place_of_modules(), "HOME": str(home), "PATH": os.defpath},
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        return finish(process, words[0])


def finish(process, verb):
    first = ""
    if verb == "run":
        first = process.stdout.readline()
        process.terminate()
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, first + out, err)


VERBS = {
    "gate": ("gate", "--", "/bin/echo", "STARTED"),
    "run": ("run", "--", "/bin/sh", "-c", "echo STARTED; exec /bin/sleep 60"),
    "preflight": ("preflight",),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("options", ["ro", "size=16k", "nr_inodes=2"])
def test_a_file_system_that_takes_nothing(place, verb, options):
    """Read only, full, or without room for another file."""
    place.fill(60_000)
    own = place.home.root
    own.mkdir()
    mount = f'{shutil.which("mount")} -t tmpfs -o {options} none "{own}" && exec "$@"'
    tool = shutil.which("unshare") or "/bin/false"
    around = [tool, "--mount", "--map-root-user", "/bin/sh", "-c", mount, "sh"]
    if subprocess.run([*around, "/bin/true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    with subprocess.Popen(
        [*around, sys.executable, "-m", "tailflip", *VERBS[verb]],
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        done = finish(process, verb)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("go\n" if verb == "preflight" else "STARTED\n"), done.stderr
    told = [
        line
        for line in done.stderr.splitlines()
        if line.startswith("tailflip: ") and " error: " in line
    ]
    assert told
    if verb != "run":
        assert len(told) == 1, "one fault, one line"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("folder", [".local", ".local/state", ".local/state/tailflip", ".config"])
@pytest.mark.parametrize("mode", [0o700, 0o000], ids=oct)
def test_a_directory_that_root_left_behind(theirs, verb, folder, mode):
    """Any tool under `sudo -E` leaves it: then it may not be searched."""
    left = theirs / folder
    for path in (*reversed([p for p in left.parents if p.is_relative_to(theirs)]), left):
        if not path.exists():
            path.mkdir()
            os.chown(path, NOBODY, NOBODY)
    os.chown(left, 0 if mode else NOBODY, 0)
    left.chmod(mode)
    done = run_as(NOBODY, theirs, *VERBS[verb])
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("go\n" if verb == "preflight" else "STARTED\n"), done.stderr
    assert ("settings cannot be read" if folder == ".config" else LOUD) in done.stderr


@pytest.mark.parametrize(
    "words", [*VERBS.values(), ("compact", "--apply"), ("reconcile", "--apply"), ("check",)]
)
def test_root_makes_nothing_in_somebodys_home(theirs, words):
    """It would be root's alone, and shut its owner out of his own ~/.local from then on."""
    before = sorted(theirs.rglob("*"))
    done = run_as(0, theirs, *words, python=[sys.executable])
    assert sorted(theirs.rglob("*")) == before, done.stderr
    if words[0] in VERBS:
        assert done.returncode == 0, done.stderr
        assert "would shut its owner out" in done.stderr


def test_a_refused_compaction_of_roots_says_whose_it_is(theirs):
    store = theirs / ".openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    done = run_as(0, theirs, "compact", "--apply", str(store), python=[sys.executable])
    assert done.returncode == 77, done.stderr
    assert f"belongs to user id {NOBODY}" in done.stderr
