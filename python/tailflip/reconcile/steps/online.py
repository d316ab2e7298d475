"""Has a living gateway delete the cron runs that its dead predecessors left as "running".

A living gateway holds its rows in memory, so its database is read and never written. Its RPC names
no run of a cron job in any list, so which rows there are is read from the database.

A deletion ends what works under the key or the session of the row. A run of the same job works
under the session of the run before, too: it took that over from the job's own row. So a row goes
if all of this holds:

- it is of a cron run, and the ledgers prove that run over or dead;
- it was last written before the process was started that listens on the gateway's port;
- it runs in no environment of its own, which may outlive a gateway;
- no other row names its session: that of a job names the newest, which stays until the next run;
- it is in the archive, byte for byte, and has not changed since: session, revision and time of the
  last change go with the request, and the gateway compares them;
- the gateway, asked after all that, has no run of the job in flight. One that begins later takes
  over the session that the job's row named then, and that is not this one.

Source: OpenClaw 2026.9.6, `sessions.delete` with its drain, and `runCronIsolatedAgentTurn`. A
deletion without the last rule aborted a run in flight, on the real gateway.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from tailflip.base import clock
from tailflip.base.errors import TryLater, Unavailable
from tailflip.flow.rules import KeyKind
from tailflip.observe.gateway.access import find_access
from tailflip.observe.gateway.process import started_ms
from tailflip.observe.records.forms import DATABASE
from tailflip.observe.records.placements import read_placed
from tailflip.reconcile.write.rpc import CallRefused, Method, Rpc, Scope, calling
from tailflip.stores.online import Removal, choose_online, remove_online
from tailflip.stores.proof.prove import Fate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailflip.flow.numbers import KeptEntry, SurveyNumbers
    from tailflip.flow.observed import Gateway, Store
    from tailflip.reconcile.context import Reconciliation
    from tailflip.stores.proof.judge import Judgement

MOST_AT_ONCE = 100  # one delete takes 0.2 to 0.7 s among 6,500 rows
MOST_S = 60.0
_DELETE_S = 30.0
_PAGE = 200
_MOST_PAGES = 50
_OPEN = ("queued", "running")
_MARKS = frozenset({"runningAtMs", "queuedAtMs"})


def plan_online(work: Reconciliation, store: Store, judged: Judgement) -> tuple[KeptEntry, ...]:
    """Choose the rows to delete by all that can be known without asking the gateway.

    Raises:
        TryLater: the database changes all the time.
        Unavailable: which runs are placed elsewhere cannot be read.
    """
    keys = [
        each.key
        for each in judged.told
        if each.kind == KeyKind.CRON_RUN and each.proof.fate in (Fate.OVER, Fate.DEAD)
    ]
    if not keys:
        return ()
    placed = read_placed(work.scene.installation.state_dir / DATABASE)
    return tuple(
        each
        for each in choose_online(store, keys)
        if each.session not in placed and _is_dead(each, work.scene.gateway)
    )


def end_online(
    work: Reconciliation, store: Store, chosen: Sequence[KeptEntry], before: SurveyNumbers
) -> Removal:
    """Have the living gateway delete chosen rows, at most `MOST_AT_ONCE`.

    Raises:
        Unavailable: the gateway cannot be asked, or does not know how.
        NoPermission: it does not accept the secret, or grants no administration.
        TryLater: it gives no answer, or its database changes all the time.
    """
    gateway = work.scene.gateway
    access = find_access(work.scene.installation, gateway, work.scene.env)
    with calling(access) as rpc:
        busy = read_busy_jobs(rpc)
    keys = [each.key for each in chosen if each.job not in busy][:MOST_AT_ONCE]
    if not keys:
        return Removal()
    until_s = clock.monotonic_s() + MOST_S
    with calling(access, Scope.ADMIN) as rpc:
        read_again = cache(lambda: read_busy_jobs(rpc))  # once, when all is archived

        def delete(entry: KeptEntry) -> bool:
            work.on_progress("delete", 0, 0)
            is_idle = entry.job not in read_again() and clock.monotonic_s() < until_s
            return is_idle and _is_dead(entry, gateway) and delete_session(rpc, entry)

        return remove_online(
            work.workspace, store, keys, before=before, delete=delete, now_ms=work.next_moment()
        )


def read_busy_jobs(rpc: Rpc) -> frozenset[str]:
    """Read which jobs have a run that is queued or in flight, by jobs and by tasks.

    Raises:
        Unavailable: the gateway does not tell.
        TryLater: there are more than can be read.
    """
    by_mark = {
        str(job.get("id"))
        for job in _read_pages(rpc, Method.JOBS, "jobs", {"includeDisabled": True})
        if set(job.get("state") or ()) & _MARKS
    }
    by_task = {
        str(task.get("sourceId"))
        for task in _read_pages(rpc, Method.TASKS, "tasks", {"status": list(_OPEN)})
    }
    return frozenset(by_mark | by_task)


def _read_pages(
    rpc: Rpc, method: Method, name: str, params: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Read a list to its end; one goes on with a cursor, the other with an offset."""
    place: dict[str, Any] = {} if method is Method.TASKS else {"offset": 0}
    for _ in range(_MOST_PAGES):
        told = rpc.call(method, {"limit": _PAGE, **params, **place})
        rows = told.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Unavailable(f"the gateway does not tell its {name}; nothing was changed")
        yield from rows
        if method is Method.TASKS and told.get("nextCursor") is not None:
            place = {"cursor": told["nextCursor"]}
        elif method is Method.JOBS and len(rows) == _PAGE:
            place = {"offset": place["offset"] + _PAGE}
        else:
            return
    raise TryLater(f"the gateway has more {name} than can be read; nothing was changed")


def _is_dead(entry: KeptEntry, gateway: Gateway) -> bool:
    """Say whether an entry says "running" since before the living gateway was started."""
    if gateway.pid is None or gateway.started_ms is None:
        return False
    is_same = started_ms(gateway.pid) == gateway.started_ms
    return is_same and entry.status == "running" and entry.updated_ms < gateway.started_ms


def delete_session(rpc: Rpc, entry: KeptEntry) -> bool:
    """Have an entry deleted if it is still as it was archived; True if it was.

    Raises:
        TryLater: no answer: it may be deleted, or will be.
        NoPermission: the gateway grants no administration.
    """
    revision = {} if entry.revision is None else {"expectedLifecycleRevision": entry.revision}
    try:
        told = rpc.call(
            Method.DELETE,
            {
                "key": entry.key,
                # Without it the window would stay "running", under the key of the job.
                "deleteTranscript": True,
                "expectedSessionId": entry.session,
                "expectedSessionUpdatedAt": entry.updated_ms,
                **revision,
            },
            timeout_s=_DELETE_S,
        )
    except CallRefused:
        return False
    return told.get("deleted") is True
