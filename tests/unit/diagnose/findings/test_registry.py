"""Each thing that can be wrong is found, alone, and nothing is found where all is well.

A new finding is a line of `CASES`; without it, the last test fails.
"""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import tailflip
from tailflip.diagnose.findings.inputs import Inputs, JobList
from tailflip.diagnose.findings.registry import ENDED_BY_GOOD_LIFE, ENTRIES, find_all, merge, recall
from tailflip.flow.capabilities import EntryCap
from tailflip.flow.conditions import (
    DamagedDatabase,
    Disagreement,
    DwindlingRoom,
    GatewayLoop,
    HeldWork,
    JobStorm,
    MemoryDeath,
    MemoryTrend,
    NamedKiller,
    OverdueJob,
    RefusedStart,
    ReturnedEntries,
    SafeStart,
    Stand,
    Standstill,
    StoreGrowth,
    Storm,
    StuckJob,
    UnreadRecord,
    UnseenIncident,
)
from tailflip.flow.fill import REAPER_LIMIT_BYTES, Event, Fill, FilledStore
from tailflip.flow.findings import Code, Finding, Looked, Severity
from tailflip.flow.lives import Cause, Loop
from tailflip.flow.numbers import JobNumbers, SurveyNumbers, Tally
from tailflip.flow.observed import (
    ORPHANS,
    ArchiveUse,
    FileKind,
    Gateway,
    GoneProgram,
    Job,
    KeptFile,
    Leftover,
    ObservedStore,
    Store,
    Transcript,
    TranscriptFolder,
    Transcripts,
)
from tailflip.flow.outcomes import Forecast, HeapLimit, Trend
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.flow.work import WorkKind
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.listener import Listener
from tailflip.observe.host.space import Space
from tailflip.observe.installation import Installation

NOW = 1_800_000_000_000
MINUTE_MS = 60_000
STORE = Store(Path("/s/sessions.json"), "main")


def tally(name, entries):
    return Tally(name=name, entries=entries, bytes=entries)


def numbers(*jobs, entries=1, kinds=(), running=()):
    return SurveyNumbers(
        bytes=1000,
        entries=entries,
        digest="",
        wide=False,
        kinds=kinds,
        running=running,
        fields=(),
        jobs=jobs,
        jobs_untracked=0,
        duplicate=None,
        rules=(),
        entries_after=1,
        bytes_after=1000,
    )


def job(runs, span_ms, **status):
    return JobNumbers(
        agent="main",
        job="j1",
        runs=runs,
        bytes=1,
        first_ms=NOW,
        last_ms=NOW + span_ms,
        status=status,
    )


HERE = Installation(
    databases=(),
    state_dir=Path("/s"),
    config_path=Path("/s/openclaw.json"),
    config={},
    agents=("main",),
    stores=(STORE,),
    missing=(),
    retention_ms=None,
    retention_problem=None,
    cron_store=Path("/s/cron/jobs.json"),
    port=18789,
    tls=False,
    enforces=False,
    rotate_bytes=10 << 20,
)
SOUND = (ObservedStore(STORE, 1000, numbers(job(3, MINUTE_MS, done=3)), None),)
HEALTHY = Inputs(
    now_ms=NOW,
    installation=HERE,
    gateway=Gateway(False, None, None, "test"),
    stores=SOUND,
    surveyed=SOUND,
    entry_caps=(EntryCap(500, 550),),
    fills=(),
    kept=(),
    forecast=Forecast(100, 200, 22.0, "test"),
    jobs=JobList((Job("j1", "night", True),)),
    knows_ends=True,
    unread=(),
    damaged=(),
    temporaries=(),
    folders=(),
    transcripts=(),
    capabilities=find_capabilities((2026, 4, 14)),
    heap_limit=HeapLimit(1 << 30, "test"),
    spaces=(),
    archives=ArchiveUse(Path("/a"), 3, 300, "90d", "300"),
    gone_programs=(),
    listeners=(),
    storms=(),
    disagreements=(),
    stuck=(),
    overdue=(),
    growth=(),
    dwindling=(),
    returned=(),
    crash_loops=(),
    restart_loops=(),
    memory_deaths=(),
    memory_trends=(),
    refused_starts=(),
    safe_starts=(),
    mistakes=(),
    standstills=(),
    unseen_incidents=(),
    held_works=(),
    killers=(),
)
ALIVE = Gateway(True, 1, NOW, "test")
TWIN = Job("b", "x", True, does="does")
BAK = Leftover(Path("/s/sessions.json.bak.1"), 500, NOW)

KEPT = KeptFile(Path("/s/sessions.json"), "it is on record", "wait", sha256="ab")


def store(**changes):
    changed = (dataclasses.replace(SOUND[0], **changes),)
    return {"stores": changed, "surveyed": changed}


def here(**changes):
    return {"installation": dataclasses.replace(HERE, **changes)}


def filled(**changes):
    fill = Fill(**{"bytes": 1000, "free_bytes": 0, "log_bytes": 0, **changes})
    return {"fills": (FilledStore(Path("/s/a.sqlite"), fill),)}


def listed(*jobs, problem=None):
    return {"jobs": JobList(jobs, problem)}


LOOP = GatewayLoop("/s", Loop(Cause.V8_HEAP, "v8-heap-oom", 3, 90.0, NOW, NOW), ("SIGABRT",))
TREND = MemoryTrend("/s", Trend(1000.0, 600.0, 10**9, NOW + MINUTE_MS), MINUTE_MS)


def transcripts(size_bytes=1, headless=0):
    each = Transcript(Path("/s/a.jsonl"), size_bytes, NOW, "its first line is no JSON")
    heads = (each,) * headless
    return {"transcripts": (Transcripts(Path("/s"), 1, size_bytes, (each,), heads, headless),)}


CASES = {
    "store-too-big": store(size_bytes=STRING_LIMIT_CHARS + 1),
    "store-invalid": store(numbers=None, error="cut off", damaged=True, backups=(BAK,)),
    "store-missing": store(size_bytes=None, numbers=None, error="missing", backups=(BAK,)),
    "store-unreadable": store(size_bytes=None, numbers=None, error="Permission denied"),
    "heap-forecast": {"forecast": Forecast(201, 200, 22.0, "test")},
    "heap-close": {"forecast": Forecast(200, 200, 22.0, "test")},
    "entries-pushed-out": store(numbers=numbers(entries=550)),
    "rotation-trap": here(enforces=True, rotate_bytes=999),
    "cron-store-invalid": listed(problem="not valid JSON"),
    "database-damaged": {"damaged": (DamagedDatabase("/s/state/openclaw.sqlite", "malformed"),)},
    "safe-start": {"safe_starts": (SafeStart("/s", "without its channels", 3),)},
    "records-unread": {"unread": (UnreadRecord(("cron jobs",), "schema 99"),)},
    "runs-stuck": store(numbers=numbers(job(2, MINUTE_MS, running=2))),
    "job-rapid": store(numbers=numbers(job(11, 10 * MINUTE_MS - 1, done=11))),
    "marker-orphaned": listed(Job("j1", "night", True, running_at_ms=NOW - MINUTE_MS)),
    "leftovers": store(litter=(Leftover(Path("/s/x.tmp"), 5, 1),)),
    "import-waits": {"kept": (dataclasses.replace(KEPT, waits=True, plugins=("brave",)),)},
    "retained-source-changed": {"kept": (dataclasses.replace(KEPT, waits=True, is_changed=True),)},
    "store-on-record": {"kept": (KEPT,)},
    "owner-unknown": {"kept": (dataclasses.replace(KEPT, is_unknown=True),)},
    "retention-invalid": here(retention_problem="cron.sessionRetention: bad"),
    "disk-full": {"spaces": (Space(Path("/s"), 1, 5, 10**12),)},
    "archives-beyond": {"archives": ArchiveUse(Path("/a"), 3, 300, "90d", "false", 1)},
    "program-gone": {"gone_programs": (GoneProgram(Path("/s/oc.service"), "/gone/node"),)},
    "port-taken": {"listeners": (Listener(7, "python3", is_gateway=False),)},
    "chats-running": store(numbers=numbers(running=(tally("channel", 29),))),
    "kind-fills-store": store(numbers=numbers(entries=399, kinds=(tally("sub-agent", 200),))),
    "jobs-twin": listed(Job("a", "x", True, does="does"), TWIN),
    "folder-litter": {"folders": (TranscriptFolder(Path("/s"), (FileKind(ORPHANS, 1000, 5),)),)},
    "transcript-headless": transcripts(headless=1),
    "transcript-too-long": transcripts(STRING_LIMIT_CHARS + 1),
    "transcript-huge": transcripts((1 << 30) // 10 + 1),
    "job-storm": {"storms": (JobStorm("night", Storm(2075, NOW - 25 * MINUTE_MS, NOW), None),)},
    "ledgers-disagree": {"disagreements": (Disagreement("/s", 2, "task", ("is", "are")),)},
    "job-stuck": {"stuck": (StuckJob("j1", "night", NOW - 11 * MINUTE_MS, "why", True),)},
    "job-overdue": {"overdue": (OverdueJob("night", NOW - 20 * MINUTE_MS, None),)},
    "disk-ahead": {"dwindling": (DwindlingRoom("/s", 10**9, 2e8, 86_400_000, NOW),)},
    "store-growing": {"growth": (StoreGrowth("/s", 240.0, 2.4e7, 10, (), 10**9, NOW),)},
    "entries-resurrected": {"returned": (ReturnedEntries("/s", 2),)},
    "crash-loop": {"crash_loops": (LOOP,)},
    "restart-loop": {"restart_loops": (LOOP,)},
    "memory-elsewhere": {"memory_deaths": (MemoryDeath("/s", 100, None, False, ("a trace",)),)},
    "memory-trend": {"memory_trends": (TREND,)},
    "start-refused": {"refused_starts": (RefusedStart("/s", "it will die", "make room"),)},
    "settings-wrong": {"mistakes": ("/c.toml:2: heal.retntion: no such setting",)},
    "starts-stopped": {
        "standstills": (Standstill(Stand.STOPPED, "/s", "3 deaths", "wait", since_ms=1),)
    },
    "start-waits": {"standstills": (Standstill(Stand.WAITS, "/s", "soon", "wait", until_ms=9),)},
    "gateway-down": {"standstills": (Standstill(Stand.DOWN, "/s", "it ended", "start it"),)},
    "incident-open": {"unseen_incidents": (UnseenIncident("/s", "7", "its heap was full", 3, 1),)},
    "reaper-stopped": filled(expired_runs=2, expired_packed_bytes=REAPER_LIMIT_BYTES + 1),
    "entry-unreadable": filled(unreadable_nodes=1, unreadable_keys=("agent:main:x",)),
    "entry-unproven": filled(unproven_nodes=2, refused_nodes=1),
    "entry-contradicts": filled(contradicting_nodes=1),
    "event-unreadable": filled(unreadable_events=1, unreadable=(Event(None, "s", 3, 9),)),
    "database-bloat": filled(bytes=140_000_000, free_bytes=70_000_001),
    "job-held": {"held_works": (HeldWork(WorkKind.JOB, "j1", "night (j1)", "A1", 1),)},
    "session-held": {"held_works": (HeldWork(WorkKind.SESSION, "s1", "s1", "A1", 1),)},
    "work-kills": {"killers": (NamedKiller("g", "job j1", 3, "nobody allowed it"),)},
}
ERRORS = {
    "transcript-headless",
    "transcript-too-long",
    "database-damaged",
    "settings-wrong",
    "work-kills",
    "store-too-big",
    "store-invalid",
    "store-missing",
    "store-unreadable",
    "heap-forecast",
    "rotation-trap",
    "cron-store-invalid",
    "disk-full",
    "port-taken",
    "program-gone",
    "retained-source-changed",
    "reaper-stopped",
    "entry-unreadable",
    "entry-unproven",
    "entry-contradicts",
    "event-unreadable",
    "crash-loop",
    "restart-loop",
    "memory-elsewhere",
    "start-refused",
    "starts-stopped",
    "start-waits",
    "gateway-down",
    "incident-open",
}


def test_all_is_well():
    assert find_all(HEALTHY).findings == ()


@pytest.mark.parametrize("code", CASES)
def test_each_problem_is_found_alone(code):
    (found,) = find_all(dataclasses.replace(HEALTHY, **CASES[code])).findings
    assert found.code == code
    assert found.severity == ("error" if code in ERRORS else "warning")
    assert found.hint
    assert "\n" not in found.message


@pytest.mark.parametrize(
    "changes",
    [
        store(size_bytes=STRING_LIMIT_CHARS),
        store(size_bytes=None, numbers=None, error="missing"),
        store(numbers=numbers(job(11, 10 * MINUTE_MS, done=11))),
        store(numbers=numbers(job(10, 1, done=10))),
        {**store(numbers=numbers(job(2, MINUTE_MS, running=2))), "gateway": ALIVE},
        {**listed(Job("j1", "", True, running_at_ms=NOW - MINUTE_MS)), "gateway": ALIVE},
        {"forecast": Forecast(180, 200, 22.0, "test")},
        {"forecast": Forecast(10**12, None, 22.0, "test")},
        {"forecast": None},
        here(enforces=True, rotate_bytes=1000),
        {"spaces": (Space(Path("/s"), 1, 500_000_000, 10**12), Space(Path("/t"), 2, 101, 2020))},
        {"listeners": (Listener(7, "node", is_gateway=None),)},
        {"listeners": (Listener(7, "node", is_gateway=True),)},
        store(numbers=numbers(running=(tally("cron run", 29),))),
        {**store(numbers=numbers(running=(tally("main", 1),))), "gateway": ALIVE},
        store(numbers=numbers(entries=400, kinds=(tally("sub-agent", 200),))),
        store(numbers=numbers(entries=200, kinds=(tally("sub-agent", 199),))),
        store(numbers=numbers(entries=200, kinds=(tally("main", 200),))),
        listed(Job("a", "x", False, does="does"), TWIN),
        listed(Job("a", "x", True, does=""), Job("b", "x", True, does="")),
        filled(expired_runs=2, expired_bytes=10**9, expired_packed_bytes=REAPER_LIMIT_BYTES),
        filled(bytes=140_000_000, free_bytes=70_000_000),
        filled(bytes=100, free_bytes=60),
        filled(log_bytes=256_000_000),
        filled(unproven_nodes=2),
        {"folders": (TranscriptFolder(Path("/s"), (FileKind(ORPHANS, 999, 99_999_999),)),)},
        transcripts((1 << 30) // 10),
        {**transcripts(1 << 40, headless=1), "capabilities": find_capabilities((2026, 9, 6))},
        {**transcripts(400 << 20), "heap_limit": HeapLimit(None, "test")},
        {"folders": (TranscriptFolder(Path("/s"), (FileKind("transcript", 9999, 10**9),)),)},
    ],
)
def test_what_looks_alike_is_no_problem(changes):
    assert find_all(dataclasses.replace(HEALTHY, **changes)).findings == ()


BEYOND = "7.0 GB, more than archive.max_size (5gb)"


@pytest.mark.parametrize(
    ("use", "message", "hint"),
    [
        (
            ArchiveUse(Path("/a"), 3, 7 * 10**9, "90d", "5gb", 2, True, 2, 3 * 10**9),
            f"2 archives are older than archive.keep (90d); 3 archives take {BEYOND}",
            "`tailflip archive expire --beyond-limits` shows 2 that would go, with 3.0 GB",
        ),
        (
            ArchiveUse(Path("/a"), 1, 7 * 10**9, "false", "5gb", is_too_large=True),
            f"1 archive takes {BEYOND}",
            "none goes by itself",
        ),
    ],
)
def test_archives_beyond_their_limits_are_told_with_the_way_out(use, message, hint):
    (found,) = find_all(dataclasses.replace(HEALTHY, archives=use)).findings
    assert found.message == message
    assert found.hint.startswith(hint)


@pytest.mark.parametrize(
    ("heap_bytes", "is_known", "words"),
    [
        (300, True, "the gateway has 200 B: it is expected to die"),
        (300, False, "a guess gives it 200 B: it is expected to die"),
        (200, True, "100 % of its limit; the gateway has 200 B: it may die"),
        (200, False, "100 % of its limit; a guess gives it 200 B: it may die"),
    ],
)
def test_a_guessed_limit_is_called_a_guess(heap_bytes, is_known, words):
    forecast = Forecast(heap_bytes, 200, 22.0, "this shell, a guess", limit_known=is_known)
    (found,) = find_all(dataclasses.replace(HEALTHY, forecast=forecast)).findings
    assert words in found.message


def test_errors_come_first_and_jobs_have_their_names():
    night = Job("j1", "night", True)
    both = {**CASES["job-rapid"], **listed(night, problem="not valid JSON")}
    found = find_all(dataclasses.replace(HEALTHY, **both)).findings
    assert [finding.code for finding in found] == ["cron-store-invalid", "job-rapid"]
    assert found[1].subject == "night (j1)"


@pytest.mark.parametrize(
    ("undo", "hint"),
    [("A1", "`tailflip restore A1 --apply`"), (None, "its SHA-256 must be ab")],
)
def test_a_changed_store_on_record_is_told_with_what_gives_its_bytes_back(undo, hint):
    kept = dataclasses.replace(KEPT, waits=True, is_changed=True, undo=undo)
    (found,) = find_all(dataclasses.replace(HEALTHY, kept=(kept,))).findings
    assert hint in found.hint
    assert "exit 78" in found.message


def test_an_import_that_waits_names_its_plugins():
    kept = dataclasses.replace(KEPT, waits=True, plugins=("brave", "codex"))
    (found,) = find_all(dataclasses.replace(HEALTHY, kept=(kept,))).findings
    assert "brave, codex" in found.message
    assert found.hint == "`openclaw update repair`, then `openclaw doctor --fix`"


def test_a_large_log_is_told_beside_free_pages():
    both = filled(bytes=10**9, free_bytes=6 * 10**8, log_bytes=10**9)
    (found,) = find_all(dataclasses.replace(HEALTHY, **both)).findings
    assert found.message.startswith("600.0 MB of 1.0 GB are free pages")
    assert "the write-ahead log beside it has 1.0 GB" in found.message


def test_an_event_that_is_no_json_is_named():
    (found,) = find_all(dataclasses.replace(HEALTHY, **CASES["event-unreadable"])).findings
    assert found.evidence == ("no entry: session s, seq 3",)


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        ((2026, 3, 28), "error", "replaces the file by an empty one"),
        ((2026, 5, 28), "error", "replaces the file by an empty one"),
        (None, "error", "replaces the file by an empty one"),
        ((2026, 6, 1), "warning", "the gateway copies the file"),
        ((2026, 7, 35), "warning", "the gateway copies the file"),
    ],
)
def test_a_lost_header_is_an_error_where_the_next_message_destroys_the_file(
    version, severity, words
):
    """An unknown release may destroy it."""
    given = {**transcripts(headless=1), "capabilities": find_capabilities(version)}
    (found,) = find_all(dataclasses.replace(HEALTHY, **given)).findings
    assert (found.code, found.severity, found.subject) == ("transcript-headless", severity, "/s")
    assert words in found.message
    assert found.evidence == ("/s/a.jsonl: 1 B, its first line is no JSON",)
    assert "`tailflip reconcile headers" in found.hint


@pytest.mark.parametrize(
    ("size_bytes", "code", "words"),
    [
        (STRING_LIMIT_CHARS, "transcript-huge", "50 % of the heap of 1.1 GB: the gateway may die"),
        (
            200 << 20,
            "transcript-huge",
            "20 % of the heap of 1.1 GB: the gateway may answer nothing",
        ),
        (STRING_LIMIT_CHARS + 1, "transcript-too-long", "each message to its session fails"),
    ],
)
def test_a_transcript_is_weighed_against_the_heap(size_bytes, code, words):
    (found,) = find_all(dataclasses.replace(HEALTHY, **transcripts(size_bytes))).findings
    assert found.code == code
    assert words in found.message


# --- the registry


def test_every_code_has_an_entry_that_tells_all():
    assert set(ENTRIES) == set(Code)
    for code, entry in ENTRIES.items():
        assert entry.doc.endswith("."), code
        assert entry.doc[0].isupper(), code
        assert entry.hint, code
        assert not entry.hint.endswith("."), code
        assert isinstance(entry.severity, Severity), code
        assert entry.needs, code
        assert entry.rather is None or entry.rather in ENTRIES


def test_every_code_has_a_case_that_raises_it():
    assert set(CASES) == set(Code)


def test_a_rule_takes_its_inputs_as_they_are():
    """The parameters of a rule name its inputs: name and type are those of `Inputs`."""
    types = {field.name: field.type for field in dataclasses.fields(Inputs)}
    for code, entry in ENTRIES.items():
        for name in entry.needs:
            assert entry.find.__annotations__[name] == str(types[name]).removesuffix(" | None"), (
                code
            )
    used = {name for entry in ENTRIES.values() for name in entry.needs}
    assert used == set(types), "an input that no finding needs"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Inputs)])
def test_what_was_not_seen_is_not_looked_for(name):
    looked = find_all(dataclasses.replace(HEALTHY, **{name: None}))
    without = {code for code, entry in ENTRIES.items() if name in entry.needs}
    assert set(looked.not_looked_for) == without
    assert looked.codes == set(Code) - without


def test_nothing_seen_finds_nothing_and_looks_for_nothing():
    assert find_all(Inputs()) == Looked()


def test_a_storm_takes_the_place_of_the_same_jobs_runs():
    rapid = find_all(dataclasses.replace(HEALTHY, **CASES["job-rapid"]))
    storm = JobStorm("night (j1)", Storm(2075, NOW - 25 * MINUTE_MS, NOW), None)
    told = find_all(Inputs(storms=(storm,)))
    assert [each.code for each in merge(rapid, told).findings] == ["job-storm"]
    other = find_all(Inputs(storms=(dataclasses.replace(storm, title="noon (j2)"),)))
    assert {each.code for each in merge(rapid, other).findings} == {"job-rapid", "job-storm"}


def note(code, severity="error"):
    return Finding(code, severity, "s", "m", "h")


@pytest.mark.parametrize(
    ("code", "is_guarded", "died_of_memory", "counts"),
    [
        ("crash-loop", False, False, True),
        ("memory-elsewhere", True, False, False),
        ("memory-elsewhere", False, True, True),
        ("memory-trend", False, True, False),
        ("memory-trend", True, False, True),
        ("start-refused", False, False, False),
        ("of-a-later-release", False, False, True),
        ("disk-full", True, True, False),
    ],
)
def test_what_is_on_record_counts_as_long_as_its_entry_says(
    code, is_guarded, died_of_memory, counts
):
    """What was looked for is not recalled: it is over if it was not found."""
    look = find_all(Inputs(spaces=()))
    found = recall(look, [note(code)], is_guarded=is_guarded, died_of_memory=died_of_memory)
    assert [each.code for each in found.findings] == ([code] if counts else [])
    assert found.codes == look.codes


def test_a_good_life_ends_loops_of_deaths_and_what_is_said_of_memory():
    assert {"crash-loop", "memory-elsewhere", "safe-start", "work-kills"} == ENDED_BY_GOOD_LIFE


def test_findings_are_made_in_one_place():
    """A finding that a module made for itself was never seen by the others."""
    package = Path(tailflip.__file__).parent
    makers, spelled = set(), set()
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                makers |= {name} if node.func.id == "Finding" else set()
            if isinstance(node, ast.Constant) and node.value in {*Code} - {*Cause}:
                spelled.add(name)
    # The second reads what is on record.
    assert makers == {"diagnose/findings/registry.py", "ledger/findings.py"}
    assert spelled == {"flow/findings.py"}, "codes are members of Code"


def test_what_stops_a_job_is_told_with_its_id_wherever_its_runs_stand():
    """Of runs in a database it said "disable it", and not how."""
    [found] = find_all(dataclasses.replace(HEALTHY, **CASES["job-rapid"])).findings
    [job] = CASES["job-rapid"]["surveyed"][0].numbers.jobs
    assert f"`openclaw cron disable {job.job}` stops it" in found.hint


@pytest.mark.parametrize(
    ("free_bytes", "total_bytes", "severity"),
    [
        (500_000_000, 10**12, None),
        (499_999_999, 10**12, "warning"),
        (64 << 20, 10**12, "warning"),
        ((64 << 20) - 1, 10**12, "error"),
        (50_000_000, 10**9, None),  # a small one, of which a twentieth is free
        (49_999_999, 10**9, "error"),
    ],
)
def test_a_disk_is_low_before_it_is_full(free_bytes, total_bytes, severity):
    found = find_all(Inputs(spaces=(Space(Path("/s"), 1, free_bytes, total_bytes),))).findings
    assert [each.severity for each in found] == ([] if severity is None else [severity])
