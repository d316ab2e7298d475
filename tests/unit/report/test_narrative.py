"""The story of a night: everything that happened is in it, in order, and it is short."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from support.incident_history import (
    ACTION,
    FIRST_MS,
    GUARD,
    MB,
    PERIOD_MS,
    make_archived,
    make_death,
    make_incident,
    make_life,
    record_night,
)
from support.stores import HOUR_MS, NOW_MS
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Cause, Confidence, Decision, Life, LifeMode, Waiting
from tailflip.flow.numbers import Tally
from tailflip.ledger.decisions import MadeDecision
from tailflip.ledger.findings import NotedFinding
from tailflip.ledger.history import History
from tailflip.report.narrative import (
    describe_action,
    describe_cause,
    tell,
    tell_death,
    tell_decision,
)
from tailflip.stores.archive import Archived, list_actions

STORE = f"{GUARD}/agents/main/sessions/sessions.json"
INCIDENT = make_incident()


def make_deaths(number: int, **changed):
    return [
        make_life(
            f"d{n}", FIRST_MS + n * PERIOD_MS, 40_000 + 1_000 * n, death=make_death(**changed)
        )
        for n in range(number)
    ]


def tell_texts(lives, decisions=(), actions=(), findings=(), incident=INCIDENT) -> list[str]:
    lines = tell(incident, lives, decisions, actions, findings)
    assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)
    return [line.text for line in lines]


def test_a_night_with_its_cure_is_told_in_order(home):
    history = History(Workspace(home, RealDisk()), GUARD)
    lives = record_night(history)
    (incident,) = history.incidents.read()
    texts = tell_texts(
        lives,
        history.decisions.read_since(0),
        list_actions(Workspace(home, RealDisk())),
        history.findings.read(open_only=False),
        incident,
    )
    expected = [
        "the gateway was started (OpenClaw 2026.4.14)",
        "found, error: loading the stores needs about 4.3 GB of heap",
        "the gateway answered, 20 s after its start",
        "the gateway died after 42 s with exit code 1: its JavaScript heap was full and V8 gave",
        "decided to start it at 2026-02-01 20:40:44Z: trying again",
        "the gateway was started",
        "the gateway answered",
        "the gateway died",
        "decided to start it",
        "the same 4 times more until 2026-02-01 20:45:42Z; it lived 42 s",
        "the gateway was started",
        "the gateway answered",
        "the gateway died",
        "decided to start it",
        f"compacted {STORE}: 6,539 entries -> 120, 185.0 MB -> 9.0 MB; undo: tailflip restore ",
        "the gateway was started",
        f"no longer so: heap-forecast: {GUARD}/openclaw.json",
        "the gateway answered, 10 s after its start",
        "the gateway has lived long enough: the incident is closed",
    ]
    assert len(texts) == len(expected), texts
    for text, start in zip(texts, expected, strict=True):
        assert text.startswith(start), texts


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_few_deaths_are_all_told(number):
    texts = tell_texts(make_deaths(number))
    assert sum("died" in text for text in texts) == number
    assert not any("the same" in text for text in texts)


def test_a_thousand_deaths_are_told_in_a_few_lines_and_none_is_lost():
    texts = tell_texts(make_deaths(1_000))
    assert len(texts) == 7
    assert texts[4].startswith("the same 997 times more until ")
    assert "it lived between 42 s and" in texts[4]


def test_four_deaths_leave_one_out_in_words():
    assert any(text.startswith("the same once more until") for text in tell_texts(make_deaths(4)))


def test_another_death_within_a_row_is_told():
    lives = make_deaths(11)
    lives[5] = lives[5].model_copy(update={"death": make_death(Cause.HANG)})
    texts = tell_texts(lives)
    assert sum("no longer answered" in text for text in texts) == 1
    assert sum(text.startswith("the same 2 times more") for text in texts) == 2


def test_what_was_done_within_a_row_is_told_where_it_happened():
    texts = tell_texts(make_deaths(10), actions=[make_archived(FIRST_MS + 5 * PERIOD_MS - 1)])
    at = next(n for n, text in enumerate(texts) if text.startswith("compacted"))
    assert sum("died" in text for text in texts[:at]) == 3, texts
    assert any(text.startswith("the same 2 times") for text in texts[:at])
    assert any(text.startswith("the same 2 times") for text in texts[at:])


def test_what_is_not_of_the_incident_is_left_out():
    over = INCIDENT.model_copy(update={"closed_ms": FIRST_MS + HOUR_MS})
    finding = Finding("c", "error", "s", "m", "h")
    start = Decision(kind="start", reason="r")
    for at_ms in (FIRST_MS - 1, FIRST_MS + HOUR_MS + 1):
        ended_ms = at_ms if at_ms < FIRST_MS else None
        texts = tell_texts(
            make_deaths(1),
            [MadeDecision(at_ms, None, start)],
            [make_archived(at_ms)],
            [NotedFinding(finding, at_ms, at_ms, ended_ms)],
            over,
        )
        assert len(texts) == 3, texts


def test_what_a_person_did_is_told():
    seen = INCIDENT.model_copy(update={"acked_ms": NOW_MS})
    assert tell_texts(make_deaths(1), incident=seen)[-1] == "a person took note of the incident"


def test_a_life_begins_with_one_of_four_verbs_and_every_story_with_its_start():
    for mode in LifeMode:
        assert "was started" in tell_texts([make_life("a", FIRST_MS, mode=mode)])[0]
    with pytest.raises(ValidationError):
        Life(id="a", guard="/g", mode="adopted", started_ms=FIRST_MS)


DECISIONS = [
    (Decision(kind="start", reason=""), "decided to start it at once"),
    (
        Decision(kind="start", reason="backing off", waiting=Waiting.TIME, at_ms=NOW_MS),
        "decided to start it at 2026-02-02 02:40:00Z: backing off",
    ),
    (
        Decision(kind="wait", reason="bad key", waiting=Waiting.CONFIG_CHANGE),
        "decided to wait until the configuration changes: bad key",
    ),
    (
        Decision(kind="wait", reason="f", waiting=Waiting.CURE, at_ms=NOW_MS),
        "decided to wait until the stores or the configuration change, and to try at NOW anyway: f",
    ),
    (
        Decision(kind="wait", reason="two", waiting=Waiting.OTHER_INSTANCE),
        "decided to wait until the state directory and its port are free: two",
    ),
    (Decision(kind="end", reason="asked", exit_code=0), "decided to end with exit code 0: asked"),
]


@pytest.mark.parametrize(("decision", "text"), DECISIONS, ids=lambda v: str(v)[:30])
def test_a_decision_is_told_with_its_reason(decision, text):
    assert tell_decision(decision) == text.replace("NOW", "2026-02-02 02:40:00Z")


DEATHS = [
    ({"signal": 9, "death": make_death(Cause.CGROUP_OOM)}, r"by signal 9: the kernel killed it at"),
    ({"exit_code": 0, "death": make_death(Cause.ASKED_STOP)}, "ended after 5 s with exit code 0"),
    ({"end_known": False, "death": make_death()}, "was found dead; when is not known: "),
    ({"exit_code": 3}, "ended after 5 s with exit code 3"),
    (
        {"death": make_death(Cause.UNKNOWN, signature="unknown exit 1: TypeError")},
        "nothing that is known says why (unknown exit 1: TypeError)",
    ),
    ({"death": make_death(confidence=Confidence.GUESS)}, "(a guess)"),
]


@pytest.mark.parametrize(("known", "text"), DEATHS, ids=lambda v: str(v)[:30])
def test_a_death_is_told_with_what_is_known_of_it(known, text):
    assert text in tell_death(make_life("d", FIRST_MS, 5_000, **known))


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words(cause):
    assert describe_cause(cause)


def make_ended(before_bytes: int, **rules: int) -> Archived:
    archived = make_archived(FIRST_MS)
    tallies = tuple(Tally(name=name, entries=number, bytes=0) for name, number in rules.items())
    rewrite = archived.manifest.rewrite.model_copy(update={"rules": tallies})
    update = {"bytes_before": before_bytes, "rewrite": rewrite}
    return Archived(archived.action, archived.manifest.model_copy(update=update))


@pytest.mark.parametrize(
    ("archived", "told"),
    [
        (make_ended(10 * MB, expire=7), "compact 10.0 MB -> 9.0 MB"),
        (make_ended(10 * MB, expire=7, retire=9), "compact 10.0 MB -> 9.0 MB"),
        (make_ended(10 * MB, expire=0, retire=1), "reconcile: 1 run ended"),
        (make_ended(8 * MB, retire=41_010), "reconcile: 41,010 runs ended"),
        (
            make_ended(8 * MB, slim=1, retire=2),
            "reconcile: 2 runs ended, 1 entry cut or removed",
        ),
        (make_ended(10 * MB, online=3), "reconcile: 3 runs for the living gateway to delete"),
    ],
)
def test_what_only_wrote_ends_of_runs_is_told_by_them(archived, told):
    assert describe_action(archived) == told
    (text,) = tell_texts([], actions=[archived])
    assert text.startswith(f"compacted {STORE}: 6,539" if "->" in told else f"{told} in {STORE}")


@pytest.mark.parametrize(
    ("kind", "changed", "told"),
    [
        ("markers", 2, "reconcile: 2 markers cleared"),
        ("hold", 1, "reconcile: 1 job held"),
        ("tasks", None, "reconcile: tasks fixed"),
        ("release", 1, "reconcile: 1 job released"),
    ],
)
def test_what_reconciliation_did_to_a_ledger_is_told(kind, changed, told):
    action = make_archived(FIRST_MS).action.model_copy(update={"kind": kind})
    archived = Archived(action, None, changed)
    assert describe_action(archived) == told
    (text,) = tell_texts([], actions=[archived])
    undo = "" if kind == "release" else f"; undo: tailflip restore {ACTION} --apply"
    assert text == f"{told} in {STORE}{undo}"


def test_a_salvage_and_a_restore_are_told():
    archived = make_archived(FIRST_MS)
    salvage = archived.action.model_copy(update={"kind": "salvage"})
    restore = archived.action.model_copy(update={"kind": "restore"})
    texts = tell_texts([], actions=[Archived(salvage, None), Archived(restore, None)])
    assert texts[0].startswith("salvaged /home")
    assert texts[0].endswith(f"undo: tailflip restore {ACTION} --apply")
    assert texts[1].startswith("restored entries to /home")
    assert "undo" not in texts[1]
