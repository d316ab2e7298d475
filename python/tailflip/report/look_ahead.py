"""Looks at an installation for what it will meet in another release; reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import Usage
from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.agents import read_schemas
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.catalogue import Fact, read_catalogue
from tailflip.observe.gateway.heap import HeapOwner, read_node_version
from tailflip.observe.gateway.release import judge, parse_version
from tailflip.observe.records.forms import DATABASE, read_forms
from tailflip.plan.forecast import forecast
from tailflip.report.ahead import IN_FILES, Seen, Store, judge_ahead
from tailflip.stores.look import observe_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.diagnose.findings.inputs import Inputs
    from tailflip.flow.ahead import Ahead
    from tailflip.flow.observed import ObservedStore
    from tailflip.flow.outcomes import Forecast
    from tailflip.ledger.history import History
    from tailflip.observe.gateway.catalogue import Judged
    from tailflip.observe.gateway.release import Release
    from tailflip.stores.target import Scene


def judge_wanted(text: str) -> Judged:
    """Choose the release whose facts count for the one that a person asks about.

    Raises:
        Usage: it is no version.
    """
    judged = judge(text)
    if judged is None:
        raise Usage(f"--release wants a version such as 2026.9.6, found {text}")
    return judged


def look_after_survey(scene: Scene, inputs: Inputs, wanted: str) -> Ahead:
    """Look ahead with what `check` has read, and the heap limit that it has found.

    Raises:
        Usage: `wanted` is no version.
    """
    told, limit = inputs.forecast, HeapLimit(None, "unknown")
    if told is not None:
        limit = HeapLimit(told.limit_bytes, told.source, told.margin, told.limit_known)
    return look_ahead(scene, inputs.surveyed or (), limit, scene.next_start.release, wanted)


def look_by_size(scene: Scene, release: Release, history: History, wanted: str) -> Ahead:
    """Look ahead by the sizes of the stores alone; `release` is the one that starts today.

    Raises:
        Usage: `wanted` is no version.
    """
    judge_wanted(wanted)
    stores = observe_all((*scene.stores, *scene.missing), lambda _: None, scene.now_ms)
    return look_ahead(scene, stores, scene.find_heap_limit(history), release, wanted)


def look_ahead(
    scene: Scene,
    stores: Sequence[ObservedStore],
    limit: HeapLimit,
    release: Release,
    wanted: str,
) -> Ahead:
    """Look at what a scene's installation will meet in a release.

    Args:
        scene: the installation; stores that are on record of a gateway are left out.
        stores: those that a gateway would load or import, with what a survey found.
        limit: the heap that the gateway may use.
        release: the one that starts today.
        wanted: the release, as a person wrote it.

    Raises:
        Usage: `wanted` is no version.
    """
    judged = judge_wanted(wanted)
    installation = scene.installation
    database = installation.state_dir / DATABASE
    found = [
        Store(each.store.path, each.size_bytes, each.error)
        for each in stores
        if each.size_bytes is not None and not each.store.is_database
    ]
    beside = [
        Store(store.path, store.path.stat().st_size, is_beside=True)
        for store, claim in scene.kept.items()
        if claim.receipt is not None and claim.receipt.taken_over
    ]
    agents = read_schemas(installation.databases)
    state = read_schemas([database])
    seen = Seen(
        state_database=database,
        now=release.version,
        stores=(*found, *beside),
        forms=read_forms(installation),
        agent_schemas=agents.found,
        state_schema=next((schema for _, schema in state.found), None),
        unread=(*state.unread, *agents.unread),
        forecast=_foresee(scene, stores, limit, judged, wanted),
        node=read_node_version(HeapOwner("", release.env, release.node)),
    )
    return judge_ahead(wanted.strip(), judged, seen)


def _foresee(
    scene: Scene, stores: Sequence[ObservedStore], limit: HeapLimit, judged: Judged, wanted: str
) -> Forecast | None:
    """Predict the heap of loading or importing the stores in a release.

    None without any, and for databases whose rows nobody has read.
    """
    can = find_capabilities(parse_version(wanted))
    files = [each for each in stores if not each.store.is_database and each.size_bytes]
    if files:
        is_wide = any(each.numbers is not None and each.numbers.wide for each in files)
        sizes = [*(each.size_bytes or 0 for each in files), scene.others_bytes]
        return forecast(sizes, can, limit, wide=is_wide)
    rows = [each.numbers for each in stores if each.store.is_database and each.numbers is not None]
    if not rows or read_catalogue().find(Fact.SESSIONS, judged.release) == IN_FILES:
        return None
    is_wide = any(each.wide for each in rows)
    sizes = [each.loaded_bytes for each in rows]
    return forecast(sizes, can, limit, wide=is_wide, use=can.database_heap)
