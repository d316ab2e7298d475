"""`tailflip slim` and the undo of it, on the command line."""

from __future__ import annotations

import json
import os
import re

import pytest

from support.transcripts import dump, make_turns


@pytest.fixture
def old(place):
    place.fill(100_000)
    path = place.store.parent / "old.jsonl"
    path.write_bytes(dump(make_turns(8)))
    return path


def test_without_apply_it_only_shows(place, old):
    before = old.read_bytes()
    code, out, err = place.run("slim", "--all")
    assert (code, err) == (0, "")
    assert re.search(r"old\.jsonl +2\d\d\.\d KB +\d+\.\d KB +5 +5\n", out), out
    assert out.endswith("nothing was changed; add --apply to do it\n")
    assert old.read_bytes() == before
    assert not place.home.exists() or place.run("archive", "list", "--json")[1].count('"id"') == 0


def test_it_says_the_undo_and_the_undo_works(place, old):
    before = old.read_bytes()
    code, out, _ = place.run("slim", "old", "--apply")
    assert code == 0
    undo = re.search(r"undo: tailflip (restore \S+ --apply)", out)
    assert undo is not None
    slimmed = old.read_bytes()
    assert len(slimmed) < len(before) / 2
    assert place.run("archive", "verify")[0] == 0
    with old.open("ab") as file:
        file.write(b"{}\n")
    code, out, _ = place.run(*undo[1].split()[:-1])
    assert "10 lines get back what was cut" in out
    assert "3 B were written since, and stay" in out
    assert old.read_bytes() == slimmed + b"{}\n"
    assert place.run(*undo[1].split())[0] == 0
    assert old.read_bytes() == before + b"{}\n"
    assert "its lines are there already" in place.run(*undo[1].split())[1]


def test_restore_all_undoes_slimmings_and_entries(place, old):
    before = old.read_bytes()
    assert place.run("slim", "--all", "--apply")[0] == 0
    code, out, _ = place.run("restore", "--all", "--apply", "--json")
    assert code == 0
    (told,) = json.loads(out)["restored_transcripts"]
    assert (told["line_count"], told["path"]) == (10, str(old))
    assert old.read_bytes() == before
    assert place.run("slim", "--all", "--apply")[0] == 0
    assert place.run("compact", "--apply")[0] == 0
    assert place.run("restore", "--all", "--apply")[0] == 0
    assert old.read_bytes() == before


def test_json_tells_each_transcript(place, old):
    told = json.loads(place.run("slim", "old", "--json")[1])
    (one,) = told["slimmed_transcripts"]
    assert (one["image_count"], one["result_count"], one["report"]) == (5, 5, None)
    assert told["applied"] is False
    (one,) = json.loads(place.run("slim", "old", "--apply", "--json")[1])["slimmed_transcripts"]
    assert one["report"]["undo"].startswith("tailflip restore ")
    assert one["size_bytes_after"] == old.stat().st_size


def test_a_size_chooses_and_the_others_stay(place, old):
    for size, number in (("1gb", 0), ("50kb", 1)):
        out = place.run("slim", "--all", "--larger-than", size, "--json")[1]
        assert len(json.loads(out)["slimmed_transcripts"]) == number
    assert place.run("slim", "--all", "--larger-than", "1gb")[1].startswith("no transcript")
    assert old.exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["slim"],
        ["slim", "old", "--all"],
        ["slim", "old", "--larger-than", "5mb"],
        ["slim", "--all", "--larger-than", "big"],
        ["slim", "nobody"],
    ],
)
def test_what_makes_no_sense_is_refused(place, old, argv):
    before = old.read_bytes()
    assert place.run(*argv, "--apply")[0] == 64
    assert old.read_bytes() == before


def test_a_session_in_use_is_an_error_if_named_and_a_note_among_all(place, old):
    lock = old.with_name("old.jsonl.lock")
    lock.write_text(json.dumps({"pid": os.getpid(), "createdAt": "2100-01-01T00:00:00.000Z"}))
    before = old.read_bytes()
    code, _, err = place.run("slim", "old", "--apply")
    assert code == 75
    assert "session is in use by pid" in err
    code, out, _ = place.run("slim", "--all", "--apply")
    assert code == 0
    assert "note: left as it is: session is in use by pid" in out
    assert old.read_bytes() == before
    assert lock.exists()


def test_one_that_was_rewritten_is_refused_with_a_way_out(place, old):
    out = place.run("slim", "old", "--apply")[1]
    action = re.search(r"restore (\S+) --apply", out)
    assert action is not None
    old.write_bytes(old.read_bytes()[:-5])
    code, _, err = place.run("restore", action[1], "--apply")
    assert code == 65
    assert "rewritten since it was slimmed" in err
    assert "zstdcat" in err
    code, _, err = place.run("restore", action[1], "some-key")
    assert code == 64
