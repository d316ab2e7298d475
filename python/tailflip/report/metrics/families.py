"""The metrics by name: kind, labels and meaning of each. Collectors fill them.

A counter is a fact of the ledger that never falls. A time is a moment, not an age. No label holds
the name of a job or a session, nor a path below the gateway's state directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTER, GAUGE, SUMMARY = "counter", "gauge", "summary"


@dataclass(frozen=True)
class Family:
    """One metric; `labels` are those beside `gateway`, which only those of ours do without."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One value of a family; `suffix` is `_sum` or `_count` of a summary."""

    name: str
    value: float
    labels: Mapping[str, str]
    suffix: str = ""


_STATES = "1 in the state that holds"
# In the order in which they are written.
FAMILIES = {
    f"tailflip_{name}": Family(f"tailflip_{name}", kind, meaning, labels)
    for name, kind, meaning, labels in (
        ("build_info", GAUGE, "This release of tailflip; always 1.", ("version", "python")),
        (
            "gateway_info",
            GAUGE,
            "The gateway's release, where it has its sessions, and what guards it; always 1.",
            ("openclaw_version", "era", "mode"),
        ),
        ("guard_up", GAUGE, "1 while `run` or `watch` guards the gateway.", ()),
        ("gateway_up", GAUGE, "1 while the gateway's process lives; absent if unknown.", ()),
        ("gateway_ready", GAUGE, "1 once the living gateway has answered its guard.", ()),
        (
            "gateway_missed_answers",
            GAUGE,
            "Scrapes in a row that the living gateway left without any answer.",
            (),
        ),
        (
            "gateway_last_answer_timestamp_seconds",
            GAUGE,
            "When the living gateway last answered a scrape; absent before it did.",
            (),
        ),
        (
            "gateway_answer_seconds",
            GAUGE,
            "How long its answer to this scrape took; absent without one.",
            (),
        ),
        ("gateway_start_timestamp_seconds", GAUGE, "When the living gateway started.", ()),
        (
            "gateway_last_end_timestamp_seconds",
            GAUGE,
            "When the gateway's last life ended, whatever the cause.",
            (),
        ),
        (
            "gateway_resident_memory_bytes",
            GAUGE,
            "Memory of the living gateway and all its descendants.",
            (),
        ),
        ("gateway_processes", GAUGE, "The living gateway's processes, all together.", ()),
        ("gateway_heap_limit_bytes", GAUGE, "The heap that the gateway's V8 may use.", ()),
        (
            "gateway_cgroup_limit_bytes",
            GAUGE,
            "The tightest memory limit of the gateway's cgroup; absent without one.",
            (),
        ),
        (
            "gateway_forecast_heap_bytes",
            GAUGE,
            "Heap that its stores take by the forecast of the last survey on record.",
            (),
        ),
        (
            "gateway_memory_exhaustion_timestamp_seconds",
            GAUGE,
            "When memory reaches its limit at the present pace; absent without a trend.",
            (),
        ),
        ("gateway_starts_total", COUNTER, "Starts of the gateway on record.", ()),
        (
            "gateway_deaths_total",
            COUNTER,
            "Ends of the gateway by cause; those that were wanted have causes of their own.",
            ("cause",),
        ),
        (
            "gateway_down_seconds_total",
            COUNTER,
            "Time from an end that nobody asked for to the next start, counted while it lasts.",
            (),
        ),
        ("breaker_state", GAUGE, f"Whether starts are allowed: {_STATES}.", ("state",)),
        (
            "next_start_timestamp_seconds",
            GAUGE,
            "When the gateway is started next; absent if no start is waited for.",
            (),
        ),
        ("incidents_total", COUNTER, "Incidents that were opened, by cause.", ("cause",)),
        ("incidents_open", GAUGE, "Incidents that are open.", ()),
        ("incidents_unacknowledged", GAUGE, "Open incidents that no person took note of.", ()),
        ("at_risk", GAUGE, "1 unless the verdict of `tailflip status` is OK.", ()),
        ("findings", GAUGE, "What is wrong now, by code.", ("code", "severity")),
        ("jobs_in_flight", GAUGE, "Runs of cron jobs in flight at the last look.", ()),
        ("store_size_bytes", GAUGE, "Bytes of session stores.", ("agent",)),
        (
            "store_growth_bytes_per_day",
            GAUGE,
            "Growth of all stores together since entries were last taken out.",
            (),
        ),
        (
            "store_entries",
            GAUGE,
            "Entries of session stores at the last survey on record; absent after a change.",
            ("agent", "kind"),
        ),
        (
            "store_runs",
            GAUGE,
            "Entries of cron runs then, by what they say of their run.",
            ("agent", "status"),
        ),
        (
            "store_survey_timestamp_seconds",
            GAUGE,
            "When `gate` or `run` last surveyed the stores before a start.",
            (),
        ),
        ("actions_total", COUNTER, "Actions of tailflip that were done, by kind.", ("kind",)),
        (
            "action_failures_total",
            COUNTER,
            "Actions that were begun and taken back, by kind.",
            ("kind",),
        ),
        (
            "action_freed_bytes_total",
            COUNTER,
            "By how much stores became smaller, by kind of action.",
            ("kind",),
        ),
        ("action_duration_seconds", SUMMARY, "How long actions took, by kind.", ("kind",)),
        (
            "last_action_timestamp_seconds",
            GAUGE,
            "When the last action on record began, by kind.",
            ("kind",),
        ),
        ("archive_size_bytes", GAUGE, "Bytes of all archives and quarantined stores.", ()),
        ("archives", GAUGE, "Archives that can be put back.", ()),
        (
            "filesystem_avail_bytes",
            GAUGE,
            "Room on the disk of the gateway's state, of the temporary folder, of tailflip's own.",
            ("which",),
        ),
        ("filesystem_size_bytes", GAUGE, "Size of those disks.", ("which",)),
        ("alerts_sent_total", COUNTER, "Messages that were delivered.", ("destination",)),
        (
            "alert_failures_total",
            COUNTER,
            "Tries to deliver a message that failed.",
            ("destination",),
        ),
        ("alerts_pending", GAUGE, "Messages that wait to be delivered.", ("destination",)),
        (
            "alert_last_success_timestamp_seconds",
            GAUGE,
            "When a message was last delivered; absent where none is on record.",
            ("destination",),
        ),
        ("alerts_open", GAUGE, "Alerts that are open.", ("severity",)),
        (
            "heartbeat_last_success_timestamp_seconds",
            GAUGE,
            "When a heartbeat was last delivered; absent where none ever was.",
            (),
        ),
        ("maintenance_active", GAUGE, "1 while a person works on the gateway.", ()),
        (
            "maintenance_end_timestamp_seconds",
            GAUGE,
            "When that ends by itself; absent without a maintenance.",
            (),
        ),
        (
            "scrape_collector_success",
            GAUGE,
            "0 if this part could not be read: its metrics are then absent.",
            ("collector",),
        ),
        ("scrape_collector_duration_seconds", GAUGE, "How long that took.", ("collector",)),
    )
}
# Of tailflip itself: they have no label `gateway`.
OWN = frozenset(
    f"tailflip_{name}"
    for name in ("build_info", "scrape_collector_success", "scrape_collector_duration_seconds")
)
