"""`tailflip report`: one file that can be handed on, and says nothing that may not be."""

from __future__ import annotations

import json
import os
import re
import socket
from html.parser import HTMLParser

import pytest

from support.incident_history import make_death, record_night
from support.stores import NOW_MS
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.moments import read_moment
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Breaker, Decision, Life
from tailflip.flow.work import Work
from tailflip.ledger.history import History
from tailflip.report.handover_text import hide_names

HOUR_MS = 3_600_000
MOST_BYTES = 300_000
CANARY = "CANARY"
JOB = "Weekly letter to CANARY"
SECRETS = {
    "token": "sk-CANARY9f8e7d6c5b4a9f8e7d6c5b4a9f8e7d6c",
    "address": "https://hooks.example/CANARY/path?key=CANARY",
    "session": "agent:main:whatsapp:direct:+49CANARY",
    "path": "/srv/CANARY/notes.txt",
    "job": JOB,
}
WAYS = [(), ("--for-issue",), ("--json",)]


@pytest.fixture
def history(place, monkeypatch):
    """A night of deaths and a cure, as of now, in an installation of a person with a name."""
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    place.fill(100_000)
    made = History(Workspace(Home(place.home), RealDisk()), os.path.realpath(place.state))
    record_night(made, store=str(place.store))
    return made


def poison(history, place):
    """Put what nobody may read into everything that a report is made from."""
    every = " ".join(SECRETS.values())
    now_ms = NOW_MS - HOUR_MS
    death = make_death(signature=f"unknown: {SECRETS['token']}", evidence=(every,), hint=every)
    works = (Work(kind="job", key=JOB), Work(kind="session", key=SECRETS["session"]))
    life = Life(id="p", guard=history.guard, mode="run", started_ms=now_ms, command=(every,))
    history.lives.begin(life)
    incident = history.incidents.open(death, now_ms + 1)
    known = {"ended_ms": now_ms + 1, "death": death, "incident": incident.id, "in_flight": works}
    history.lives.end(life.model_copy(update=known), every.encode())
    decision = Decision(kind="start", reason=SECRETS["address"])
    history.decisions.record(decision, Breaker(signature=death.signature), "p", now_ms + 2)
    codes = ("job-storm", "store-invalid", "session-held", "of-another-release")
    history.findings.note(
        [Finding(code, "error", f"{JOB} {code}", every, every, (every,)) for code in codes],
        now_ms,
        set(codes),
    )
    history.maintenances.begin(HOUR_MS, read_moment(), reason=every, by=JOB, command=CANARY)
    jobs = place.state / "cron/jobs.json"
    jobs.write_text(jobs.read_text().replace('"name": "', f'"name": "{JOB} '))


class Reader(HTMLParser):
    """Collects the elements of a page, its policy and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.policy, self.text = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if dict(attributes).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attributes)["content"]

    def handle_data(self, data):
        self.text.append(data)


def test_it_is_one_small_file_without_a_script_that_asks_for_nothing(place, history):
    out = place.root / "report.html"
    code, said, err = place.run("report", "-o", str(out))
    assert (code, said) == (0, "")
    assert err.startswith(f"{out}: ")
    text = out.read_text()
    assert 5_000 < len(text.encode()) <= MOST_BYTES
    assert out.stat().st_mode & 0o777 == 0o600
    page = Reader(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, tag
        assert not attributes.keys() & {"src", "href", "action"}, tag
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert "@media print" in text


def test_it_tells_of_the_night(place, history):
    text = " ".join(Reader(place.run("report")[1]).text)
    assert re.search(r"It was up \d+(\.\d+)? % of the time", text)
    assert "7 deaths" in text
    assert "v8-heap-oom" in text
    assert "Incident 1: its JavaScript heap was full and V8 gave up; 7 deaths; over" in text
    assert "tailflip restore" in text
    assert "What is left out" in text


def test_its_numbers_are_those_of_json(place, history):
    told = json.loads(place.run("report", "--json")[1])
    assert told["death_count"] == 7
    assert [(each["cause"], each["count"]) for each in told["death_causes"]] == [("v8-heap-oom", 7)]
    assert 0 < told["availability"] < 1
    assert told["known_ms"] == 6 * HOUR_MS
    assert told["down_ms"] < told["known_ms"]
    assert [each["undo"] for each in told["changes_made"]] == [
        "tailflip restore 20260202T020000Z-abcdef --apply"
    ]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_secret_and_no_name_is_in_it(place, history, way):
    """A report is handed on: to a colleague, to an issue, to whoever finds it."""
    poison(history, place)
    code, out, err = place.run("report", *way)
    assert code == 0
    assert "v8-heap-oom" in out
    assert "job-storm" in out
    assert [line for line in (out + err).splitlines() if CANARY in line] == []
    below = str(place.state) + "/"
    assert below not in out


def test_for_an_issue_home_user_and_host_are_not_named(place, history, monkeypatch):
    monkeypatch.setenv("USER", "anabel")
    monkeypatch.setattr(socket, "gethostname", lambda: "anabels-tower.home.arpa")
    history.maintenances.begin(HOUR_MS, read_moment(), reason="for anabel")
    text = place.run("report", "--for-issue")[1]
    for name in ("anabel", "anabels-tower", "home.arpa", str(place.root)):
        assert name not in text
    assert text.startswith("### Report of a gateway, ")
    assert "| v8-heap-oom |" in text


def test_a_name_in_what_is_told_is_replaced(place):
    env = {"HOME": "/home/anabel", "USER": "anabel"}
    told = "at /home/anabel/.openclaw of Anabel, not anabelle, on HOSTNAME"
    assert hide_names(told, env).startswith("at ~/.openclaw of USER, not anabelle")


def test_a_gateway_of_which_nothing_is_on_record_has_a_report(place):
    place.fill(50_000)
    for way in WAYS:
        code, out, _ = place.run("report", *way)
        assert code == 0
        assert "Nothing of this time is on record" in out or '"availability": null' in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "soon"), "not a length of time"),
        (("--since", "91d"), "at most 90d"),
        (("--for-issue", "--json"), "not both"),
        (("-o", "{root}"), "not a file"),
    ],
)
def test_what_cannot_be_is_refused(place, history, words, says):
    code, _, err = place.run("report", *(word.format(root=place.root) for word in words))
    assert code == 64
    assert says in err


def test_a_year_of_deaths_stays_small(place, history):
    """Two thousand lives and twenty incidents: the file is still one that mail takes."""
    for n in range(600):
        began_ms = NOW_MS - (600 - n) * 600_000
        life = Life(id=f"y{n}", guard=history.guard, mode="run", started_ms=began_ms)
        history.lives.begin(life)
        death = make_death(signature=f"s{n % 30}")
        incident = history.incidents.open(death, began_ms + 1000)
        known = {"ended_ms": began_ms + 1000, "death": death, "incident": incident.id}
        history.lives.end(life.model_copy(update=known), b"")
    out = place.root / "report.html"
    assert place.run("report", "--since", "30d", "-o", str(out))[0] == 0
    assert out.stat().st_size <= MOST_BYTES
    assert "older incidents are left out" in out.read_text()
