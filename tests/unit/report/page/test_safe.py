"""What is left out of the words that a browser is shown."""

from __future__ import annotations

import pytest

from support.incident_history import make_death, make_life
from tailflip.flow.findings import Code, Finding
from tailflip.flow.work import Work
from tailflip.report.page.safe import (
    hide,
    hide_life,
    name_code,
    name_place,
    tell_cure,
    tell_finding,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("compact 185.0 MB -> 1.3 MB (main)", None),
        ("after 3 deaths: its JavaScript heap was full (proven)", None),
        ("run `tailflip compact --apply`; then/or wait", None),
        ("tailflip restore 20260202T020000Z-abcdef --apply", None),
        ("set memory.restart_ahead = true, 24/7", None),
        ("problem at gateway.mode", None),
        ("in /home/u/.openclaw/agents/main/sessions.json: bad", "in …: bad"),
        ("see ~/x/y, then go", "see …, then go"),
        ("'/a b'", "'… b'"),
        ("ask https://u:p@x.example/hook?token=1 now", "ask … now"),
        ("ntfy://topic", "…"),
        ("agent:main:telegram:123 died", "… died"),
        ("job 0b6f1c1e-1111-4222-8333-944444444444", "job …"),
        ("key sk-0123456789abcdef0123456789abcdef", "key …"),
    ],
)
def test_addresses_paths_sessions_and_keys_are_left_out(text, shown):
    assert hide(text) == (text if shown is None else shown)


def test_a_finding_is_told_as_its_code_tells_it():
    finding = Finding("job-rapid", "warning", "secret job", "secret job runs", "disable secret")
    assert "secret" not in tell_finding(finding) + tell_cure(finding)
    assert name_code(finding) == "job-rapid"
    told = Finding("gateway-down", "error", "/g", "the gateway does not run: /a/b", "start")
    assert tell_finding(told) == "the gateway does not run: …"
    strange = Finding("secret code", "error", "secret", "secret", "secret")
    assert "secret" not in tell_finding(strange) + tell_cure(strange) + name_code(strange)


@pytest.mark.parametrize("code", Code)
def test_every_code_has_words_of_its_own(code):
    finding = Finding(code.value, "error", "s", "m", "h")
    assert tell_finding(finding)
    assert tell_cure(finding)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/h/.openclaw/agents/main/sessions/sessions.json", "main"),
        ("/h/.openclaw/agents/a b/agent/openclaw-agent.sqlite", "a b"),
        ("/h/.openclaw/cron/jobs.json", "the jobs"),
        ("/h/.openclaw/tasks/runs.sqlite", "the tasks"),
        ("/h/.openclaw/state/openclaw.sqlite", "the gateway's records"),
        ("/srv/elsewhere/sessions.json", "a store"),
        ("agents", "a store"),
    ],
)
def test_a_place_is_named_without_its_path(path, name):
    assert name_place(path) == name


def test_a_life_loses_what_it_worked_on_and_what_its_death_quoted():
    death = make_death(signature="secret", evidence=("secret",), hint="secret")
    work = Work(kind="job", key="secret")
    life = make_life("l", 1, 2, death=death, in_flight=(work,), command=("node", "secret"))
    hidden = hide_life(life)
    assert "secret" not in hidden.model_dump_json()
    assert (hidden.death.cause, hidden.started_ms, hidden.ended_ms) == (death.cause, 1, 3)
    assert hide_life(make_life("l", 1)).death is None
