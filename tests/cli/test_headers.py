"""A transcript that has lost its header: found, mended before a start and by hand, taken back."""

from __future__ import annotations

import json
import os

import pytest

from support.headless import SESSION, make_messages
from support.stores import list_tree
from support.transcripts import dump, make_turns
from tailflip.base import clock
from tailflip.observe.records.heads import Head
from tailflip.observe.records.transcript_files import read_head
from tailflip.stores.lock import format_created

GATEWAY = ("--", "openclaw", "gateway")


class Site:
    """An installation of a release, with one transcript whose first line is garbage."""

    def __init__(self, place, release="2026.4.14"):
        self.place = place
        place.put(b"{}")
        place.put_openclaw(release)
        node = place.root / "bin" / "node"
        node.write_text("#!/bin/sh\necho 1000000000\n")
        node.chmod(0o755)
        self.path = place.store.with_name(f"{SESSION}.jsonl")
        self.rest = make_messages(20)
        self.before = b"\0\0\0\n" + self.rest
        self.path.write_bytes(self.before)

    @property
    def is_whole(self):
        """Say whether the header is there, and all other lines have their bytes."""
        data = self.path.read_bytes().partition(b"\n")[2]
        return read_head(self.path).head is Head.WHOLE and data == self.rest

    def lock(self, path=None):
        held = {"pid": os.getppid(), "createdAt": format_created(clock.now_ms())}
        path = path or self.path
        path.with_name(f"{path.name}.lock").write_text(json.dumps(held))

    def check(self):
        _, out, _ = self.place.run("check", "--json")
        found = json.loads(out)["findings"]
        return [(each["code"], each["severity"]) for each in found]

    def preflight(self, *argv):
        code, out, _ = self.place.run("preflight", "--json", *argv, *GATEWAY)
        return code, json.loads(out)


def test_check_tells_it_and_changes_nothing(place):
    site = Site(place)
    assert ("transcript-headless", "error") in site.check()
    assert site.path.read_bytes() == site.before


@pytest.mark.parametrize(
    ("release", "severity"), [("2026.5.28", "error"), ("2026.6.1", "warning"), ("2026.9.6", None)]
)
def test_how_grave_it_is_depends_on_the_release(place, release, severity):
    found = dict(Site(place, release).check())
    assert found.get("transcript-headless") == severity


@pytest.mark.parametrize("release", ["2026.3.28", "2026.4.14", "2026.5.28"])
def test_a_start_that_would_destroy_it_mends_it_first(place, release):
    site = Site(place, release)
    code, told = site.preflight()
    assert code == 0
    assert site.is_whole
    (note,) = [each for each in told["notes"] if "without a header" in each]
    what, _, undo = note.partition("; undo: ")
    assert what.endswith("its first line is no JSON; written anew")
    assert ("transcript-headless", "error") not in site.check()
    # The next start finds nothing to do.
    assert site.preflight()[1]["notes"] == []
    assert place.run(*undo.split()[1:])[0] == 0
    assert site.path.read_bytes() == site.before


def test_a_release_that_mends_it_itself_is_left_to_do_so(place):
    site = Site(place, "2026.7.35")
    assert site.preflight()[0] == 0
    assert site.path.read_bytes() == site.before


@pytest.mark.parametrize("name", ["TAILFLIP_HEAL_ENABLED", "TAILFLIP_HEAL_SALVAGE"])
def test_where_the_settings_forbid_it_the_start_is_allowed_and_told(place, monkeypatch, name):
    site = Site(place)
    monkeypatch.setenv(name, "false")
    code, told = site.preflight()
    assert code == 0
    assert site.path.read_bytes() == site.before
    assert "the next message to its session replaces it" in " ".join(told["notes"])


def test_in_a_maintenance_nothing_is_written_and_the_start_is_allowed(place):
    site = Site(place)
    assert place.run("maintenance", "on", "--for", "1h")[0] == 0
    code, told = site.preflight()
    assert code == 0
    assert site.path.read_bytes() == site.before
    assert "left as it is (a maintenance is on)" in " ".join(told["notes"])


def test_no_start_is_refused_for_a_transcript_that_cannot_be_mended(place):
    site = Site(place)
    site.path.write_bytes(b"\0\0\n" + b'{"a":1}\n' * 9)
    before = list_tree(site.path.parent)
    code, told = site.preflight()
    assert code == 0
    assert list_tree(site.path.parent) == before
    assert "not clearly a transcript" in " ".join(told["notes"])


def test_a_start_tells_transcripts_that_are_heavy(place):
    site = Site(place)
    for name, size in (("a", 600_000_000), ("b", 300_000_000), ("c", 150_000_000), ("d", 9)):
        path = site.path.with_name(f"{name}.jsonl")
        path.write_bytes(b'{"type":"session","id":"x"}\n')
        os.truncate(path, size)
    code, told = site.preflight()
    assert code == 0
    notes = [each for each in told["notes"] if each.startswith("transcript of")]
    assert all(each.endswith("; `tailflip slim --all` shows what can go") for each in notes)
    assert [each.split(": ", 2)[2].partition(";")[0] for each in notes] == [
        "Node cannot read it: each message to its session fails",
        "the gateway may die of the next message to its session",
        "the gateway may answer nothing for seconds at a message to its session",
    ]


def test_by_hand_it_is_shown_done_and_taken_back(place):
    site = Site(place)
    code, out, _ = place.run("reconcile", "headers")
    assert code == 0
    assert "1 header written anew" in out
    assert "nothing was changed; add --apply to do it" in out
    assert site.path.read_bytes() == site.before
    code, out, _ = place.run("reconcile", "headers", "--apply", "--json")
    told = json.loads(out)
    assert told["findings"] == [], "what was mended is no finding any more"
    (step,) = told["steps"]
    assert (code, step["kind"], step["counts"]) == (0, "headers", {"headers written anew": 1})
    assert site.is_whole
    undo = step["undo"].split()[1:]
    assert undo == ["restore", step["action_id"], "--apply"]
    code, out, _ = place.run("restore", step["action_id"])
    assert (code, "1 change gets back" in out or "1 change is taken back" in out) == (0, True)
    assert site.is_whole
    assert place.run(*undo)[0] == 0
    assert site.path.read_bytes() == site.before
    code, out, _ = place.run("archive", "list")
    assert "reconcile: 1 header written anew" in out


def test_by_hand_a_transcript_in_use_is_refused(place):
    site = Site(place)
    site.lock()
    code, _, err = place.run("reconcile", "headers", "--apply")
    # Who holds a transcript's lock may be a gateway.
    assert code in (0, 75)
    assert "left alone" in err or "has the transcript locked" in err
    assert site.path.read_bytes() == site.before


def test_a_healthy_installation_has_no_such_step(place):
    site = Site(place)
    site.path.unlink()
    code, out, _ = place.run("reconcile", "headers", "--json")
    assert (code, json.loads(out)["steps"]) == (0, [])


def put_turns(site, turns, size_bytes):
    """A transcript of so many bytes, most of them in old tool results."""
    path = site.path.with_name("big.jsonl")
    tool = "line of output\n" * (size_bytes // turns // 16)
    path.write_bytes(dump(make_turns(turns, tool=tool)))
    return path


@pytest.mark.parametrize(
    ("release", "name", "is_slimmed"),
    [
        ("2026.4.14", None, True),
        ("2026.5.27", None, False),  # nobody has measured that release
        ("2026.4.14", "TAILFLIP_HEAL_TRANSCRIPTS", False),
        ("2026.4.14", "TAILFLIP_HEAL_ENABLED", False),
        ("2026.9.6", None, False),  # it reads none
    ],
)
def test_a_start_slims_a_transcript_that_would_kill_it(
    place, monkeypatch, release, name, is_slimmed
):
    """A message to a session of 300 MB killed the real 2026.4.14 at 1 GB of heap, always."""
    site = Site(place, release)
    site.path.unlink()
    path = put_turns(site, 8, 110_000_000)
    before = path.read_bytes()
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", "480mb")
    if name is not None:
        monkeypatch.setenv(name, "false")
    code, told = site.preflight()
    assert code == 0
    notes = [each for each in told["notes"] if each.startswith("transcript of")]
    if not is_slimmed:
        assert path.read_bytes() == before
        assert all(each.endswith("`tailflip slim --all` shows what can go") for each in notes)
        return
    assert path.stat().st_size < 0.6 * len(before)
    undo = notes[0].partition("; undo: ")[2]
    assert place.run(*undo.split()[1:])[0] == 0
    assert path.read_bytes() == before


def test_a_deadly_transcript_whose_session_is_locked_is_told_and_left(place, monkeypatch):
    site = Site(place)
    site.path.unlink()
    path = put_turns(site, 8, 110_000_000)
    before = path.read_bytes()
    site.lock(path)
    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", "480mb")
    _, told = site.preflight()
    assert path.read_bytes() == before
    assert "the gateway may die of the next message" in " ".join(told["notes"])
