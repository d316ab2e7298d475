"""Formats the steps of a reconciliation as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.render import escape, format_rules
from tailflip.base.units import format_count, format_counted
from tailflip.flow.numbers import Tally
from tailflip.flow.rules import ONLINE, Rule

if TYPE_CHECKING:
    from tailflip.reconcile.context import Step

_SHOWN = 3
# The keys of `Step.counts` are for programs and stay as they are; people read a singular for one.
_ONE = {
    "jobs held": "job held",
    "sessions held": "session held",
    "markers of a dead gateway cleared": "marker of a dead gateway cleared",
    "tasks told their true end": "task told its true end",
    "headers written anew": "header written anew",
    "stuck jobs released through openclaw": "stuck job released through openclaw",
}
_RULES = frozenset({*(rule.value for rule in Rule), ONLINE})
_RULES_DONE = {
    Rule.SLIM: ("entry", "made smaller"),
    Rule.RETIRE: ("run", "ended"),
    Rule.EXPIRE: ("finished run", "removed"),
    Rule.FORCE_EXPIRE: ("run", "without a sign of life removed"),
    ONLINE: ("run of a dead gateway", "deleted by the living one"),
}


def format_step(step: Step, *, applied: bool) -> str:
    """Format what one kind would change on one subject, or has changed, and why."""
    lines = [f"{step.kind}: {escape(step.subject)}"]
    if step.running:
        fates = ", ".join(f"{format_count(n)} {fate}" for fate, n in sorted(step.running.items()))
        total = sum(step.running.values())
        lines.append(f'  {format_counted(total, "entry")} saying "running": {fates}')
    lines += _format_counts(step)
    # What is left to the gateway comes last in `words`, and is no reason for a change.
    reasons = max(len(step.words), sum(step.running.values())) - step.left
    shown = step.words[: min(_SHOWN, reasons)]
    lines += [f"    {escape(word)}" for word in shown]
    more = reasons - len(shown)
    if shown and more > 0:
        lines.append(
            f"    and {format_count(more)} more; --json has {format_count(len(step.words))}"
        )
    if step.left:
        are = "is a chat" if step.left == 1 else "are chats"
        lines.append(
            f"  {format_count(step.left)} of them {are}, and left to the gateway: a "
            "release that is unknown, or from 2026.4.24 on, may resume by that mark"
        )
    if not step.counts:
        lines.append("  nothing to do")
    elif applied and step.undo is not None:
        lines.append(f"  done; undo: {escape(step.undo)}")
    return "\n".join(lines)


def format_done(what: str, number: int) -> str:
    """Format a change by its key in `Step.counts`, with the count."""
    if what in _RULES:
        noun, done = _RULES_DONE.get(what, ("entry", f"removed by {what}"))
        return format_counted(number, noun, done, done)
    if number == 1:
        what = _ONE.get(what, what)
    return f"{format_count(number)} {what}"


def _format_counts(step: Step) -> list[str]:
    if step.counts.keys() <= _RULES and step.counts:
        sizes = {t.name: t.bytes for t in step.tallies}
        tallies = [
            Tally(name=name, entries=count, bytes=sizes.get(name, 0))
            for name, count in step.counts.items()
        ]
        return format_rules(tallies).splitlines()
    return [f"  {escape(format_done(what, n))}" for what, n in step.counts.items()]
