"""What becomes of each entry, against a model that holds the whole store in lists and sorts them.

The model knows nothing of passes, thresholds or byte ranges. It is written from what the rules
say of themselves: docs/what-it-touches.md, `plan.policy`, `flow` and the members of `Policy` and
`Rule` in rust/store/src/judge/policy.rs.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, event, given, seed, settings
from hypothesis import strategies as st

from support.fuzzing import fuzzed
from support.stores import HOUR_MS, NOW_MS, split_members
from tailflip import _native
from tailflip.flow.observed import Evidence, Gateway, OverRun
from tailflip.flow.rules import Rule
from tailflip.plan.policy import DropKind, Policy
from tailflip.stores.json import native
from tailflip.stores.records import read_headers
from tailflip.stores.tables import Ends

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_S = _native.MAX_KEY_BYTES + 2  # a key or text with its quotes; longer ones are not read
PRESUMED_ALIVE_MS = HOUR_MS
SLIMMED = {"skillsSnapshot", "systemPromptReport"}
RETIRED = {"status", "endedAt", "runtimeMs"}
TIMES = ("updatedAt", "startedAt", "endedAt")
TEXTS = ("sessionId", "sessionFile", "status")
LOOKED_AT = {*TIMES, *TEXTS, "runtimeMs", *SLIMMED}
OVERRIDES = [
    *("providerOverride", "modelOverride", "authProfileOverride", "thinkingLevel", "fastMode"),
    *("verboseLevel", "reasoningLevel", "elevatedLevel", "traceLevel", "ttsAuto", "execHost"),
    *("execSecurity", "execAsk", "execNode", "responseUsage", "sendPolicy", "groupActivation"),
    *("queueMode", "queueCap", "queueDrop"),
]

Pairs = list[tuple[str, Any]]


# --- the model ---------------------------------------------------------------------------


@dataclass
class Fate:
    """What becomes of an entry; neither dropped nor edited: it stays."""

    dropped: Rule | None = None
    slim: bool = False
    retire: dict[str, Any] | None = None

    @property
    def rules(self) -> list[Rule]:
        edits = [Rule.SLIM] * self.slim + [Rule.RETIRE] * (self.retire is not None)
        return edits if self.dropped is None else [self.dropped]

    @property
    def archived_as(self) -> str:
        return "+".join(sorted(self.rules))


@dataclass
class Known:
    """One entry as the model sees it.

    For cron runs: `end` is what the run log says, `is_proven` that it or a dead gateway proves it
    over, `is_finished` that it is proven or at least older than anything lives.
    """

    at: int
    key: str
    pairs: Pairs | None  # None: the value is no object
    fate: Fate = field(default_factory=Fate)
    end: OverRun | None = None
    is_proven: bool = False
    is_finished: bool = False
    is_untold: bool = False

    def get(self, name: str) -> Any:
        return dict(self.pairs or ()).get(name)

    def read_time(self, name: str) -> int | None:
        return read_time(self.get(name))

    @property
    def run(self) -> tuple[str, str, str] | None:
        """Agent, job and session, if the key is exactly a cron run's."""
        parts = self.key.split(":")
        if len(parts) != 6 or not all(parts) or parts[::2] != ["agent", "cron", "run"]:
            return None
        return parts[1], parts[3], parts[5]

    @property
    def disposable(self) -> str | None:
        """Which kind that a person may name it is of, if any."""
        parts = self.key.split(":")
        if len(parts) < 3 or not all(parts) or parts[0] != "agent":
            return None
        if parts[2] == "subagent":
            return "subagent"
        names = parts[2].split("-")
        is_dream = len(parts) == 3 and len(names) == 5 and names[:2] == ["dreaming", "narrative"]
        return "dream" if is_dream else None

    @property
    def sessions(self) -> set[str]:
        """The sessions that it may be of; of two ids the gateway takes the last."""
        last = dict(self.pairs or ()).get("sessionId")
        return ({last} if is_text(last) else set()) | ({self.run[2]} if self.run else set())

    @property
    def seen_ms(self) -> int | None:
        found = [ms for name in TIMES[:2] if (ms := self.read_time(name)) is not None]
        return max(found, default=None)

    @property
    def age_ms(self) -> int:
        return NOW_MS - self.seen_ms

    @property
    def over_for_ms(self) -> int:
        return self.age_ms if self.end is None else min(self.age_ms, NOW_MS - self.end.ended_at_ms)

    @property
    def is_running(self) -> bool:
        return self.get("status") == "running"

    @property
    def has_override(self) -> bool:
        return any(name in OVERRIDES for name, _ in self.pairs or ())

    @property
    def is_odd(self) -> bool:
        """A field that is looked at occurs twice, or is not what it should be."""
        names = [name for name, _ in self.pairs or () if name in LOOKED_AT]
        return (
            len(names) != len(set(names))
            or any(self.read_time(name) is None for name in TIMES if name in names)
            or any(not is_text(self.get(name)) for name in TEXTS if name in names)
        )


def is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(value.encode()) + 2 <= LONGEST_S
    except UnicodeEncodeError:
        return False


def read_time(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return int(value) if abs(value) < 9e15 else None


def judge(case: Case) -> list[Known]:
    """Give every entry of a store its fate."""
    policy, evidence = case.policy, case.evidence
    entries = case.read()
    over = {(run.key, run.session_id): run for run in case.over}
    gateway = evidence.gateway
    died_ms = NOW_MS if gateway.alive is False else gateway.started_ms
    rest = []
    for entry in entries:
        if not is_text(entry.key) or entry.key in evidence.protected_keys:
            continue
        if not evidence.live_sessions.isdisjoint(entry.sessions):
            continue
        if entry.key in evidence.dropped_keys:
            entry.fate.dropped = Rule.NAMED
        elif entry.pairs is not None and not entry.is_odd and entry.seen_ms is not None:
            rest.append(entry)
    for entry in rest:
        if entry.run is None:
            judge_other(entry, policy, over.get((entry.key, entry.get("sessionId"))), died_ms)
            continue
        lifetime_ms = policy.max_lifetime_ms
        lifetime_ms = PRESUMED_ALIVE_MS if lifetime_ms is None else lifetime_ms
        entry.end = over.get((entry.key, None))
        entry.is_proven = entry.end is not None or (died_ms is not None and entry.seen_ms < died_ms)
        entry.is_finished = entry.is_proven or entry.age_ms > lifetime_ms
        entry.is_untold = entry.is_running and entry.end is None and not evidence.knows_ends
    runs = [entry for entry in rest if entry.run is not None]
    # How it ended may be on record where nobody has read; that it ended is proven by its owner.
    judge_runs([run for run in runs if run.is_proven or not run.is_untold], policy, died_ms)
    return entries


def judge_other(entry: Known, policy: Policy, over: OverRun | None, died_ms: int | None) -> None:
    """Judge what is no cron run: it is removed only when its kind was named."""
    if not (policy.retire and over is not None and over.session_id):
        over = None
    oldest = [ms for kind, ms in policy.drop_kinds if kind == entry.disposable]
    if oldest and entry.age_ms > oldest[0]:
        if entry.is_running:
            finished = over is not None or (died_ms is not None and entry.seen_ms < died_ms)
        elif entry.get("status") in ("done", "failed", "killed", "timeout"):
            finished = True
        else:
            finished = entry.age_ms > PRESUMED_ALIVE_MS
        if finished:
            entry.fate.dropped = Rule.DROP_KIND
            return
    limit = policy.slim_idle_ms
    slim(entry, limit is not None and entry.age_ms > limit)
    if entry.is_running and over is not None:
        retire(entry, over.status, over.ended_at_ms, over.runtime_ms)


def judge_runs(runs: list[Known], policy: Policy, died_ms: int | None) -> None:
    if policy.max_lifetime_ms is not None:
        unknown = [run for run in runs if run.is_running and run.end is None and not run.is_untold]
        drop((run for run in unknown if run.age_ms > policy.max_lifetime_ms), Rule.FORCE_EXPIRE)
    if policy.retention_ms is not None:
        ended = [run for run in runs if run.is_finished]
        drop((run for run in ended if run.over_for_ms > policy.retention_ms), Rule.EXPIRE)
    runs = [run for run in runs if run.fate.dropped is None]

    flying = [run for run in runs if run.is_running and not run.is_proven]
    if policy.single_flight:
        for rivals in by_job(flying):
            drop(newest_first(rivals)[1:], Rule.SINGLE_FLIGHT)

    finished = [run for run in runs if run.is_finished and run not in flying]
    # What a person set something on is neither counted nor capped nor slimmed.
    plain = [run for run in finished if not run.has_override]
    for rivals in by_job(plain):
        drop(newest_first(rivals)[policy.cap_per_job or len(rivals) :], Rule.CAP_PER_JOB)
    drop(newest_first(plain)[policy.cap_total or len(plain) :], Rule.CAP_TOTAL)

    for run in finished:
        if run.fate.dropped is None:
            slim(run, policy.slim and run in plain)
            if policy.retire and run.is_running and not run.is_untold:
                retire_run(run, died_ms)


def retire_run(run: Known, died_ms: int | None) -> None:
    if run.end is not None:
        retire(run, run.end.status, run.end.ended_at_ms, run.end.runtime_ms)
        return
    assert died_ms is not None
    began_ms = run.read_time("startedAt")
    took_ms = died_ms - (run.seen_ms if began_ms is None else began_ms)
    retire(run, "killed", died_ms, took_ms)


def drop(entries: Iterable[Known], rule: Rule) -> None:
    for entry in entries:
        entry.fate.dropped = entry.fate.dropped or rule


def newest_first(entries: list[Known]) -> list[Known]:
    """Of two that were seen at the same moment the later one in the store is the newer."""
    return sorted(entries, key=lambda entry: (entry.seen_ms, entry.at), reverse=True)


def by_job(runs: list[Known]) -> list[list[Known]]:
    groups = defaultdict(list)
    for entry in runs:
        groups[entry.run[:2]].append(entry)
    return list(groups.values())


def slim(entry: Known, is_due: bool) -> None:
    entry.fate.slim = is_due and any(name in SLIMMED for name, _ in entry.pairs)


def retire(entry: Known, status: str, ended_ms: int, runtime_ms: int) -> None:
    entry.fate.retire = {"status": status, "endedAt": ended_ms, "runtimeMs": runtime_ms}


# --- stores ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A store as text, and what it is judged by."""

    members: tuple[tuple[str, str], ...]  # keys and values, both as JSON text
    comma: str
    policy: Policy
    evidence: Evidence
    over: tuple[OverRun, ...]

    @property
    def data(self) -> bytes:
        return ("{" + self.comma.join(f"{k}:{v}" for k, v in self.members) + "}").encode()

    def read(self) -> list[Known]:
        found = []
        for at, (key, text) in enumerate(self.members):
            value = json.loads(text, object_pairs_hook=list)
            is_object = text.startswith("{")
            found.append(Known(at, json.loads(key), value if is_object else None))
        return found


LENGTHS = [0, HOUR_MS // 2, HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS]
ages = st.sampled_from([*LENGTHS * 2, *LENGTHS[:3], 1, -HOUR_MS, HOUR_MS + 1, 2 * HOUR_MS + 1])
times = ages.map(lambda age_ms: NOW_MS - age_ms)
limits = st.sampled_from([None, None, None, *LENGTHS, LENGTHS[-1], LENGTHS[-1]])
marks = st.sampled_from(
    ["none"] * 14 + ["over"] * 12 + ["live", "keep", "drop", "drop", "keep, drop", "live, drop"]
)
dropped_kinds = st.sampled_from([(), tuple(DropKind), tuple(DropKind), (DropKind.DREAM,)])
often = st.sampled_from([True, True, True, False])
sessions = st.sampled_from(["s0", "s1", "s2", "s3"])
ends = st.sampled_from(["done", "failed", "timeout", "killed"])
jobs = st.sampled_from([*["agent:a:cron:b"] * 5, "agent:b:cron:a", "agent:a:cron:a"])
others = st.sampled_from(
    [
        *(f"agent:{agent}:cron:{job}" for agent in "ab" for job in "ab"),
        "agent:a:main",
        "global",
        "agent:a:direct:peer",
        "agent:a:telegram:group:-1:topic:2",
        *("agent:a:subagent:x", "agent:a:subagent:y:z", "agent:a:subagent"),
        "agent:a:dreaming-narrative-light-0123456789ab-1732800000001",
        "agent:a:dreaming-narrative-light-0123456789ab-17:more",
        "agent:a:dreaming-narrative-light-0123456789ab",
        "agent:a:acp:x",
        "agent:a:cron:b:run:s1:more",
        "agent:a:cron:b:run:",
        "agent:a:cron:b:run",
        "agent::cron:b:run:s1",
        "Agent:a:cron:b:run:s1",
        "agent:a:CRON:b:run:s1",
        "cron:b:run:s1",
        "",
        "agent:a:cron:b:run:\ud800",
        "agent:a:cron:b:run:" + "x" * LONGEST_S,
        "agent:a:cron:b:run:\U0001f600\n",
    ]
)
disposables = st.sampled_from(["agent:a:subagent:", "agent:a:dreaming-narrative-rem-0123ab-"])
strange = st.sampled_from(
    [
        *(None, True, 0, -1, 1.5, "", "running", "x" * LONGEST_S, "\ud800", [], {}),
        *(2**53, 2**63 - 1, 2**63, 1e300, -1e300, NOW_MS + 0.5, {"status": "running"}),
    ]
)
report = st.sampled_from([None, {}, "p" * 30, {"status": ["running", 1]}])


@st.composite
def values(draw: st.DrawFn) -> Any:
    """An entry's members, mostly as the gateway writes them, or what is no object."""
    pairs: Pairs = [("sessionId", draw(sessions)), ("updatedAt", draw(times))]
    status = draw(st.sampled_from([*["running"] * 5, "done", "done", "failed", "new", None]))
    shape = draw(st.integers(0, 63))
    further = [
        ("status", st.just(status), status is not None),
        ("startedAt", times, shape & 1),
        ("skillsSnapshot", report, shape & 2),
        ("systemPromptReport", report, shape & 4),
        ("endedAt", times, shape & 24 == 24),
        ("runtimeMs", times, shape & 20 == 20),
        (draw(st.sampled_from([*OVERRIDES, "label", "Status"])), strange, shape & 40 == 40),
    ]
    pairs += [(name, draw(choices)) for name, choices, is_there in further if is_there]
    how = draw(st.sampled_from(["as it is"] * 16 + ["less", "twice", "strange", "no object"]))
    if how == "no object":
        return draw(st.sampled_from([None, 7, "running", [], [["status", "running"]]]))
    at = draw(st.integers(0, len(pairs) - 1)) if how != "as it is" else 0
    name, value = pairs[at]
    if how == "less":
        del pairs[at]
    elif how == "twice":
        pairs.append((name, draw(strange | st.just(value) | sessions)))
    elif how == "strange":
        pairs[at] = (name, draw(strange))
    if draw(st.booleans()):
        pairs.reverse()
    return tuple(pairs)


def write_text(value: Any, how: int) -> str:
    """Write JSON in one of its ways."""
    text = json.dumps(value)
    if how and isinstance(value, str) and value[:1].isalpha() and len(value) < LONGEST_S // 2:
        return f'"\\u{ord(value[0]):04X}{text[2:]}'
    return text


def write_value(value: Any, how: int) -> str:
    if not isinstance(value, tuple):
        return json.dumps(value)
    space = ["", " ", "\n    ", "\t"][how % 4]
    colon = ["", " "][how // 4 % 2]
    inner = ",".join(
        f"{space}{write_text(name, how // 8)}:{colon}{write_text(each, how // 8)}"
        for name, each in value
    )
    return "{" + inner + space + "}"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    members, over, live, protected, dropped = [], [], set(), set(), set()
    keys = set()
    for at in range(draw(st.sampled_from([12, 12, 9, 9, 6, 3, 1]))):
        how = draw(st.sampled_from(["run"] * 6 + ["other", "disposable", "disposable"]))
        key = {
            "run": lambda at: f"{draw(jobs)}:run:s{at}",
            "other": lambda _: draw(others),
            "disposable": lambda at: f"{draw(disposables)}{at}",
        }[how](at)
        if key in keys:
            continue  # a store with a key twice is refused
        keys.add(key)
        value = draw(values())
        how = draw(st.sampled_from([0, 0, 0, 1, 2, 3, 6, 8]))
        members.append((write_text(key, how // 8), write_value(value, how)))
        mark = draw(marks)
        if "\ud800" in key:
            continue  # nobody can name it
        if mark == "over":
            is_run = Known(0, key, None).run is not None
            session = None if is_run or not draw(st.integers(0, 3)) else draw(sessions)
            end_ms, took_ms = draw(times), draw(st.sampled_from(LENGTHS))
            over.append(OverRun(key, draw(ends), end_ms, took_ms, session))
        if mark in ("live", "live, drop"):
            live.add(key.rpartition(":")[2] if draw(st.booleans()) else draw(sessions))
        if mark in ("keep", "keep, drop"):
            protected.add(key)
        if mark in ("drop", "keep, drop", "live, drop"):
            dropped.add(key)
    return Case(
        members=tuple(members),
        over=tuple(over),
        comma=draw(st.sampled_from([",", ", ", ",\n  ", "\n,"])),
        policy=Policy(
            slim=draw(often),
            slim_idle_ms=draw(limits),
            retire=draw(often),
            retention_ms=draw(limits),
            max_lifetime_ms=draw(limits),
            single_flight=draw(often),
            cap_per_job=draw(st.sampled_from([1, 2, 1, None])),
            cap_total=draw(st.sampled_from([1, 2, 3, 1, None])),
            drop_kinds=tuple(
                (kind, draw(st.sampled_from([0, 0, *LENGTHS]))) for kind in draw(dropped_kinds)
            ),
        ),
        evidence=Evidence(
            gateway=Gateway(
                alive=draw(st.sampled_from([True, True, True, False, None])),
                pid=None,
                started_ms=draw(st.none() | times),
                evidence="test",
            ),
            over=Ends.of(over),
            live_sessions=frozenset(live),
            protected_keys=frozenset(protected),
            dropped_keys=frozenset(dropped),
            knows_ends=draw(st.sampled_from([*[True] * 15, False])),
        ),
    )


# --- the two, side by side ---------------------------------------------------------------


def without(pairs: Pairs, names: set[str]) -> str:
    return repr([pair for pair in pairs if pair[0] not in names])


def assert_edited(before: str, after: str, fate: Fate) -> None:
    """Slimming leaves two fields out, retiring sets three; all others stay in their order."""
    old, new = (json.loads(text, object_pairs_hook=list) for text in (before, after))
    changed = (SLIMMED if fate.slim else set()) | (RETIRED if fate.retire else set())
    assert without(new, changed) == without(old, changed)
    found = {name: value for name, value in new if name in changed}
    assert repr(sorted(found.items())) == repr(sorted((fate.retire or {}).items()))
    assert len(found) == sum(name in changed for name, _ in new)


@fuzzed(300)
@given(case=cases())
def test_every_entry_fares_as_the_model_says(case: Case) -> None:
    entries = judge(case)
    counts = Counter(rule for entry in entries for rule in entry.fate.rules)
    for rule in counts:
        event(rule)

    with (
        tempfile.TemporaryFile() as store,
        tempfile.TemporaryFile() as new,
        tempfile.TemporaryFile() as kept,
    ):
        store.write(case.data)
        store.flush()
        surveyed = native.survey(store.fileno(), case.policy, case.evidence, NOW_MS)
        numbers = native.rewrite(store.fileno(), new.fileno(), kept.fileno(), surveyed)
        after = split_members(new.read() if not new.seek(0) else b"")
        headers = list(read_headers(kept.fileno()))

    assert {tally.name: tally.entries for tally in surveyed.numbers.rules} == counts
    assert surveyed.numbers.rules == numbers.rules
    assert surveyed.numbers.entries_after == numbers.entries == len(after)
    assert surveyed.numbers.bytes_after == numbers.bytes

    touched = [entry for entry in entries if entry.fate.rules]
    assert [(h.key, h.rule) for h in headers] == [(e.key, e.fate.archived_as) for e in touched]
    for header, entry in zip(headers, touched, strict=True):
        end = header.at + header.bytes
        raw = case.data[header.at + header.lead : end - header.trail]
        assert raw.decode() == ":".join(case.members[entry.at])

    staying = [entry for entry in entries if entry.fate.dropped is None]
    assert [key for key, _ in after] == [entry.key for entry in staying]
    for entry, (_, text) in zip(staying, after, strict=True):
        before = case.members[entry.at][1]
        if entry.fate.rules:
            assert_edited(before, text, entry.fate)
        else:
            assert text == before


def test_every_rule_is_met_often() -> None:
    """A model that the examples never take to its rules would agree with anything."""
    met: Counter[str] = Counter()

    @seed(1)
    @settings(
        max_examples=600,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases())
    def look(case: Case) -> None:
        met.update({rule for entry in judge(case) for rule in entry.fate.rules})
        met["examples"] += 1

    look()
    shares = {rule.value: met[rule] / met["examples"] for rule in Rule}
    assert min(shares.values()) > 0.04, shares
