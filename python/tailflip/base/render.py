"""Formats values as text for people and as JSON for programs. Prints nothing.

Text out of a store (keys, job names, paths) is hostile: pass it through `escape` before it
reaches a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from typing import TYPE_CHECKING

from tailflip.base.errors import (
    ArchiveDamaged,
    CannotCreate,
    ConfigInvalid,
    InternalError,
    Interrupted,
    IoFailed,
    NoPermission,
    OnRecord,
    StoreChanged,
    StoreInvalid,
    TailflipError,
    Terminated,
    TryLater,
    Unavailable,
    Usage,
)
from tailflip.base.layout import lay_out_table
from tailflip.base.terminal import find_width
from tailflip.base.units import (
    format_bytes,
    format_count,
    format_counted,
    format_span,
    format_time,
)
from tailflip.flow.late import dataclass
from tailflip.flow.rules import ONLINE, Repair, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.flow.findings import Finding
    from tailflip.flow.maintenance import Maintenance
    from tailflip.flow.numbers import JobNumbers, SurveyNumbers, Tally
    from tailflip.flow.observed import Gateway, Store
    from tailflip.flow.outcomes import Forecast, Report

_WHAT_RULES_DO: dict[str, str] = {
    Rule.SLIM: "cut the skills prompt and prompt report, which the gateway rebuilds",
    Rule.RETIRE: "mark runs over that are proven over",
    Rule.EXPIRE: "remove finished runs older than the retention",
    Rule.FORCE_EXPIRE: 'remove runs "running" for too long without a sign of life',
    Rule.SINGLE_FLIGHT: 'remove all but the newest of a job\'s "running" runs',
    Rule.CAP_PER_JOB: "remove the oldest runs of jobs that have too many",
    Rule.CAP_TOTAL: "remove the oldest runs of all",
    Rule.DROP_KIND: "remove finished entries of the kinds that you named",
    Rule.NAMED: "remove what was named",
    ONLINE: "runs of a dead gateway, which the living one deletes",
    Repair.PROVE: "let the gateway prove the entries anew that it refuses unproven",
    Repair.QUARANTINE: "take out rows that are no JSON, which the gateway cannot read",
    Repair.FREE_PAGES: "give pages without use back to the disk",
}
# The next step for an error that brings no hint: by its class, else by the nearest class above.
_HINTS: dict[type[TailflipError], str] = {
    Usage: "see `tailflip --help`",
    StoreInvalid: "its bytes are intact; see what stands there before going on",
    OnRecord: "leave it to the gateway: `openclaw doctor --fix` takes the file over",
    ArchiveDamaged: "see what is whole with `tailflip archive verify`",
    Unavailable: "see whether the service runs",
    InternalError: "please report it; TAILFLIP_TRACEBACK=1 shows more",
    CannotCreate: "free some room, or set TAILFLIP_STATE_DIR elsewhere",
    IoFailed: "look at the disk and the system's log before trying again",
    TryLater: "try again in a moment",
    StoreChanged: "the gateway writes it now; try again, or stop the gateway first",
    NoPermission: "run as the user the gateway runs as",
    ConfigInvalid: "correct the configuration; nothing was changed",
    Interrupted: "run it again when you like; nothing is left half done",
    Terminated: "run it again; nothing is left half done",
}
_SHOWN_FIELDS = 6
_SHOWN_JOBS = 20
_FIRST_STATUSES = ("running", "done", "failed")
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def escape(text: str | os.PathLike[str]) -> str:
    r"""Make text safe for a terminal: controls, bidi marks and lone surrogates as `\x1b`."""
    return "".join(
        char if unicodedata.category(char) not in _HIDDEN_CATEGORIES else _escape_char(char)
        for char in os.fspath(text)
    )


def _escape_char(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    for limit, pattern in ((0xFF, "\\x{:02x}"), (0xFFFF, "\\u{:04x}")):
        if code <= limit:
            return pattern.format(code)
    return f"\\U{code:08x}"


def to_json(value: object) -> str:
    """Write any of our values as one JSON document; keys are the field names."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - for --json alone

    from tailflip.flow.values import to_plain  # noqa: PLC0415 - likewise

    try:
        return json.dumps(to_jsonable_python(value), indent=2)
    except UnicodeEncodeError:
        # A lone surrogate, which JSON can hold and UTF-8 cannot; Python's own writer can.
        return json.dumps(to_plain(value), indent=2)


def choose_hint(error: TailflipError) -> str:
    """Choose the next step: the error's own, else that of its class."""
    known = (_HINTS[each] for each in type(error).__mro__ if each in _HINTS)
    return error.hint or next(known, _HINTS[InternalError])


def format_error(error: TailflipError) -> str:
    """Write an error as one line, or a line for each of its problems, and its hint as another."""
    told = getattr(error, "problems", ()) or (error.message,)
    lines = [f"error: {escape(each)}" for each in told]
    return "\n".join([*lines, f"hint: {escape(choose_hint(error))}"])


def format_store(store: Store) -> str:
    """Name a store: its path and its agent."""
    return escape(f"{store.path} (agent {store.agent_id})" if store.agent_id else store.path)


def format_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "  ", left: int = 1
) -> str:
    """Align columns: the first `left` to the left, all others to the right.

    What is wider than the terminal becomes a list.
    """
    return lay_out_table(head, rows, indent=indent, left=left, width=find_width(sys.stdout))


@dataclass(frozen=True)
class JobView:
    """The cells of a job's row beside its numbers; `interval_ms` is None for too few runs."""

    numbers: JobNumbers
    name: str
    interval_ms: float | None
    rapid: bool


def format_survey(numbers: SurveyNumbers, jobs: Sequence[JobView], now_ms: int) -> str:
    """Show the bytes of a store by job, by kind of entry and by field."""
    parts = []
    if jobs:
        parts.append(_format_jobs(jobs, now_ms))
    if numbers.jobs_untracked:
        parts.append(f"  and {format_counted(numbers.jobs_untracked, 'run')} of further jobs")
    parts.append(format_kinds(numbers))
    top = sorted(numbers.fields, key=lambda field: -field.bytes)[:_SHOWN_FIELDS]
    if top:
        parts.append(_format_tallies("field", top, numbers.bytes))
    return "\n\n".join(parts)


def _format_jobs(jobs: Sequence[JobView], now_ms: int) -> str:
    ordered = sorted(jobs, key=lambda job: -job.numbers.bytes)
    shown, rest = ordered[:_SHOWN_JOBS], ordered[_SHOWN_JOBS:]
    seen = {status for job in shown for status in job.numbers.status}
    statuses = [*_FIRST_STATUSES, *sorted(seen - {*_FIRST_STATUSES, "-"}), "-"]
    statuses = [status for status in statuses if status in seen]
    head = ["cron job", "runs", *("none" if s == "-" else s for s in statuses)]
    head += ["span", "newest", "every", "bytes", ""]
    rows = [[*_job_cells(job, statuses, now_ms)] for job in shown]
    table = format_table([escape(cell) for cell in head], rows)
    if rest:
        runs = sum(job.numbers.runs for job in rest)
        size = sum(job.numbers.bytes for job in rest)
        table += (
            f"\n  and {format_counted(len(rest), 'more job')}: "
            f"{format_counted(runs, 'run')}, {format_bytes(size)}"
        )
    return table


def _job_cells(job: JobView, statuses: Sequence[str], now_ms: int) -> Iterator[str]:
    numbers = job.numbers
    yield escape(job.name)
    yield format_count(numbers.runs)
    for status in statuses:
        yield format_count(numbers.status[status]) if status in numbers.status else ""
    first_ms, last_ms = numbers.first_ms, numbers.last_ms
    if first_ms is not None and last_ms is not None and numbers.runs > 1:
        yield format_span(last_ms - first_ms)
    else:
        yield ""
    yield f"{format_span(max(0, now_ms - last_ms))} ago" if last_ms is not None else ""
    yield format_span(job.interval_ms) if job.interval_ms is not None else ""
    yield format_bytes(numbers.bytes)
    yield "rapid retry" if job.rapid else ""


def _format_tallies(title: str, tallies: Sequence[Tally], whole_bytes: int) -> str:
    rows = [
        [
            escape(tally.name),
            format_count(tally.entries),
            format_bytes(tally.bytes),
            f"{100 * tally.bytes / max(1, whole_bytes):.0f} %",
        ]
        for tally in tallies
    ]
    return format_table([title, "entries", "bytes", "of store"], rows)


def format_forecast(forecast: Forecast, *, is_second: bool = False) -> str:
    """Show the predicted heap, the limit, and what follows from them.

    Args:
        forecast: the prediction.
        is_second: the line above told the same release and limit, which are left out.
    """
    need = f"about {format_bytes(forecast.heap_bytes)} of heap to load"
    verdict = _judge_forecast(forecast)
    if is_second:
        return f"{need}: {verdict}"
    if forecast.doubt is not None:
        need += f", {forecast.doubt}"
    if forecast.limit_bytes is None:
        return f"{need}; its limit is {escape(forecast.source)}: {verdict}"
    limit = f"{format_bytes(forecast.limit_bytes)} ({escape(forecast.source)})"
    return f"{need}; the limit {'is' if forecast.limit_known else 'may be'} {limit}: {verdict}"


def _judge_forecast(forecast: Forecast) -> str:
    if not forecast.limit_known and forecast.over:
        return "it will not fit then"
    if forecast.limit_bytes is None or not forecast.limit_known:
        return "whether it fits is not known"
    if forecast.over:
        return "it will not fit"
    if forecast.close:
        return f"it fits, with less than {100 * (1 - forecast.margin):.0f} % to spare"
    return "it fits"


def format_gateway(gateway: Gateway) -> str:
    """Say whether a gateway runs, with the evidence."""
    state = {True: "running", False: "not running", None: "perhaps running"}[gateway.alive]
    return f"{state} ({escape(gateway.evidence)})"


def format_maintenance(maintenance: Maintenance) -> str:
    """Say in a clause that a maintenance lasts, and until when; the caller escapes it."""
    why = f" ({maintenance.reason})" if maintenance.reason else ""
    what = "maintenance, alerts alone," if maintenance.quiet_only else "maintenance"
    return f"{what} until {format_time(maintenance.until_ms)}{why}"


def format_kinds(numbers: SurveyNumbers) -> str:
    """Show which kinds of entries fill a store."""
    return _format_tallies("kind of entry", numbers.kinds, numbers.bytes)


def format_rules(rules: Sequence[Tally]) -> str:
    """Show what each rule or repair does, and why, from least to most lossy."""
    order = {name: index for index, name in enumerate(_WHAT_RULES_DO)}
    repairs = frozenset(Repair)
    done = [rule for rule in rules if rule.entries or rule.bytes]
    done.sort(key=lambda rule: order.get(rule.name, len(order)))
    width = max((len(rule.name) for rule in done), default=0)
    lines = []
    for rule in done:
        what = _WHAT_RULES_DO.get(rule.name, "")
        noun = "row" if rule.name in repairs else "entry"
        count = (format_counted(rule.entries, noun) if rule.entries else "").rjust(14)
        size = format_bytes(rule.bytes).rjust(10)
        lines.append(f"  {rule.name.ljust(width)}{count}{size}  {what}".rstrip())
    return "\n".join(lines)


def format_change(
    entries: tuple[int, int], sizes_bytes: tuple[int, int], *, is_bound: bool = False
) -> str:
    """Write entries and bytes before and after in one line; `is_bound`: it may be less."""
    most = "at most " if is_bound else ""
    return (
        f"{format_counted(entries[0], 'entry')} -> {format_count(entries[1])}, "
        f"{format_bytes(sizes_bytes[0])} -> {most}{format_bytes(sizes_bytes[1])}"
    )


def format_report(report: Report) -> str:
    """Say what was done, where the removed bytes are, and how to undo it."""
    if not report.action_id:
        return f"{escape(report.store)}: nothing to do"
    change = format_change(
        (report.entries_before, report.entries_after), (report.bytes_before, report.bytes_after)
    )
    times = f"in {report.took_s:.1f} s, store locked for {report.lock_held_s:.2f} s"
    lines = [f"{escape(report.store)}: {report.kind} done {times}", f"  {change}"]
    if report.archive:
        size = format_bytes(report.archive_bytes)
        lines.append(f"  archive: {escape(report.archive)} ({size})")
    if report.transcripts:
        done = "back" if report.kind == "restore" else "kept with the archive"
        moved = format_counted(report.transcripts, "transcript", "is", "are")
        lines.append(f"  {moved} {done}")
    lines += [f"  warning: {escape(warning)}" for warning in report.warnings]
    if report.undo:
        lines.append(f"  undo: {escape(report.undo)}")
    return "\n".join(lines)


def format_finding(finding: Finding) -> str:
    """Write a finding with its evidence and next step."""
    where = "" if finding.subject in finding.message else f": {escape(finding.subject)}"
    lines = [f"{finding.severity}: {escape(finding.message)}{where} [{finding.code}]"]
    lines += [f"  {escape(item)}" for item in finding.evidence]
    if finding.hint:
        lines.append(f"  hint: {escape(finding.hint)}")
    return "\n".join(lines)
