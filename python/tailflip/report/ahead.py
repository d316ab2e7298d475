"""Concludes what an installation will meet in another release; from what was seen, alone.

The facts of the release are those of the catalogue. What the release itself would say of a
database is left to its own command, which is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted
from tailflip.flow.ahead import Ahead, Meeting, Meets
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.catalogue import Fact, Standing, Value, read_catalogue
from tailflip.observe.gateway.node_range import allows
from tailflip.observe.records.forms import Form
from tailflip.stores.formats import may_change_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tailflip.flow.capabilities import Version
    from tailflip.flow.outcomes import Forecast
    from tailflip.observe.gateway.catalogue import Judged
    from tailflip.observe.records.forms import Forms, Record

# V8 makes no longer string, and an import makes one of the whole store.
_LONGEST_STORE_BYTES = 536_870_888
_MERGE = "openclaw doctor --session-sqlite import --session-sqlite-all-agents"
_COMPACT = "tailflip compact --apply"
_GO_BACK = "restore the copy of the state directory from before the upgrade, or stay"
IN_FILES = "files"
_DATABASE, _SPLIT = "database", "split files"


@dataclass(frozen=True)
class Store:
    """A session store in a file: `problem` says why it cannot be read.

    `is_beside` a database that holds its agent's sessions.
    """

    path: Path
    size_bytes: int
    problem: str | None = None
    is_beside: bool = False


@dataclass(frozen=True)
class Seen:
    """What was seen of an installation, and what is known of the release that it has now.

    `forecast` is of its stores under the release ahead. `node` is None where it is unknown.
    `unread` are databases that cannot be read, with the reason.
    """

    state_database: Path
    now: Version | None
    stores: tuple[Store, ...]
    forms: Forms
    agent_schemas: tuple[tuple[Path, int], ...]
    state_schema: int | None
    forecast: Forecast | None
    node: Version | None
    unread: tuple[str, ...] = ()


def judge_ahead(text: str, judged: Judged, seen: Seen) -> Ahead:
    """Judge what is ahead in the release `text`, by the facts of the release `judged`."""
    view = _View(text, judged, seen)
    found = [
        *view.tell_release(),
        *view.tell_node(),
        *view.tell_schemas(),
        *view.tell_sessions(),
        *view.tell_records(),
        *view.tell_stop(),
        *view.tell_preflight(),
    ]
    return Ahead(
        release=text,
        judged_as=judged.release,
        is_listed=judged.is_listed,
        meetings=tuple(sorted(found, key=lambda each: not each.is_grave)),
        forecast=seen.forecast,
        can_compact=view.can_compact,
    )


@dataclass(frozen=True)
class _View:
    text: str
    judged: Judged
    seen: Seen

    def find(self, fact: Fact) -> Value:
        return read_catalogue().find(fact, self.judged.release)

    def find_now(self, fact: Fact) -> Value:
        """Find a fact of the release that is there now; None if that is unknown."""
        if self.seen.now is None:
            return None
        table = read_catalogue()
        return table.find(fact, table.judge(self.seen.now).release)

    @property
    def can_compact(self) -> bool:
        """Say whether tailflip changes the sessions of this release, in files or rows.

        A later release may have a schema that nobody knows.
        """
        schema = self.find(Fact.AGENT_SCHEMA)
        may_change = isinstance(schema, int) and may_change_database(schema)
        is_later = self.judged.standing is Standing.LATER
        return self.find(Fact.SESSIONS) == IN_FILES or (may_change and not is_later)

    def tell_release(self) -> Iterator[Meeting]:
        told = tell_unlisted(self.text, self.judged)
        if told is not None:
            yield Meeting(Meets.UNLISTED, False, told)

    def tell_node(self) -> Iterator[Meeting]:
        wanted = self.find(Fact.NODE)
        if not isinstance(wanted, str):
            return
        step = f"install a Node of {wanted}"
        if self.seen.node is None:
            yield Meeting(
                Meets.NODE_UNKNOWN, False, f"it needs Node {wanted}; yours did not answer"
            )
        elif not allows(wanted, self.seen.node):
            yours = ".".join(map(str, self.seen.node))
            says = f"it needs Node {wanted}, and Node {yours} would start it"
            # Where nothing tells how the gateway is started, this Node may not be its own.
            yield Meeting(Meets.NODE, self.seen.now is not None, says, step)

    def tell_schemas(self) -> Iterator[Meeting]:
        for each in self.seen.unread:
            yield Meeting(Meets.SCHEMA_UNKNOWN, True, f"{each}; nobody knows what it meets there")
        databases = [(path, each, Fact.AGENT_SCHEMA) for path, each in self.seen.agent_schemas]
        if self.seen.state_schema is not None:
            databases.append((self.seen.state_database, self.seen.state_schema, Fact.STATE_SCHEMA))
        for path, schema, fact in databases:
            known = self.find(fact)
            if not isinstance(known, int):
                continue  # it has no such database, and opens none
            if schema > known and self.judged.standing is Standing.LATER:
                says = f"{path} has schema {schema}, newer than tailflip knows: it is only read"
                yield Meeting(Meets.SCHEMA_UNKNOWN, False, says)
            elif schema > known:
                says = (
                    f"{path} has schema {schema}, and {self.text} knows {known}: it ends with "
                    "exit 78 at each start"
                )
                yield Meeting(Meets.SCHEMA_NEWER, True, says, _GO_BACK)
            elif schema < known:
                says = (
                    f"its first start migrates {path} from schema {schema} to {known}; there is "
                    "no way back but a copy"
                )
                step = f"keep a copy of {self.seen.state_database.parents[1]}"
                yield Meeting(Meets.SCHEMA_MIGRATED, False, says, step)

    def tell_sessions(self) -> Iterator[Meeting]:
        in_database = self.seen.forms.sessions.form in (Form.SQLITE, Form.UNKNOWN, Form.UNREADABLE)
        if self.find(Fact.SESSIONS) == IN_FILES:
            if in_database:
                says = f"{self.text} reads no sessions from databases: every chat is gone there"
                yield Meeting(Meets.SESSIONS_LEFT, True, says, _GO_BACK)
            yield from self._tell_heap("loading the stores")
            return
        if not self.can_compact:
            says = f"tailflip only reads the databases of {self.text}, and does not compact them"
            yield Meeting(Meets.READ_ONLY, False, says)
        beside = [store for store in self.seen.stores if store.is_beside]
        is_refused = self.find(Fact.LEGACY_SESSIONS) == "refused"
        for store in beside:
            says = f"{store.path} lies beside a database that has its sessions: "
            if is_refused:
                says += "no start succeeds"
                yield Meeting(Meets.BESIDE_DATABASE, True, says, f"merge it by `{_MERGE}`")
            else:
                says += "its first start merges the two"
                yield Meeting(Meets.BESIDE_DATABASE, False, says)
        legacy = [store for store in self.seen.stores if not store.is_beside]
        if not legacy:
            yield from self._tell_heap("loading the sessions")
            return
        total = sum(store.size_bytes for store in legacy)
        what = f"{format_counted(len(legacy), 'store')} of {format_bytes(total)}"
        if is_refused:
            says = f"{self.text} does not import {what}: it ends with exit 78 until they are"
            yield Meeting(Meets.IMPORT_REFUSED, True, says, f"import them by `{_MERGE}`")
        else:
            yield Meeting(Meets.IMPORT, False, f"its first start imports {what} into SQLite")
        for store in legacy:
            yield from self._tell_store(store)
        yield from self._tell_heap("the import")

    def _tell_store(self, store: Store) -> Iterator[Meeting]:
        if store.problem is not None:
            says = f"{store.path} cannot be imported: {store.problem}"
            yield Meeting(Meets.STORE_INVALID, True, says, _COMPACT)
        elif store.size_bytes > _LONGEST_STORE_BYTES:
            says = (
                f"{store.path} of {format_bytes(store.size_bytes)} can never be imported: the "
                f"most is {format_bytes(_LONGEST_STORE_BYTES)}"
            )
            yield Meeting(Meets.STORE_TOO_LONG, True, says, _COMPACT)

    def _tell_heap(self, what: str) -> Iterator[Meeting]:
        told = self.seen.forecast
        if told is None or told.limit_bytes is None or told.fits:
            return
        says = (
            f"{what} takes about {format_bytes(told.heap_bytes)} of heap, and the limit is "
            f"{format_bytes(told.limit_bytes)} ({told.source})"
        )
        yield Meeting(Meets.HEAP, told.over, says, _COMPACT)

    def tell_records(self) -> Iterator[Meeting]:
        forms = self.seen.forms
        left, moved = [], []
        for record, fact in (
            (forms.cron, Fact.CRON_JOBS),
            (forms.run_log, Fact.CRON_RUNS),
            (forms.tasks, Fact.TASKS),
            (forms.subagents, Fact.SUBAGENTS),
        ):
            if record.form in (Form.ABSENT, Form.UNKNOWN, Form.UNREADABLE):
                continue
            goes = self._compare(record, self.find(fact))
            left += [record.kind] if goes is False else []
            moved += [record.kind] if goes else []
        if left:
            says = f"{self.text} does not look where these lie: {', '.join(left)}"
            yield Meeting(Meets.RECORDS_LEFT, True, says, _GO_BACK)
        if moved:
            yield Meeting(Meets.RECORDS_MOVED, False, f"its first start moves {', '.join(moved)}")

    @staticmethod
    def _compare(record: Record, value: Value) -> bool | None:
        """Say whether a record is moved; False if it is left behind, None if it stays."""
        in_database = record.form is Form.SQLITE
        takes_database = value in (_DATABASE, "with the tasks")
        if in_database != takes_database:
            return takes_database
        if record.form is Form.SPLIT and value == IN_FILES:
            return False
        return True if record.form is Form.FILES and value == _SPLIT else None

    def tell_stop(self) -> Iterator[Meeting]:
        now, then = self.find_now(Fact.STOP_BUDGET_S), self.find(Fact.STOP_BUDGET_S)
        if now is None or then is None or now == then:
            return
        says = f"it takes up to {then} s to stop, and your release up to {now} s"
        step = "write the service anew: `openclaw gateway install --force`, then `tailflip install`"
        yield Meeting(Meets.STOP_BUDGET, False, says, step)

    def tell_preflight(self) -> Iterator[Meeting]:
        if self.seen.state_schema is None or not self.find(Fact.STATE_PREFLIGHT):
            return
        says = f"{self.text} itself can judge a copy of {self.seen.state_database}"
        step = (
            f"`sqlite3 {self.seen.state_database} \"VACUUM INTO 'copy.sqlite'\"`, then with that "
            "release `openclaw database preflight copy.sqlite --json`"
        )
        yield Meeting(Meets.PREFLIGHT, False, says, step)


def tell_unlisted(text: str, judged: Judged) -> str | None:
    """Say as which release an unlisted one is judged; None if it is listed."""
    if judged.is_listed:
        return None
    return f"{text} is not in the catalogue ({judged.standing}): judged as {judged.release}"


def format_verdict(ahead: Ahead) -> str:
    """Say in a line whether the way is clear."""
    if ahead.is_clear:
        return f"READY for {ahead.release}: nothing stands in the way"
    first, *more = ahead.grave
    rest = f", and {format_counted(len(more), 'other thing')}" if more else ""
    return f"NOT READY for {ahead.release}: {first.says}{rest}"


def format_meetings(meetings: Sequence[Meeting]) -> Iterator[str]:
    """Format each thing to meet in one or two lines."""
    for each in meetings:
        yield f"{'error' if each.is_grave else 'note'}: {each.says} [{each.kind}]"
        if each.step:
            yield f"  {each.step}"
