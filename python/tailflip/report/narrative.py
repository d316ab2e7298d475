"""Tells the story of an incident in plain words, from the record; callers escape the text.

A life that died is one chapter: when it answered, how it died, what was decided then. A
row of equal chapters is told by its first two and its last. An action or a finding in between
ends the row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tailflip.base.render import format_change
from tailflip.base.units import format_bytes, format_counted, format_span, format_time
from tailflip.diagnose.causes import CAUSES, WAITS, WANTED
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Cause, Confidence, DecisionKind, LifeMode
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.rules import ONLINE, Rule
from tailflip.observe.agents import is_agent_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tailflip.flow.lives import Death, Decision, Incident, Life
    from tailflip.ledger.decisions import MadeDecision
    from tailflip.ledger.findings import NotedFinding
    from tailflip.stores.archive import Archived, Manifest

_TOLD_FIRST = 2
_FOLD_FROM = 4  # a row shorter than this is told in full

_UNDECIDED = "nothing was decided then: tailflip was ended in between; its next start does it"
# What reconciliation changed, other than session stores, by the kind of action.
_RECONCILED = {
    ActionKind.MARKERS: ("marker", "cleared"),
    ActionKind.HOLD: ("job", "held"),
    ActionKind.TASKS: ("task", "fixed"),
    ActionKind.RELEASE: ("job", "released"),
    ActionKind.HEADERS: ("header", "written anew"),
}
_SURE = {Confidence.PROVEN: "proven", Confidence.LIKELY: "likely", Confidence.GUESS: "a guess"}


@dataclass(frozen=True)
class Line:
    """One sentence of the story; `at_ms` is when it happened."""

    at_ms: int
    text: str


@dataclass(frozen=True)
class _Chapter:
    """One life: its lines in order, and the key by which two chapters are equal."""

    lines: tuple[Line, ...]
    key: tuple[object, ...]
    life: Life


def tell(
    incident: Incident,
    lives: Sequence[Life],
    decisions: Sequence[MadeDecision],
    actions: Sequence[Archived],
    findings: Sequence[NotedFinding],
    *,
    undecided: Life | None = None,
) -> tuple[Line, ...]:
    """Tell the story from the first death of an incident to its end.

    Args:
        incident: the one that the first of the deaths opened.
        lives: those that ended in the incident, and the one that ended it or lasts; any order.
        decisions: of the same guard; those outside the incident are left out.
        actions: those of the same guard, likewise.
        findings: those of the same guard that were open during the incident.
        undecided: the life that has a verdict and no decision yet.

    Returns:
        Sentences, oldest first.
    """
    ordered = sorted(lives, key=lambda life: (life.started_ms, life.ended_ms or life.started_ms))
    begin_ms = min([incident.opened_ms, *(life.started_ms for life in ordered)])
    end_ms = incident.closed_ms

    def is_inside(at_ms: int) -> bool:
        return begin_ms <= at_ms and (end_ms is None or at_ms <= end_ms)

    told = [made for made in decisions if is_inside(made.at_ms)]
    known = {life.id for life in ordered}
    news = [
        *(
            Line(m.at_ms, tell_decision(m.decision, m.at_ms))
            for m in told
            if m.life_id not in known
        ),
        *(
            Line(each.action.created_ms, tell_action(each))
            for each in actions
            if is_inside(each.action.created_ms)
        ),
        *_tell_findings(findings, begin_ms, end_ms),
    ]
    if undecided is not None and undecided.id in known:
        news.append(Line(undecided.ended_ms or undecided.started_ms, _UNDECIDED))
    if incident.acked_ms is not None:
        news.append(Line(incident.acked_ms, "a person took note of the incident"))
    if end_ms is not None:
        news.append(Line(end_ms, "the gateway has lived long enough: the incident is closed"))
    chapters = [_tell_life(life, told) for life in ordered]
    lines = [*_fold(chapters, [line.at_ms for line in news]), *news]
    return tuple(sorted(lines, key=lambda line: line.at_ms))


def describe_cause(cause: Cause) -> str:
    """Describe the cause in a clause: `its JavaScript heap was full and V8 gave up`."""
    return CAUSES[cause].words


def tell_death(life: Life) -> str:
    """Tell how a life ended."""
    lived = f"after {format_span((life.uptime_s or 0.0) * 1000)}"
    if life.death is None:
        if not life.end_known:
            return "the gateway was gone; nobody saw its end, and nothing speaks for a death"
        return f"the gateway ended {lived}{_describe_exit(life)}"
    is_wanted, verdict = life.death.cause in WANTED, describe_verdict(life.death)
    if not life.end_known:
        found = "found to have ended" if is_wanted else "found dead"
        return f"the gateway was {found}{_describe_exit(life)}; when is not known: {verdict}"
    return (
        f"the gateway {'ended' if is_wanted else 'died'} {lived}{_describe_exit(life)}: {verdict}"
    )


def describe_verdict(death: Death) -> str:
    """Describe the cause and how sure it is; for an unknown death, its evidence."""
    if not CAUSES[death.cause].is_explained:
        return f"{CAUSES[death.cause].words} ({death.signature})"
    return f"{CAUSES[death.cause].words} ({_SURE[death.confidence]})"


def tell_decision(decision: Decision, made_ms: int | None = None) -> str:
    """Tell a decision, its time and its reason; a start that was due by `made_ms` is at once."""
    why = f": {decision.reason}" if decision.reason else ""
    at = f" at {format_time(decision.at_ms)}" if decision.at_ms is not None else ""
    if made_ms is not None and decision.at_ms is not None and decision.at_ms <= made_ms:
        at = ""
    if decision.kind is DecisionKind.START:
        return f"decided to start it{at or ' at once'}{why}"
    if decision.kind is DecisionKind.END:
        code = "" if decision.exit_code is None else f" with exit code {decision.exit_code}"
        return f"decided to end{code}{why}"
    clause = WAITS[decision.waiting].until
    until = f"until {clause}" if clause else ""
    trial = f"{', and to try' if until else ' and to try'}{at} anyway" if at else ""
    return f"decided to wait{' ' + until if until else ''}{trial}{why}"


def tell_action(archived: Archived) -> str:
    """Tell an action on a store, and the command that undoes it."""
    action, manifest = archived.action, archived.rewritten
    verb = {"compact": "compacted", "salvage": "salvaged", "restore": "restored entries to"}
    if action.kind not in verb or (manifest is not None and _describe_ends(manifest)):
        text = f"{describe_action(archived)} in {action.store}"
    else:
        text = f"{verb[action.kind]} {action.store}"
        if manifest is not None:
            text += f": {describe_rewrite(manifest)}"
    undo = describe_undo(archived)
    return f"{text}; undo: {undo}" if undo else text


def describe_action(archived: Archived) -> str:
    """Describe an action in a few words: `compact 60.1 MB -> 1.3 MB`, `reconcile: 2 …`."""
    action, manifest = archived.action, archived.rewritten
    if action.kind in _RECONCILED:
        noun, done = _RECONCILED[action.kind]
        if action.kind == ActionKind.HOLD and is_agent_database(action.store_path):
            noun = "session"
        many = f"{noun}s" if archived.changed is None else format_counted(archived.changed, noun)
        return f"reconcile: {many} {done}"
    if manifest is None:
        return action.kind
    ended = _describe_ends(manifest)
    if ended:
        return f"reconcile: {ended}"
    before, after = manifest.bytes_before, manifest.rewrite.bytes
    return f"compact {format_bytes(before)} -> {format_bytes(after)}"


def describe_rewrite(manifest: Manifest) -> str:
    """Describe a rewrite of a store."""
    after = manifest.rewrite
    return _describe_ends(manifest) or format_change(
        (manifest.entries_before, after.entries), (manifest.bytes_before, after.bytes)
    )


def _describe_ends(manifest: Manifest) -> str:
    """Describe the ended runs, if the rewrite did no more, or made the store larger."""
    rules, after = manifest.rewrite.rules, manifest.rewrite.bytes
    online = sum(each.entries for each in rules if each.name == ONLINE)
    if online:
        return f"{format_counted(online, 'run')} for the living gateway to delete"
    ended = sum(each.entries for each in rules if each.name == Rule.RETIRE)
    others = sum(each.entries for each in rules) - ended
    if not ended or (others and after < manifest.bytes_before):
        return ""
    text = f"{format_counted(ended, 'run')} ended"
    return f"{text}, {format_counted(others, 'entry')} cut or removed" if others else text


def describe_undo(archived: Archived) -> str | None:
    """Give the command that undoes an action; empty for an action that took nothing."""
    if archived.action.took_nothing:
        return None
    return f"tailflip restore {archived.action.id} --apply"


def _describe_exit(life: Life) -> str:
    if life.signal is not None:
        return f" by signal {life.signal}"
    return "" if life.exit_code is None else f" with exit code {life.exit_code}"


def _tell_life(life: Life, decisions: Sequence[MadeDecision]) -> _Chapter:
    version = f" (OpenClaw {life.version})" if life.version else ""
    began = "was started" if life.mode is not LifeMode.UNSEEN else "was started, not guarded yet"
    safe = "" if life.safe is None else f" {life.safe.words}, as a safe start"
    lines = [Line(life.started_ms, f"the gateway {began}{safe}{version}")]
    lines = lines if life.begin_known else []
    if life.ready_ms is not None:
        took = format_span(life.ready_after_ms or 0)
        lines.append(Line(life.ready_ms, f"the gateway answered, {took} after its start"))
    key: list[object] = [life.version, life.safe, life.ready_ms is None, life.ended_ms is None]
    if life.ended_ms is not None:
        lines.append(Line(life.ended_ms, tell_death(life)))
        if life.in_flight:
            names = ", ".join(each.words for each in life.in_flight)
            lines.append(Line(life.ended_ms, f"in flight when it died: {names}"))
        if life.doctored is not None:
            lines.append(Line(life.ended_ms, life.doctored))
        key += [life.doctored, life.end_known, life.exit_code, life.signal, life.in_flight]
        key += [life.death and (life.death.signature, life.death.confidence)]
    for made in decisions:
        if made.life_id == life.id:
            lines.append(Line(made.at_ms, tell_decision(made.decision, made.at_ms)))
            key += [made.decision.kind, made.decision.waiting]
    return _Chapter(tuple(lines), tuple(key), life)


def _fold(chapters: Sequence[_Chapter], news_ms: Sequence[int]) -> Iterator[Line]:
    """Fold rows of equal chapters, with no news in between, to their first two and their last."""
    for row in _split_into_rows(chapters, news_ms):
        folds = len(row) >= _FOLD_FROM
        for chapter in row[:_TOLD_FIRST] if folds else row:
            yield from chapter.lines
        if folds:
            left_out = row[_TOLD_FIRST:-1]
            yield Line(left_out[0].lines[0].at_ms, _sum_up(left_out))
            yield from row[-1].lines


def _split_into_rows(
    chapters: Sequence[_Chapter], news_ms: Sequence[int]
) -> Iterator[list[_Chapter]]:
    row = list(chapters[:1])
    for last, this in pairwise(chapters):
        between = (last.lines[-1].at_ms, this.lines[-1].at_ms)
        has_news = any(between[0] < at_ms <= between[1] for at_ms in news_ms)
        if this.key != last.key or has_news:
            yield row
            row = []
        row.append(this)
    if row:
        yield row


def _sum_up(chapters: Sequence[_Chapter]) -> str:
    lengths = [(chapter.life.uptime_s or 0.0) * 1000 for chapter in chapters]
    low, high = format_span(min(lengths)), format_span(max(lengths))
    lived = low if low == high else f"between {low} and {high}"
    many = "the same once more" if len(chapters) == 1 else _count_times(len(chapters))
    last_ms = chapters[-1].life.ended_ms or chapters[-1].life.started_ms
    return f"{many} until {format_time(last_ms)}; it lived {lived}"


def _count_times(number: int) -> str:
    return f"the same {format_counted(number, 'time')} more"


def _tell_findings(
    findings: Iterable[NotedFinding], begin_ms: int, end_ms: int | None
) -> Iterator[Line]:
    for each in findings:
        finding = each.finding
        if (end_ms is not None and each.first_ms > end_ms) or (
            each.ended_ms is not None and each.ended_ms < begin_ms
        ):
            continue
        # A finding that was open before the first death is told from the start of the story.
        at_ms = max(each.first_ms, begin_ms)
        where = "" if finding.subject in finding.message else f": {finding.subject}"
        yield Line(at_ms, f"found, {finding.severity}: {finding.message}{where}")
        if each.ended_ms is not None and (end_ms is None or each.ended_ms <= end_ms):
            yield Line(each.ended_ms, f"no longer so: {finding.code}: {finding.subject}")
