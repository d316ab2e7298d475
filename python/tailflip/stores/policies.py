"""Converts a policy and the evidence to the form by which the extension judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.base import errors
from tailflip.base.units import format_counted
from tailflip.stores.tables import Ends

if TYPE_CHECKING:
    from tailflip.flow.observed import Evidence
    from tailflip.plan.policy import Policy


def compile_policy(
    policy: Policy, evidence: Evidence, now_ms: int
) -> tuple[_native.Policy, _native.Evidence]:
    """Convert policy and evidence to the form that the extension judges by.

    Raises:
        Unavailable: There is more proof of life than fits; acting without it would be unsafe.
    """
    gateway = evidence.gateway
    compiled = _native.Policy(
        now_ms=now_ms,
        slim_runs=policy.slim,
        slim_idle_ms=policy.slim_idle_ms,
        retire=policy.retire,
        retention_ms=policy.retention_ms,
        max_lifetime_ms=policy.max_lifetime_ms,
        single_flight=policy.single_flight,
        cap_per_job=policy.cap_per_job,
        cap_total=policy.cap_total,
        drop_kinds=[(kind.value, limit_ms) for kind, limit_ms in policy.drop_kinds],
        # The runs of a stopped gateway are over; beside a living one, those from before its start.
        owner_died_before_ms=now_ms if gateway.alive is False else gateway.started_ms,
        knows_ends=evidence.knows_ends,
    )
    known = _native.Evidence(evidence.over.raw if isinstance(evidence.over, Ends) else None)
    fits = all(known.add_live_session(s) for s in evidence.live_sessions)
    fits = fits and all(known.add_protected_key(k) for k in evidence.protected_keys)
    if not fits:
        raise errors.Unavailable(
            "too many live sessions to protect: "
            f"{format_counted(len(evidence.live_sessions), 'session')} and "
            f"{format_counted(len(evidence.protected_keys), 'key')}; nothing was changed",
            hint="stop the gateway first",
        )
    if not all(known.add_dropped_key(k) for k in evidence.dropped_keys):
        raise errors.Usage(f"too many keys named: {len(evidence.dropped_keys)}")
    return compiled, known
