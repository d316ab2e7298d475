"""What reconciliation found and did, as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.render import escape, format_rules
from tailflip.base.units import format_count, format_entries
from tailflip.flow.numbers import Rule, Tally

if TYPE_CHECKING:
    from tailflip.reconcile.context import Step

_SHOWN = 3
_RULES = frozenset(rule.value for rule in Rule)


def format_step(step: Step, *, applied: bool) -> str:
    """Say what one kind would change on one subject, or has changed, and why."""
    lines = [f"{step.kind}: {escape(step.subject)}"]
    if step.running:
        fates = ", ".join(f"{format_count(n)} {fate}" for fate, n in sorted(step.running.items()))
        total = sum(step.running.values())
        lines.append(f'  {format_entries(total)} saying "running": {fates}')
    lines += _format_counts(step)
    shown = step.words[:_SHOWN]
    lines += [f"    {escape(word)}" for word in shown]
    more = max(len(step.words), sum(step.running.values())) - len(shown)
    if shown and more > 0:
        lines.append(
            f"    and {format_count(more)} more; --json has {format_count(len(step.words))}"
        )
    if step.left:
        lines.append(
            f"  {format_entries(step.left)} of them are chats, and left to the gateway: some "
            "releases resume by that mark, and the next message ends it"
        )
    if not step.counts:
        lines.append("  nothing to do")
    elif applied and step.undo is not None:
        lines.append(f"  done; undo: {escape(step.undo)}")
    return "\n".join(lines)


def _format_counts(step: Step) -> list[str]:
    if step.counts.keys() <= _RULES and step.counts:
        sizes = {t.name: t.bytes for t in step.tallies}
        tallies = [
            Tally(name=name, entries=count, bytes=sizes.get(name, 0))
            for name, count in step.counts.items()
        ]
        return format_rules(tallies).splitlines()
    return [f"  {format_count(count)} {escape(what)}" for what, count in step.counts.items()]
