"""Everything that can stand where a store should: one line, a hint, a code, and no byte lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailflip import cli
from tailflip.base import clock
from tailflip.observe.gateway.process import start_ticks
from tailflip.stores.json import native

NOBODY = 65_534
IS_ROOT = os.geteuid() == 0
ENTRY = {"sessionId": "a", "updatedAt": 1_700_000_000_000}
OLD_RUN = {"sessionId": "r", "updatedAt": 1_700_000_000_000, "status": "done"}
RUN_KEY = "agent:main:cron:job:run:r"
GOOD = json.dumps({"agent:main:main": ENTRY, RUN_KEY: OLD_RUN}, indent=2).encode()
VERBS = (("inspect",), ("compact",), ("compact", "--apply"))


def assert_refusal(found: tuple[int, str, str], code: int, *words: str) -> None:
    """One error of one line, and one hint."""
    assert found[0] == code, found
    lines = found[2].splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], found[2]
    for word in words:
        assert word in lines[0], found[2]


# --- bytes that are not a store --------------------------------------------------------

UNSALVAGEABLE = {
    "UTF-16 LE": (GOOD.decode().encode("utf-16"), "UTF-16"),
    "UTF-16 BE without mark": (GOOD.decode().encode("utf-16-be"), "not valid JSON"),
    "garbage": (b"\x7fELF\x02\x01\x01", "not valid JSON"),
    "array": (b"[]", "root is not an object"),
    "array of entries": (b"[%s]" % GOOD, "root is not an object"),
    "string": (b'"{}"', "root is not an object"),
    "number": (b"12", "root is not an object"),
    "null": (b"null", "root is not an object"),
    "single quotes": (b"{'a': 1}", "not JSON at byte 1"),
    "comment": (b"// store\n{}", "not valid JSON"),
    "depth bomb of arrays": (b"[" * 1_000_000, "not valid JSON"),
    "depth bomb in the first entry": (b'{"a":' + b"[" * 5_000_000, "deeper than the limit"),
}


@pytest.mark.parametrize("name", UNSALVAGEABLE)
def test_what_is_no_store_is_refused_and_left_alone(place, name):
    data, word = UNSALVAGEABLE[name]
    place.put(data)
    for verb in VERBS:
        assert_refusal(place.run(*verb), 65, str(place.store), word)
        assert place.store.read_bytes() == data
        assert place.list_litter() == []


HEAD = GOOD[:-2]  # both entries, without the closing brace
SALVAGEABLE = {
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
    "truncated after an entry": (HEAD, "breaks off"),
    "truncated in a key": (HEAD + b',\n  "agent:ma', "breaks off"),
    "truncated in an entry": (HEAD + b',\n  "k": {"a": [1, 2', "breaks off"),
    "truncated in an escape": (HEAD + b',\n  "k": "\\ud8', "breaks off"),
    "truncated in a character": (HEAD + b',\n  "k": "\xe2\x82', "breaks off"),
    "trailing garbage": (GOOD + b"}", "follows the closing brace"),
    "trailing NUL": (GOOD + b"\0", "follows the closing brace"),
    "invalid UTF-8": (HEAD + b',\n  "k": "\xff"\n}', "invalid UTF-8 at byte"),
    "overlong UTF-8": (HEAD + b',\n  "k": "\xc0\xaf"\n}', "invalid UTF-8 at byte"),
    "surrogate in UTF-8": (HEAD + b',\n  "k": "\xed\xa0\x80"\n}', "invalid UTF-8 at byte"),
    "raw NUL in a string": (HEAD + b',\n  "k": "a\0b"\n}', "control character"),
    "raw newline in a string": (HEAD + b',\n  "k": "a\nb"\n}', "control character"),
    "bad escape": (HEAD + b',\n  "k": "\\x41"\n}', "an escape"),
    "trailing comma": (HEAD + b",\n}", "not JSON at byte"),
    "missing colon": (HEAD + b',\n  "k" {}\n}', "not JSON at byte"),
    "leading zero": (HEAD + b',\n  "k": {\n    "n": 01\n  }\n}', "at byte"),
    "NaN": (HEAD + b',\n  "k": NaN\n}', "at byte"),
    "depth bomb": (HEAD + b',\n  "k": ' + b"[" * 5_000_000, "deeper than the limit"),
}


@pytest.mark.parametrize("name", SALVAGEABLE)
def test_a_damaged_store_is_shown_then_salvaged_and_can_be_had_back(place, name):
    data, word = SALVAGEABLE[name]
    place.put(data)
    for verb in VERBS[:2]:
        found = place.run(*verb)
        assert_refusal(found, 65, str(place.store), word)
        assert place.store.read_bytes() == data
        assert not (place.home / "quarantine").exists()
    assert "can be had from" in found[1]
    code, out, _ = place.run("compact", "--retention", "false", "--apply", "--json")
    assert code == 0
    report = json.loads(out)["reports"][0]
    assert (report["kind"], report["entries_after"]) == ("salvage", 2)
    assert json.loads(place.store.read_bytes()) == json.loads(GOOD)
    assert Path(report["archive"]).read_bytes() == data
    assert place.list_litter() == []
    assert place.run("restore", report["action_id"], "--apply")[0] == 0
    assert place.store.read_bytes() == data


BLANK = {"empty": b"", "only spaces": b" \n\t ", "only NUL": b"\0" * 4096}


@pytest.mark.parametrize("name", BLANK)
def test_a_store_with_nothing_in_it_is_begun_anew_and_can_be_had_back(place, name):
    place.put(BLANK[name])
    assert_refusal(place.run("compact"), 65, str(place.store))
    assert place.store.read_bytes() == BLANK[name]
    code, out, _ = place.run("compact", "--apply", "--json")
    report = json.loads(out)["reports"][0]
    assert (code, report["kind"], place.store.read_bytes()) == (0, "salvage", b"{}")
    assert Path(report["archive"]).read_bytes() == BLANK[name]


def test_what_may_be_whole_is_left_behind_only_on_request(place):
    """Two stores in one file: which of the entries are meant, nobody knows."""
    place.put(GOOD + GOOD)
    for verb in VERBS[1:]:
        found = place.run(*verb)
        assert_refusal(found, 65, str(place.store))
        assert "--accept-loss" in found[2]
        assert place.store.read_bytes() == GOOD + GOOD
    apply = ("compact", "--retention", "false", "--accept-loss", "--apply", "--json")
    code, out, _ = place.run(*apply)
    report = json.loads(out)["reports"][0]
    assert (code, report["entries_after"], report["entries_left"]) == (0, 2, 2)
    assert json.loads(place.store.read_bytes()) == json.loads(GOOD)
    assert place.run("restore", report["action_id"], "--apply")[0] == 0
    assert place.store.read_bytes() == GOOD + GOOD


@pytest.mark.parametrize("name", [*UNSALVAGEABLE, *BLANK])
def test_a_hint_of_compact_names_what_ends_it(place, name):
    """Not `compact` itself."""
    place.put(BLANK[name] if name in BLANK else UNSALVAGEABLE[name][0])
    hint = place.run("compact")[2].splitlines()[1]
    assert "--apply" in hint


def test_truncated_at_every_byte_is_never_taken_for_a_store(place):
    text = json.dumps({"agent:main:main": {**ENTRY, "n": [-1.5e3, True, None, "\u20ac\\\u2028"]}})
    data = text.encode()
    for length in range(len(data)):
        place.put(data[:length])
        assert_refusal(place.run("compact"), 65)
        assert place.store.read_bytes() == data[:length]
    place.put(data)
    assert place.run("compact")[0] == 0


def test_duplicate_keys_are_refused_because_only_the_gateway_knows_which_it_means(place):
    data = HEAD + b',\n  "agent:main:main": {}\n}'
    place.put(data)
    for verb in VERBS[1:]:
        assert_refusal(
            place.run(*verb), 65, "the same key", f"byte {data.rindex(b'agent:main') - 1}"
        )
        assert place.store.read_bytes() == data


# --- unusual bytes that are a store ------------------------------------------------------

ACCEPTED = {
    "lone surrogate escapes": b'"\\ud800 \\udfff\\ud800"',
    "escaped NUL": b'"a\\u0000b"',
    "number of a million digits": b"1" * 1_000_000,
    "fraction of a million digits": b"0." + b"1" * 1_000_000 + b"e-999999999",
    "string of a million characters": b'"' + b"x" * 1_000_000 + b'"',
    "null entry": b"null",
    "string entry": b'"text"',
    "array entry": b"[1, [2], {}]",
    "boolean entry": b"true",
    "noncharacter and astral": '"\uffff \U0001f9ea"'.encode(),
    "a million levels": b"[" * 1_000_000 + b"]" * 1_000_000,
    "every kind of space": b" \t\r\n {\r\n}",
    "prototype": b'{"__proto__": {"sessionId": 5}}',
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_node_accepts_is_kept_byte_for_byte(place, name):
    kept = b'{"odd":' + ACCEPTED[name] + b"}"
    place.put(kept[:-1] + f', "{RUN_KEY}": {json.dumps(OLD_RUN)}'.encode() + b"}")
    code, _, err = place.run("compact", "--apply")
    assert (code, err) == (0, "")
    assert place.store.read_bytes() == kept


def test_a_store_without_entries_has_nothing_to_do(place):
    place.put(b"{}")
    code, out, err = place.run("compact", "--apply")
    assert (code, "nothing to do" in out, err) == (0, True, "")
    assert place.store.read_bytes() == b"{}"


# --- what is no regular file -------------------------------------------------------------


def test_fifo_directory_and_socket_are_refused_without_waiting(place):
    place.store.parent.mkdir(parents=True)
    for make in (os.mkfifo, os.mkdir):
        make(place.store)
        for verb in VERBS:
            assert_refusal(place.run(*verb), 65, str(place.store))
        (os.rmdir if place.store.is_dir() else os.unlink)(place.store)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(place, device):
    place.store.parent.mkdir(parents=True)
    place.store.symlink_to(device)
    for verb in VERBS:
        assert_refusal(place.run(*verb), 65, "a character device")
    assert str(place.store.readlink()) == device


def test_symlink_loops_and_dangling_links_are_refused(place):
    place.store.parent.mkdir(parents=True)
    other = place.store.with_name("other")
    place.store.symlink_to(other)
    for _ in range(2):
        for verb in VERBS:
            assert_refusal(place.run(*verb), 65, str(place.store))
        other.unlink(missing_ok=True)
        other.symlink_to(place.store)
    assert place.store.is_symlink()


def test_a_symlink_stays_and_the_file_behind_it_is_compacted(place, tmp_path):
    real = tmp_path / "elsewhere" / "real.json"
    real.parent.mkdir()
    real.write_bytes(GOOD)
    real.chmod(0o640)
    place.store.parent.mkdir(parents=True)
    place.store.symlink_to(real)
    assert place.run("compact", "--apply")[0] == 0
    assert place.store.is_symlink()
    assert list(json.loads(real.read_bytes())) == ["agent:main:main"]
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_store_with_a_second_name_is_refused(place):
    place.put(GOOD)
    os.link(place.store, place.store.with_name("second"))
    assert_refusal(place.run("compact", "--apply"), 65, "2 names")
    assert place.store.read_bytes() == GOOD


def test_a_path_that_leads_nowhere(place, tmp_path):
    place.put(GOOD)
    missing = tmp_path / "typo.json"
    for verb in VERBS:
        assert_refusal(place.run(*verb, str(missing)), 65, str(missing), "No such file")


# --- permissions -------------------------------------------------------------------------


@contextmanager
def owned_by_nobody(place):
    """Give the place to an ordinary user, in a directory that he can reach."""
    # He may not be able to reach the interpreter, as where it is in root's home: all that a
    # compaction imports, on its way and as it ends, is imported while we still can.
    place.put(GOOD)
    assert place.run("compact", "--apply")[0] == 0
    with tempfile.TemporaryDirectory(prefix="tailflip-test-") as name:
        root = Path(name)
        root.chmod(0o755)
        os.environ["OPENCLAW_STATE_DIR"] = str(root / "openclaw")
        os.environ["TAILFLIP_STATE_DIR"] = str(root / "tailflip")
        os.environ["HOME"] = name  # his own settings are read, too
        moved = type(place)(root, place.captured)
        moved.put(GOOD)
        if IS_ROOT:
            for path in (root, *root.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        try:
            yield moved
        finally:
            for path in root.rglob("*"):
                if path.is_dir():
                    path.chmod(0o755)


def run_unprivileged(place, *argv: str) -> tuple[int, str, str]:
    """Run a command line as an ordinary user: root may read and write everything."""
    if not IS_ROOT:
        return place.run(*argv)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                sys.stdout = open(os.dup(out.fileno()), "w")  # noqa: SIM115, PTH123
                sys.stderr = open(os.dup(err.fileno()), "w")  # noqa: SIM115, PTH123
                code = cli.run(list(argv))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
        return code, texts[0], texts[1]


def test_an_ordinary_user_can_compact(place):
    """The tests below fail for their own reason, not for a missing right to import."""
    with owned_by_nobody(place) as theirs:
        code, _, err = run_unprivileged(theirs, "compact", "--apply")
        assert (code, err) == (0, "")
        assert theirs.store.read_bytes() != GOOD


def test_an_unreadable_store(place):
    with owned_by_nobody(place) as theirs:
        theirs.store.chmod(0o000)
        for verb in VERBS:
            assert_refusal(run_unprivileged(theirs, *verb), 77, str(theirs.store))
        theirs.store.chmod(0o600)
        assert theirs.store.read_bytes() == GOOD


def test_a_read_only_directory(place):
    with owned_by_nobody(place) as theirs:
        theirs.store.parent.chmod(0o555)
        assert run_unprivileged(theirs, "compact")[0] == 0
        found = run_unprivileged(theirs, "compact", "--apply")
        assert_refusal(found, 77, "directory of the store cannot be written to")
        assert "mode 0555, we are user id" in found[2]
        assert theirs.store.read_bytes() == GOOD


def test_a_state_directory_of_ours_that_cannot_be_made(place):
    with owned_by_nobody(place) as theirs:
        os.environ["TAILFLIP_STATE_DIR"] = "/proc/tailflip"
        found = run_unprivileged(theirs, "compact", "--apply")
        assert_refusal(found, 73, "cannot create state directory")
        assert theirs.store.read_bytes() == GOOD


@pytest.mark.skipif(not IS_ROOT, reason="needs root to give a file to somebody else")
def test_a_store_of_another_user_is_compacted_by_root_and_stays_his(place):
    """No gateway lives here that would not honour root's lock (`unit/base/test_rights.py`)."""
    place.put(GOOD)
    for path in (place.store, place.store.parent):
        os.chown(path, NOBODY, NOBODY)
    before = place.store.stat()
    code, _, err = place.run("compact", "--apply")
    assert code == 0, err
    after = place.store.stat()
    assert place.store.read_bytes() != GOOD
    assert (after.st_uid, after.st_gid, after.st_mode) == (
        (before.st_uid, before.st_gid, before.st_mode)
    )


# --- full disks --------------------------------------------------------------------------


@contextmanager
def small_disk(path: Path, size_bytes: int):
    """Mount a disk of a few MB on a directory."""
    path.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
    env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    if not IS_ROOT or subprocess.run(argv, env=env, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], env=env, check=True)


def test_no_room_for_the_new_store(place):
    with small_disk(place.state, 4 << 20):
        data = place.fill(3_000_000)
        found = place.run("compact", "--no-slim", "--cap-total", "60", "--apply")
        assert_refusal(found, 73, "not enough room")
        assert place.store.read_bytes() == data
        assert place.list_litter() == []


def test_no_room_for_the_archive(place):
    data = place.fill()
    with small_disk(place.home, 256 << 10):
        assert_refusal(place.run("compact", "--apply"), 73, "not enough room")
        assert place.store.read_bytes() == data
        assert place.list_litter() == []


def test_a_disk_that_fills_up_while_we_write(place, monkeypatch):
    """The estimate said there was room; somebody else was faster."""
    monkeypatch.setattr("tailflip.stores.transaction.find_missing_room", lambda *_, **__: ())
    with small_disk(place.state, 4 << 20):
        data = place.fill(3_000_000)
        found = place.run("compact", "--no-slim", "--cap-total", "60", "--apply")
        assert_refusal(found, 73, "No space left")
        assert place.store.read_bytes() == data
        assert place.list_litter() == []


# --- locks and other writers ---------------------------------------------------------------


def write_lock(place, pid: int, ticks: int | None, age_s: float = 15) -> Path:
    """Write a lock as the gateway does, `age_s` ago."""
    lock = place.store.with_name("sessions.json.lock")
    payload = {"pid": pid, "createdAt": "2026-01-01T00:00:00.000Z"}
    if ticks is not None:
        payload["starttime"] = ticks
    lock.write_text(json.dumps(payload, indent=2))
    at = clock.now_ms() / 1000 - age_s
    os.utime(lock, (at, at))
    return lock


@contextmanager
def living_process():
    argv = [sys.executable, "-c", "input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_lock_of_a_living_process_is_honoured(place):
    place.put(GOOD)
    with living_process() as pid:
        lock = write_lock(place, pid, start_ticks(pid))
        held = lock.read_bytes()
        assert place.run("compact")[0] == 0
        assert_refusal(place.run("compact", "--apply"), 75, "locked", f"pid {pid}")
        assert lock.read_bytes() == held
    assert place.store.read_bytes() == GOOD


def test_a_lock_of_a_dead_process_is_taken(place):
    place.put(GOOD)
    with living_process() as pid:
        ticks = start_ticks(pid)
    write_lock(place, pid, ticks)
    assert place.run("compact", "--apply")[0] == 0
    assert place.list_litter() == []
    assert RUN_KEY not in json.loads(place.store.read_bytes())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux locks carry a start time")
def test_a_lock_of_a_pid_that_was_used_again_is_taken(place):
    place.put(GOOD)
    with living_process() as pid:
        ticks = start_ticks(pid)
        assert ticks is not None
        write_lock(place, pid, ticks - 1)
        assert place.run("compact", "--apply")[0] == 0
    assert place.list_litter() == []


def test_a_store_that_changes_once_is_read_again_and_the_change_survives(place, monkeypatch):
    place.put(GOOD)
    real, calls = native.rewrite, []

    def rewrite(*args):
        done = real(*args)
        if not calls:
            entries = json.loads(place.store.read_bytes()) | {"agent:main:direct:new": ENTRY}
            place.put(json.dumps(entries, indent=2).encode())
        calls.append(1)
        return done

    monkeypatch.setattr(native, "rewrite", rewrite)
    assert place.run("compact", "--apply")[0] == 0
    assert list(json.loads(place.store.read_bytes())) == [
        "agent:main:main",
        "agent:main:direct:new",
    ]
    assert len(calls) == 2


def test_a_store_that_never_holds_still_is_left_to_its_writer(place, monkeypatch):
    place.put(GOOD)
    real, calls = native.rewrite, []

    def rewrite(*args):
        done = real(*args)
        calls.append(1)
        place.put(GOOD + b" " * len(calls))
        return done

    monkeypatch.setattr(native, "rewrite", rewrite)
    assert_refusal(place.run("compact", "--apply"), 75, "keeps changing")
    assert place.store.read_bytes() == GOOD + b" " * len(calls)
    assert place.list_litter() == []


def test_two_at_once_do_not_get_into_each_others_way(place):
    """The second is told to wait, or finds nothing left to do."""
    place.fill(20_000_000)
    argv = [sys.executable, "-m", "tailflip", "compact", "--apply"]
    results = []

    def work() -> None:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        results.append((done.returncode, done.stderr))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(code for code, _ in results)
    assert codes[0] == 0, results
    assert set(codes) <= {0, 75}, results
    assert place.run("compact")[1].count("nothing to do") == 1
    assert place.list_litter() == []
