"""Has OpenClaw's own doctor repair what only it may repair, where the settings allow that.

A state that waits for its migration keeps every start from succeeding, and what its rows must
become knows the release alone. `heal.doctor` is off by default: what a doctor changes, tailflip
cannot undo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.units import format_span
from tailflip.diagnose.causes import CAUSES, IMPORT_AGAIN, PUT_BACK_SOURCE
from tailflip.supervise.heap_flag import choose_heap
from tailflip.supervise.process.doctor import run_doctor
from tailflip.supervise.process.environment import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.flow.lives import Breaker, Death
    from tailflip.supervise.context import GuardedGateway

_FIX = ("doctor", "--fix", "--non-interactive")
# The one form that moves an old store which lies beside a filled database, in 8.1 as well.
_IMPORT = ("doctor", "--session-sqlite", "import", "--session-sqlite-all-agents")
_MOST_TOLD = 200


def may_be_doctored(gateway: GuardedGateway, breaker: Breaker, death: Death) -> bool:
    """Say whether the doctor is to be run after a death: once in a row of equal deaths.

    A second death of the same kind shows that the doctor did not help.
    """
    heal = gateway.config.heal
    return (
        heal.enabled
        and heal.doctor
        and CAUSES[death.cause].of_doctor
        and death.hint != PUT_BACK_SOURCE  # a doctor brings no bytes of a file back
        and breaker.signature != death.signature
    )


def have_repaired(gateway: GuardedGateway, death: Death, look: Callable[[], object]) -> str | None:
    """Run the doctor that a death asks for; slow.

    Args:
        gateway: is dead.
        death: for which `may_be_doctored`.
        look: is called again and again meanwhile, and may raise to stop.

    Returns:
        In words for people what was done; None where it failed or could not be run.
    """
    release = gateway.release
    if release.node is None or release.entry is None:
        log.error("heal.doctor: OpenClaw's program was not found", why=release.evidence)
        return None
    if (other := gateway.find_other()) is not None:
        log.error("heal.doctor: another gateway lives on this state", found=other.evidence)
        return None
    words = _IMPORT if death.hint == IMPORT_AGAIN else _FIX
    shown = f"openclaw {' '.join(words)}"
    log.warning("running OpenClaw's own doctor, as heal.doctor allows", command=shown)
    try:
        ran = run_doctor([release.node, str(release.entry), *words], _make_env(gateway), look)
    except OSError as e:
        log.error("the doctor could not be run", error=e)
        return None
    took = format_span(1000 * ran.seconds)
    if ran.code != 0:
        log.error(
            "the doctor failed; the gateway waits for a person",
            command=shown,
            exit=ran.code,
            after=took,
            said=ran.said[:_MOST_TOLD],
        )
        return None
    log.warning("the doctor has done its work; tailflip cannot undo it", command=shown, after=took)
    return f"`{shown}` was run, as heal.doctor allows: it ended well after {took}"


def _make_env(gateway: GuardedGateway) -> dict[str, str]:
    """Make the doctor's environment: the gateway's, with its state and with room in its heap."""
    return {
        **choose_heap(gateway, clean(gateway.release.env)),
        "OPENCLAW_STATE_DIR": str(gateway.state_dir),
        "OPENCLAW_SERVICE_REPAIR_POLICY": "external",  # the service definition is ours to keep
        "OPENCLAW_NO_RESPAWN": "1",
        "NO_COLOR": "1",
    }
