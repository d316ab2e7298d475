"""argv -> exit code, stdout, stderr; on the incident in small."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from support.heap import make_tight
from tailflip import cli
from tailflip.cli.app import build
from tailflip.cli.exit_codes import list_codes

HEALTHY = [
    # argv, exit code, stdout, stderr
    (["--version"], 0, r"^tailflip \d+\.\d+\.\d+ \(\w+ .*\)$", r"^$"),
    ([], 0, r"Exit codes: 0 done", r"^$"),
    (["--help"], 0, r"Exit codes: 0 done", r"^$"),
    (["compact", "--help"], 0, r"(?s)--cap-per-job.*Exit codes:", r"^$"),
    (["inspect"], 0, r"(?s)morning-sleep-report .*rapid retry.*skillsSnapshot.*forecast:", r"^$"),
    (["inspect", "--agent", "MAIN"], 0, r"agent main", r"^$"),
    (["inspect", "--heap-limit", "200mb"], 0, r"limit is 209\.7 MB .*it will not fit", r"^$"),
    (["inspect", "--heap-limit", "16gb"], 0, r"it fits", r"^$"),
    (["check"], 1, r"(?s)\[runs-stuck\].*not running", r"^$"),
    (["compact"], 0, r"(?s) -> .*retire.*nothing was changed; add --apply", r"^$"),
    (["compact", "--cap-total", "3"], 0, r"cap-total", r"^$"),
    (["compact", "--heap-limit", "190mb"], 0, r"only hygiene.*the release is not known; --ret", ""),
    (["archive", "list"], 0, r"^$", r"nothing archived"),
    (["archive", "expire", "--older-than", "30d"], 0, r"^$", r"no archive is that old"),
    # bad arguments
    (["frobnicate"], 64, r"^$", r"^error: no such command.*\nhint: see `tailflip --help`$"),
    (["inspect", "--frob"], 64, r"^$", r"^error: no such option.*\nhint: see `tailflip inspect"),
    (["archive"], 64, r"^$", r"^error: missing command\nhint: see `tailflip archive --help`$"),
    (["archive", "show"], 64, r"^$", r"^error: missing argument.*\nhint:"),
    (["archive", "show", "nope"], 64, r"^$", r"^error: no such action: nope\nhint:"),
    (["archive", "verify", "nope"], 64, r"^$", r"^error: no such action: nope\nhint:"),
    (["archive", "expire", "--older-than", "soon"], 64, r"^$", r"^error: --older-than"),
    (["restore"], 64, r"^$", r"^error: nothing to restore was named\nhint:"),
    (["restore", "agent:main:never"], 64, r"^$", r"^error: no archive holds that: .*\n.* show"),
    (["restore", "--all", "some:key"], 64, r"^$", r"^error: --all leaves nothing"),
    (["inspect", "--agent", "nobody"], 64, r"^$", r"^error: no store of agent nobody.*\n.*main"),
    (["inspect", "--agent", "main", "x.json"], 64, r"^$", r"^error: give either paths"),
    (["inspect", "--heap-limit", "big"], 64, r"^$", r"^error: --heap-limit is not a size.*\nhint:"),
    (["compact", "--retention", "-1h"], 64, r"^$", r"^error: --retention is not.*\nhint:"),
    (["compact", "--max-lifetime", "x"], 64, r"^$", r"^error: --max-lifetime is not.*\nhint:"),
    (["compact", "--cap-per-job", "0"], 64, r"^$", r"^error: invalid value.*\nhint:"),
    (["compact", "--profile", "../x"], 64, r"^$", r"^error: profile name is not valid"),
    (["compact", "--state-dir", "/nonexistent"], 73, r"^$", r"^error: no state directory.*\nhint:"),
]  # fmt: skip


def test_pressure_is_told_and_what_it_cannot_reach(place):
    place.fill()
    place.put_openclaw("2026.4.14")
    code, out, _ = place.run("compact", "--heap-limit", "190mb")
    assert code == 0
    assert re.search(r"(?s)beyond hygiene.*even so it will not fit", out), out


@pytest.mark.parametrize(("argv", "code", "out", "err"), HEALTHY, ids=lambda v: str(v)[:40])
def test_argv_to_code_and_text(place, argv, code, out, err):
    """None of these changes a byte, whatever it says."""
    data = place.fill()
    found = place.run(*argv)
    assert found[0] == code, found
    assert re.search(out, found[1].strip()), found[1]
    assert re.search(err, found[2].strip()), found[2]
    assert place.store.read_bytes() == data
    assert place.list_litter() == []


@pytest.mark.parametrize(
    "argv",
    [["inspect"], ["check"], ["compact"], ["compact", "--apply"], ["archive", "list"]],
    ids=" ".join,
)
def test_json_on_every_verb_is_one_document_on_stdout(place, argv):
    place.fill()
    _, out, err = place.run(*argv, "--json")
    assert isinstance(json.loads(out), dict | list)
    assert err == ""


def test_a_policy_of_one_run_says_one_run(place):
    """It once said "1 runs of a job, 1 runs in all"."""
    place.fill()
    code, out, err = place.run("compact", "--cap-per-job", "1", "--cap-total", "1")
    assert code == 0, err
    (policy,) = [line for line in out.splitlines() if line.startswith("policy:")]
    assert "1 run of a job, 1 run in all" in policy


def test_compact_then_undo_by_the_printed_command(place):
    data = place.fill()
    code, out, err = place.run("compact", "--apply")
    assert (code, err) == (0, "")
    small = place.store.read_bytes()
    assert len(small) < len(data) / 2
    undo = re.search(r"undo: tailflip (restore \S+ --apply)", out)
    assert undo
    code, out, _ = place.run(*undo[1].split())
    assert code == 0
    assert "come back" in out
    assert json.loads(place.store.read_bytes()) == json.loads(data)
    code, out, _ = place.run(*undo[1].split())
    assert (code, "nothing to do" in out) == (0, True)


def test_a_plan_after_doing_it_has_nothing_to_do(place):
    place.fill()
    assert place.run("compact", "--apply")[0] == 0
    code, out, _ = place.run("compact")
    assert code == 0
    assert "nothing to do" in out
    assert "--apply" not in out


def test_restore_puts_back_one_job_by_its_name(place):
    data = json.loads(place.fill())
    place.run("compact", "--apply")
    code, out, _ = place.run("restore", "--job", "git-backup-night", "--apply", "--json")
    assert code == 0
    job_id = next(
        job["id"]
        for job in json.loads((place.state / "cron" / "jobs.json").read_bytes())["jobs"]
        if job["name"] == "git-backup-night"
    )
    wanted = {key: entry for key, entry in data.items() if f":cron:{job_id}:run:" in key}
    now = json.loads(place.store.read_bytes())
    assert json.loads(out)["added"] + json.loads(out)["replaced"] == len(wanted)
    assert {key: now[key] for key in wanted} == wanted
    assert len(now) < len(data)


def test_restore_tells_before_and_after_that_the_gateway_will_die_of_it(place, monkeypatch):
    """A store of 60 MB was put back, and not a word said that it kills the gateway again."""
    place.fill()
    place.run("compact", "--apply")
    action = json.loads(place.run("archive", "list", "--json")[1])["actions"][0]["id"]
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", f"{make_tight(3_000_000)}b")
    code, out, err = place.run("restore", action)
    assert code == 0, err
    assert re.search(r"^before:  .*: it fits$", out, re.MULTILINE), out
    assert re.search(r"^after:   .*: it will not fit$", out, re.MULTILINE), out
    assert re.search(r"^gateway: not running \(", out, re.MULTILINE), out
    assert "would then die of it; `tailflip compact --apply`" in out
    planned = json.loads(place.run("restore", action, "--json")[1])
    code, out, _ = place.run("restore", action, "--apply")
    assert code == 0
    assert not re.search(r"^before: ", out, re.MULTILINE), "that is over"
    assert re.search(r"^after:   .*: it will not fit$", out, re.MULTILINE), out
    assert "will die of it; `tailflip compact --apply`" in out
    assert planned["size_bytes_after"] == place.store.stat().st_size
    assert planned["after"]["heap_bytes"] > planned["before"]["heap_bytes"]
    assert planned["gateway"]["alive"] is False


def test_restore_says_nothing_of_dying_where_it_fits(place, monkeypatch):
    place.fill()
    place.run("compact", "--apply")
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", "4gb")
    code, out, _ = place.run("restore", "--all", "--apply")
    assert code == 0
    assert re.search(r"^after:   .*: it fits$", out, re.MULTILINE), out
    assert "die" not in out
    assert re.search(r"transcripts? (is|are) back", out) or "transcript" not in out


def test_a_mistake_in_our_settings_stops_no_undo(place, monkeypatch):
    place.fill()
    place.run("compact", "--apply")
    monkeypatch.setenv("TAILFLIP_HEAL_RETENTION", "never ever")
    code, _, err = place.run("restore", "--all", "--apply")
    assert code == 0
    assert "warning: TAILFLIP_HEAL_RETENTION" in err
    assert "until that is corrected" in err


def test_restore_reports_a_key_that_lives_again_and_leaves_it(place):
    place.fill()
    place.run("compact", "--apply")
    _, out, _ = place.run("archive", "list", "--json")
    action = json.loads(out)["actions"][0]["id"]
    _, out, _ = place.run("archive", "show", action, "--json")
    headers = [json.loads(line) for line in out.splitlines()[1:]]
    key = next(header["key"] for header in headers if not header["is_changed"])
    entries = json.loads(place.store.read_bytes())
    place.put(json.dumps(entries | {key: {"sessionId": "new"}}, indent=2).encode())
    code, out, _ = place.run("restore", key, "--apply")
    assert code == 0
    assert "1 entry stays archived: its key lives again" in out
    assert key in out
    assert json.loads(place.store.read_bytes())[key] == {"sessionId": "new"}


def test_archive_show_verify_and_expire(place):
    place.fill()
    place.run("compact", "--apply")
    _, out, _ = place.run("archive", "list", "--json")
    action = json.loads(out)["actions"][0]["id"]
    assert place.run("archive", "verify", action)[0] == 0
    assert "retire" in place.run("archive", "show", action)[1]
    records = place.home / "archive" / action / "records.zst"
    damaged = bytearray(records.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    records.write_bytes(damaged)
    code, _, err = place.run("archive", "verify", action)
    assert code == 65
    assert err.startswith("error: archive is")
    time.sleep(0.002)
    assert action in place.run("archive", "expire", "--older-than", "0ms")[1]
    assert records.exists()
    assert place.run("archive", "expire", "--older-than", "0ms", "--apply")[0] == 0
    assert not records.exists()
    assert place.run("restore", action)[0] == 64


def test_one_damaged_archive_is_passed_over_told_and_can_be_let_go_alone(place):
    place.fill()
    whole = json.loads(place.store.read_bytes())
    place.run("compact", "--apply")
    gone = set(whole) - set(json.loads(place.store.read_bytes()))
    extra = "agent:main:cron:other:run:1"
    place.put(json.dumps({extra: {"sessionId": "o", "updatedAt": 1}}).encode())
    time.sleep(0.002)
    place.run("compact", "--apply")
    _, out, _ = place.run("archive", "list", "--json")
    new, old = [each["id"] for each in json.loads(out)["actions"]]
    (place.home / "archive" / old / "records.zst").write_bytes(b"rotten")
    code, out, err = place.run("restore", "--all", "--apply")
    assert (code, "1 entry comes back" in out) == (65, True)
    assert f"archive/{old}/records.zst" in err
    assert "passed over" in err
    assert set(json.loads(place.store.read_bytes())) == {extra}
    code, _, err = place.run("restore", min(gone), "--apply")
    assert code == 65
    assert old in err
    code, out, err = place.run("archive", "list")
    assert (code, "damaged" in out) == (0, True)
    assert "warning: " in err
    code, out, _ = place.run("archive", "verify")
    assert (code, f"{new}: whole" in out) == (65, True)
    assert place.run("archive", "expire")[0] == 64
    assert place.run("archive", "expire", old, "--older-than", "1d")[0] == 64
    assert place.run("archive", "expire", old, "--apply")[0] == 0
    assert place.run("archive", "verify")[0] == 0
    assert place.run("restore", "--all", "--apply")[0] == 0


def test_transcripts_are_kept_where_no_release_looks_and_are_counted(place):
    """2026.3.28 and 2026.4.14 delete `.deleted.<time>` for good after a day."""
    place.fill()
    folder = place.store.parent
    for entry in json.loads(place.store.read_bytes()).values():
        (folder / f"{entry['sessionId']}.jsonl").write_text("x" * 1_000)
    before = {p.name: p.read_bytes() for p in folder.glob("*.jsonl")}
    code, out, _ = place.run("compact", "--apply")
    assert (code, "transcripts are kept with the archive" in out) == (0, True)
    assert [p.name for p in folder.iterdir() if ".deleted." in p.name] == []
    gone = len(before) - len(list(folder.glob("*.jsonl")))
    _, out, _ = place.run("archive", "list", "--json")
    (listed,) = json.loads(out)["actions"]
    kept = folder / ".tailflip" / listed["id"]
    assert listed["transcripts"]["file_count"] == gone > 0
    assert listed["transcripts"]["size_bytes"] == 1_000 * gone
    _, out, _ = place.run("archive", "show", listed["id"])
    assert out.splitlines()[-1].endswith(f"in {kept}")
    _, out, _ = place.run("archive", "show", listed["id"], "--json")
    assert json.loads(out.splitlines()[0])["transcripts"]["file_count"] == gone
    assert place.run("restore", "--all", "--apply")[0] == 0
    assert {p.name: p.read_bytes() for p in folder.glob("*.jsonl")} == before
    assert not kept.parent.exists()
    place.run("compact", "--apply")
    assert kept.parent.exists()
    time.sleep(0.002)
    assert place.run("archive", "expire", "--older-than", "0ms", "--apply")[0] == 0
    assert not kept.parent.exists()


def test_drop_key_removes_even_a_chat(place):
    place.fill()
    code, out, _ = place.run("compact", "--drop-key", "agent:main:main", "--apply")
    assert (code, "named" in out) == (0, True)
    assert "agent:main:main" not in json.loads(place.store.read_bytes())


def test_a_key_that_no_store_has_is_refused(place):
    """`--drop-key` of a misspelt key was done, and ended with 0."""
    data = place.fill()
    for words in ((), ("--apply",)):
        named = ("--drop-key", "agent:main:man", "--drop-key", "agent:main:main")
        code, out, err = place.run("compact", *named, *words)
        assert (code, out) == (64, "")
        assert err.startswith("error: 1 key of 2 given with --drop-key not found here")
        assert place.store.read_bytes() == data


@pytest.mark.parametrize("verb", ["check", "inspect", "compact"])
def test_a_heap_of_some_bytes_is_a_mistake(place, verb):
    """`--heap-limit 512` was 512 bytes: every run would have gone to make the store fit."""
    place.fill()
    code, out, err = place.run(verb, "--heap-limit", "512")
    assert (code, out) == (64, "")
    assert err.startswith("error: --heap-limit must be at least 16mb: 512\n")


def test_rules_can_be_turned_off_one_by_one(place):
    data = place.fill()
    flags = ("--no-slim", "--no-retire", "--no-single-flight", "--retention", "false")
    code, out, _ = place.run("compact", *flags, "--max-lifetime", "false", "--apply")
    assert (code, "nothing to do" in out) == (0, True)
    assert place.store.read_bytes() == data


def test_retention_comes_from_openclaws_own_configuration(place):
    place.fill()
    config = place.state / "openclaw.json"
    config.write_text("{ cron: { sessionRetention: false }, } // JSON5")
    _, out, _ = place.run("compact", "--json")
    assert json.loads(out)["policy"]["retention_ms"] is None
    config.write_text("{ cron: { sessionRetention: '1h30m' } }")
    _, out, _ = place.run("compact", "--json")
    assert json.loads(out)["policy"]["retention_ms"] == 5_400_000
    config.write_text("{ nonsense")
    code, out, err = place.run("compact", "--apply")
    assert (code, out) == (78, "")
    assert err.startswith("error: ")
    assert str(config) in err


def test_stores_of_all_agents_and_one_bad_one_does_not_stop_the_others(place):
    data = place.fill()
    other = place.state / "agents" / "ops" / "sessions" / "sessions.json"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"[]")
    code, out, err = place.run("compact", "--apply")
    assert code == 65
    assert err.count("error: ") == 1
    assert str(other) in err
    assert other.read_bytes() == b"[]"
    assert "compact done" in out
    assert len(place.store.read_bytes()) < len(data)


def test_a_store_far_from_any_installation(place, tmp_path):
    place.fill()
    lone = tmp_path / "backup" / "old.json"
    lone.parent.mkdir()
    lone.write_bytes(place.store.read_bytes())
    lone.chmod(0o600)
    code, out, _ = place.run("compact", str(lone), "--apply")
    assert (code, "compact done" in out) == (0, True)
    assert len(lone.read_bytes()) < len(place.store.read_bytes())


def test_no_store_at_all_is_nothing_to_do(place):
    place.state.mkdir()
    (place.state / "openclaw.json").write_text("{}")
    for verb in ("inspect", "compact"):
        code, out, err = place.run(verb)
        assert (code, out) == (0, "")
        assert err.startswith("no session store below")


def test_check_says_when_nothing_is_wrong(place):
    place.put(b'{"agent:main:main": {"sessionId": "a", "updatedAt": 1}}')
    code, out, _ = place.run("check")
    assert (code, "nothing is wrong" in out) == (0, True)


def test_check_and_compact_find_a_store_that_rotation_took_away(place):
    """`enforce` renamed the store to .bak and a write without a change never came back."""
    data = place.fill()
    backup = place.store.with_name("sessions.json.bak.1760000000000")
    place.store.rename(backup)
    code, out, _ = place.run("check")
    assert (code, "[store-missing]" in out) == (1, True)
    code, out, _ = place.run("compact")
    assert (code, backup.name in out) == (0, True)
    assert not place.store.exists()
    code, out, _ = place.run("compact", "--no-slim", "--max-lifetime", "false", "--apply")
    assert code == 0
    assert backup.read_bytes() == data
    assert "agent:main:main" in json.loads(place.store.read_bytes())


def test_hostile_names_cannot_reach_the_terminal(place, tmp_path):
    folder = tmp_path / "a\x1b[2J\nerror: b\u202e"
    folder.mkdir()
    (folder / "sessions.json").write_bytes(b"{")
    code, out, err = place.run("compact", str(folder / "sessions.json"))
    assert code == 65
    assert not {"\x1b", "\u202e"} & {*out, *err}
    assert r"\x1b[2J\x0aerror: b\u202e" in err
    assert len(err.splitlines()) == 2


def test_hostile_keys_cannot_reach_the_terminal(place):
    key = "agent:main:cron:j\u001b[31m:run:x"
    place.put(json.dumps({key: {"sessionId": "x", "updatedAt": 1, "status": "done"}}).encode())
    assert "\x1b" not in place.run("inspect")[1]
    place.run("compact", "--apply")
    _, out, _ = place.run("archive", "list", "--json")
    action = json.loads(out)["actions"][0]["id"]
    _, out, _ = place.run("archive", "show", action)
    assert "\x1b" not in out
    assert r"\x1b[31m" in out


def test_a_bug_is_said_without_the_contents_it_may_quote(place, monkeypatch):
    place.fill()

    def break_down(*_):
        raise ValueError("phone number 0123456789")

    monkeypatch.setattr("tailflip.stores.target.read_gateway", break_down)
    code, out, err = place.run("inspect")
    assert (code, out) == (70, "")
    assert err.startswith("error: a bug in tailflip: ValueError at ")
    assert "0123456789" not in err


def test_an_interruption_is_an_answer_too(place, monkeypatch):
    """A program that asked for JSON got nothing, and had to read English."""
    place.fill()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tailflip.stores.target.read_gateway", interrupt)
    code, out, err = place.run("inspect", "--json")
    told = json.loads(out)
    assert (code, told["verb"]) == (130, "inspect")
    assert (told["errors"][0]["kind"], told["errors"][0]["exit_code"]) == ("interrupted", 130)
    assert err.startswith("error: interrupted; every store is wholly old or wholly new\n")


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGINT, b"error: interrupted"), (signal.SIGTERM, b"error: terminated")],
)
def test_a_signal_during_a_compaction_leaves_the_old_store_and_nothing_else(place, number, said):
    data = place.fill(60_000_000)
    argv = [sys.executable, "-m", "tailflip", "compact", "--apply"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not list(place.store.parent.glob("*.tmp")):
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    if process.returncode == 0:  # it was done before the signal came
        assert len(place.store.read_bytes()) < len(data)
    else:
        assert process.returncode == 128 + number
        assert err.startswith(said)
        assert place.store.read_bytes() == data
    assert place.list_litter() == []


def test_a_reader_that_goes_away_is_no_error(place):
    place.fill()
    argv = [sys.executable, "-m", "tailflip", "inspect", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_half_done_work_is_ended_first_and_told(place):
    """A tailflip killed in the middle: the next --apply cleans up before it does anything."""
    data = place.fill()
    code = (
        "import os\nfrom tailflip import cli\nfrom tailflip.stores.json import native\n"
        "native.rewrite = lambda *_: os._exit(9)\ncli.run(['compact', '--apply'])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert place.store.read_bytes() == data
    assert place.list_litter() != []
    _, _, err = place.run("check")
    assert "was interrupted" in err
    code, _, err = place.run("compact", "--apply")
    assert (code, "was half done: undone" in err) == (0, True)
    assert place.list_litter() == []


def test_every_registered_verb_lists_the_exit_codes():
    names = set()
    for command in build().registered_commands:
        assert command.epilog == list_codes(command.name)
        names.add(command.name)
    assert names > cli.LIGHT


@pytest.mark.parametrize("apply", [[], ["--apply"]])
def test_whether_a_gateway_runs_is_told_wherever_its_files_are_changed(place, apply):
    """`restore` and `archive expire` said nothing of a gateway that runs."""
    place.fill()
    place.run("reconcile", "--apply")
    place.run("compact", "--apply")
    for words in (["reconcile"], ["compact"], ["restore", "--all"]):
        code, out, err = place.run(*words, *apply)
        assert code == 0, err
        assert re.search(r"^gateway: not running \(", out, re.MULTILINE), (words, out)
    time.sleep(0.002)
    _, out, _ = place.run("archive", "expire", "--older-than", "0ms", *apply)
    assert f", of {place.state}" in out
    assert re.search(r"^gateway: not running \(", out, re.MULTILINE), out


def test_a_plan_to_salvage_says_whether_a_gateway_runs(place):
    data = place.fill()
    place.put(data[:-40])
    _, out, _ = place.run("compact")
    assert "salvage" in out
    assert re.search(r"^gateway: not running \(", out, re.MULTILINE), out


def test_tasks_says_what_it_read_and_where_the_other_runs_stand(place):
    """ "no run is on record", it said, beside 1,629 runs in the store."""
    place.fill()
    runs = sum(":run:" in key for key in json.loads(place.store.read_bytes()))
    lines = place.state.glob("cron/runs/*.jsonl")
    ended = sum(len(path.read_text().splitlines()) for path in lines)
    code, out, err = place.run("tasks")
    assert code == 0, err
    assert "no run is in OpenClaw's task ledger, and tailflip saw none in flight" in out
    assert f"{place.state}/tasks/runs.sqlite: it is not there" in out
    assert f"session stores: {runs} cron runs; `tailflip inspect`" in out
    assert f"run history: {ended} runs that ended; `openclaw cron runs`" in out
    assert runs > 0 < ended
