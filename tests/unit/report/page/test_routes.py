"""What is answered at each path: of a month, of nothing, and of a damaged ledger."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser

import pytest

from support.incident_history import make_life
from support.several_gateways import Gateways
from support.shown_month import CANARIES, put_hostile_jobs, record_month
from support.stores import NOW_MS
from tailflip.base import clock
from tailflip.flow.findings import Code
from tailflip.flow.lives import Cause
from tailflip.ledger.counters import Count
from tailflip.report.page.base import POLICY, STYLE, make_document
from tailflip.report.page.http import Request
from tailflip.report.page.routes import Routes

ALL = ("/", "/status.json", "/metrics", "/healthz", "/incidents/1", "/incidents/30")
MOST_BYTES = {"/": 60_000, "/metrics": 40_000, "/status.json": 60_000, "/incidents/1": 60_000}


@pytest.fixture
def gateways(in_memory, monkeypatch):
    return Gateways(in_memory, monkeypatch)


@pytest.fixture
def month(gateways):
    history = gateways.fill()
    put_hostile_jobs(gateways.root / "openclaw")
    record_month(history, NOW_MS)
    return history


def ask(path, **query):
    return Routes().answer(Request("GET", path, query, {}))


class Page(HTMLParser):
    """What a browser would load, and whether every element is closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in found), attrs
        self.links += [found[name] for name in ("href", "src", "action", "data") if name in found]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("path", ALL)
def test_nothing_that_may_not_be_shown_is_in_an_answer(month, path):
    """Names of jobs, sessions, paths, addresses, tokens and texts stand all over this ledger."""
    answer = ask(path)
    assert answer.status in (200, 503)
    text = answer.body.decode() + str(answer.headers)
    for kind, canary in CANARIES.items():
        assert canary not in text, kind
    assert re.search("canary|hunter2|alert\\(1", text) is None
    below = re.findall(re.escape(month.guard) + r"/[^\s\"<]*", text)
    assert below == []


def test_the_canaries_are_where_they_would_be_shown(month):
    """Or the test above would find nothing whatever a page shows."""
    recorded = str([each.model_dump_json() for each in month.lives.read()])
    recorded += str(month.findings.read()) + str(month.decisions.read_since(0))
    recorded += (month.workspace.home.root.parent / "openclaw/openclaw.json").read_text()
    recorded += (month.workspace.home.root.parent / "openclaw/cron/jobs.json").read_text()
    for kind, canary in CANARIES.items():
        assert canary in recorded.replace("\\\\", "\\"), kind


@pytest.mark.parametrize("path", MOST_BYTES)
def test_an_answer_is_small(month, path):
    assert len(ask(path).body) <= MOST_BYTES[path]


@pytest.mark.parametrize("path", ["/", "/incidents/1"])
def test_a_page_is_whole_and_asks_for_nothing(month, path):
    page = Page(ask(path).body.decode())
    assert {"script", "img", "link", "iframe", "form", "object", "input"} & set(page.tags) == set()
    assert all(link.startswith("/") and not link.startswith("//") for link in page.links)
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_the_page_says_how_it_is_and_what_happened(month):
    text = Page(ask("/").body.decode()).text
    for expected in (
        month.guard, "OpenClaw 2026.4.14", "DOWN: ", "store-invalid", "job-rapid", "other",
        "its JavaScript heap was full and V8 gave up", "compact 185.0 MB -> 1.3 MB (main)",
        "tailflip restore 20260101T000003Z-aaaaaa --apply", "incident 30", "Read only",
    ):  # fmt: skip
        assert expected in text, expected


def test_the_page_asks_itself_to_be_shown_anew(month):
    assert ask("/").headers["Refresh"] == "15"
    assert "Refresh" not in ask("/incidents/1").headers


def test_the_state_is_json_with_the_same_words(month):
    told = json.loads(ask("/status.json").body)
    assert told["schema_version"] == 1
    assert told["state"] == "down"
    assert {each["code"] for each in told["needs"]} <= {*Code, "other"}
    assert len(told["happened"]) == 9
    assert len(told["memory"]["points"]) <= 240


def test_health_is_a_word(gateways):
    history = gateways.fill()
    answer = ask("/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")
    record_month(history, NOW_MS)
    answer = ask("/healthz")
    assert (answer.status, answer.body) == (503, b"down\n")


def test_the_story_of_an_incident_is_told(month):
    text = Page(ask("/incidents/2").body.decode()).text
    assert "the gateway was started (OpenClaw 2026.4.14)" in text
    assert "with exit code 134" in text
    assert "the incident is closed" in text


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/incidents/", "/incidents/999", "/incidents/x", "/incidents/1/2", "//", "/../x",
     "/incidents/" + "9" * 50, "/metrics/", "/favicon.ico", "/serve.token"],
)  # fmt: skip
def test_what_is_not_there_is_404(month, path):
    assert ask(path).status == 404


def test_an_empty_ledger_and_no_gateway_are_shown(gateways):
    page = Page(ask("/").body.decode())
    assert "nothing was measured" in page.text
    assert "Nothing is known to be wrong." in page.text
    assert not gateways.home.root.exists(), "looking makes nothing"


@pytest.mark.parametrize("path", ALL)
def test_a_damaged_ledger_is_told_and_no_bug(month, path):
    month.workspace.home.ledger.write_bytes(b"rotten" * 999)
    answer = ask(path)
    assert answer.status == (200 if path == "/metrics" else 503)
    if path == "/":
        assert "The record cannot be read now" in Page(answer.body.decode()).text


def test_other_gateways_are_linked_and_shown(gateways):
    record_month(gateways.fill(), NOW_MS)
    other = gateways.fill("other")
    other.lives.begin(make_life("other", NOW_MS, guard=other.guard))
    first = Page(ask("/").body.decode())
    (link,) = [each for each in first.links if each.startswith("/?gateway=")]
    second = Page(ask("/", gateway=link.rpartition("=")[2]).body.decode())
    guards = {os.path.realpath(gateways.root / name) for name in ("openclaw", "other")}
    assert all(guard in first.text and guard in second.text for guard in guards)
    for odd in ("-1", "99", "x", "9" * 400, "\u0663"):
        assert ask("/", gateway=odd).status == 200


def test_a_look_is_kept_for_a_moment_only(month, monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: seconds[0])
    routes = Routes()
    first = routes._look()
    assert routes._look() is first
    seconds[0] += 5
    assert routes._look() is not first
    routes.forget()
    assert routes._last is None


def test_a_file_says_itself_what_headers_would():
    text = make_document("t", "body", is_file=True)
    assert 'http-equiv="Content-Security-Policy"' in text
    assert "frame-ancestors" not in text
    assert "frame-ancestors" in POLICY


def test_causes_and_counts_have_names_that_stay():
    """They are labels of metrics: a rule somewhere asks for them."""
    assert "v8-heap-oom" in {each.value for each in Cause}
    assert {each.value for each in Count} >= {"starts", "deaths", "incidents", "actions"}
