"""The aim of a compaction: which policy, and how far beyond hygiene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.plan.policy import PRESSURE_LADDER, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tailflip.config.schema import HealSettings
    from tailflip.flow.capabilities import Capabilities
    from tailflip.plan.policy import Pressure


@dataclass(frozen=True)
class Aim:
    """The aim of a compaction, and how far it may go.

    `ladder` lists the steps beyond hygiene. `at_least` so many of them are taken even if the
    forecast fits. `heeds_forecast` False presses only stores that node cannot read at all.
    `makes_room`: runs go that push chats out of what the gateway keeps. `dropped_keys` are removed,
    whatever they are. `accept_loss` is a person's word.
    """

    policy: Policy
    capabilities: Capabilities
    ladder: Sequence[Pressure] = ()
    at_least: int = 0
    heeds_forecast: bool = True
    makes_room: bool = False
    dropped_keys: frozenset[str] = frozenset()
    salvages: bool = True
    accept_loss: bool = False


def choose_policy(heal: HealSettings, own_retention_ms: int | None) -> Policy:
    """Choose the policy of hygiene: the settings' limits, else OpenClaw's own retention."""
    return Policy(
        retention_ms=heal.choose_retention_ms(own_retention_ms),
        max_lifetime_ms=heal.max_lifetime_ms,
    )


def choose_aim(
    heal: HealSettings,
    policy: Policy,
    capabilities: Capabilities,
    *,
    died_of_memory: int = 0,
    dropped_keys: Iterable[str] = (),
    salvages: bool = True,
    accept_loss: bool = False,
) -> Aim:
    """Choose how far to go: lossy steps need figures of this very release, or a death.

    Args:
        heal: the user's settings.
        policy: hygiene, with what the user asked for.
        capabilities: those of the release that will load the stores.
        died_of_memory: deaths of memory in a row; each further one asks for a step more.
        dropped_keys: entries that a person named.
        salvages: look for what can be read of a damaged store.
        accept_loss: a person knows that more than the damaged places may be lost.
    """
    may_press = heal.pressure and (capabilities.is_measured or died_of_memory > 0)
    return Aim(
        policy=policy,
        capabilities=capabilities,
        ladder=PRESSURE_LADDER if may_press else (),
        at_least=max(0, died_of_memory - 1),
        heeds_forecast=heal.admission,
        makes_room=True,
        dropped_keys=frozenset(dropped_keys),
        salvages=salvages,
        accept_loss=accept_loss,
    )
