"""Whole nights in virtual time: what a person hears of them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from support.alert_scenes import BEGAN_MS, DAY, HOUR, MINUTE, PHONE, SECOND, Scene
from support.ledger_rows import GUARD
from support.stores import BROKEN, FULL, FaultyDisk
from tailflip.alerts.turn import DUE_FACT, send_test, take_turn
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.flow.alerts import Delivery, Destination, MessageKind, Silence, Urgency
from tailflip.flow.lives import Cause
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Details, Ledger, State

ONCALL = Destination("oncall", Urgency.CRITICAL, 15 * MINUTE)
MAIL = Destination("mail", Urgency.WARNING)
MAIL_CRITICAL = Destination("ceo", Urgency.CRITICAL)


def test_a_crash_loop_is_one_message_and_its_end_has_the_same_name(scene):
    scene.loop()
    scene.wait(10 * MINUTE)
    scene.live_well()
    scene.wait(6 * HOUR)
    assert scene.receivers.list_told() == [
        ("opened", "claw: crash loop"),
        ("recovered", "claw: over: crash loop"),
    ]
    assert [m.alerts for _, _, m in scene.receivers.got] == [("tf-claw-1",), ("tf-claw-1",)]


def test_an_outage_carries_what_is_wrong_besides(scene):
    scene.loop()
    scene.find("heap-forecast", "job-storm", "leftovers")
    scene.wait(10 * MINUTE)
    scene.find("heap-forecast", "job-storm", "leftovers", "job-stuck")
    scene.wait(10 * MINUTE)
    assert scene.receivers.list_told() == [("opened", "claw: crash loop, and 2 more")]
    scene.live_well()
    scene.wait(HOUR)
    assert scene.receivers.list_told()[1:] == [
        ("recovered", "claw: over: crash loop"),
        ("opened", "claw: job stuck"),  # it stood still when the outage was over
    ]


def test_what_an_outage_carried_is_over_with_it_and_told_anew_if_it_comes_back(scene):
    scene.loop()
    scene.find("job-storm")
    scene.wait(10 * MINUTE)
    scene.find()
    scene.start()
    scene.wait(180 * SECOND)
    scene.note_good_life()
    scene.wait(5 * MINUTE)
    scene.find("job-storm")
    scene.wait(HOUR)
    scene.find()
    scene.wait(HOUR)
    assert scene.receivers.list_told() == [
        ("opened", "claw: crash loop, and 1 more"),
        ("recovered", "claw: over: crash loop, and 1 more"),
        ("opened", "claw: job storm"),
        ("recovered", "claw: over: job storm"),
    ]


def test_what_an_outage_carried_is_not_told_as_over_while_it_lasts(scene):
    scene.loop()
    scene.find("job-storm")
    scene.wait(10 * MINUTE)
    scene.find()
    scene.wait(20 * MINUTE)
    assert scene.receivers.list_kinds() == ["opened"]
    scene.live_well()
    assert scene.receivers.list_told()[1:] == [("recovered", "claw: over: crash loop, and 1 more")]


def test_a_healed_death_is_no_alarm(scene):
    scene.set(digest="08:00")
    scene.wait(MINUTE)
    life = scene.start()
    scene.now_ms += HOUR
    scene.die(life)
    scene.wait(20 * SECOND)
    scene.live_well()
    scene.wait(3 * HOUR)
    assert scene.receivers.got == []
    scene.wait(6 * HOUR)
    (message,) = (m for _, _, m in scene.receivers.got)
    assert (message.kind, message.subject) == (MessageKind.DIGEST, "claw: daily digest")
    assert message.body == "1 death of the gateway, started again: v8-heap-oom 1"


def test_a_start_that_takes_its_time_after_one_death_is_no_alarm(scene):
    scene.die(scene.start())
    scene.now_ms += 20 * SECOND
    life = scene.start(ready_ms=None)
    scene.wait(14 * MINUTE)
    scene.history.lives.update(life.model_copy(update={"ready_ms": scene.now_ms}))
    scene.wait(HOUR)
    assert scene.receivers.got == []


def test_a_gateway_that_does_not_come_back_is_down(scene):
    scene.die(scene.start(), Cause.CONFIG)
    scene.wait(2 * HOUR)
    (at_ms, _, message), reminder = scene.receivers.got
    assert at_ms == BEGAN_MS + 150 * SECOND
    assert message.subject == "claw: gateway down"
    assert message.body.splitlines()[1:4] == [
        "No good answer for 2.5 min; config-fault, proven: it refused its configuration.",
        "Done: nothing; nothing was changed.",
        "Next: tailflip status",
    ]
    assert reminder[2].kind is MessageKind.REMINDER


def test_a_restart_of_tailflip_tells_nothing_twice(scene):
    scene.loop()
    scene.wait(2 * MINUTE)
    for _ in range(5):
        scene.history = scene.open()
        scene.wait(MINUTE, beat_ms=10 * SECOND)
    assert scene.receivers.list_kinds() == ["opened"]


def test_a_receiver_that_is_down_for_the_whole_outage_hears_that_it_was(scene):
    scene.receivers.down = {"phone"}
    scene.loop()
    scene.wait(20 * MINUTE)
    scene.live_well()
    scene.wait(20 * MINUTE)
    scene.receivers.down = set()
    scene.wait(2 * HOUR)
    assert scene.receivers.list_told() == [("was", "claw: was: crash loop 02:40-03:01")]


def test_an_opening_that_was_delivered_has_its_end_told_once_the_receiver_is_back(scene):
    scene.loop()
    scene.wait(2 * MINUTE)
    scene.receivers.down = {"phone"}
    scene.live_well()
    scene.wait(20 * MINUTE)
    scene.receivers.down = set()
    scene.wait(2 * HOUR)
    assert scene.receivers.list_kinds() == ["opened", "recovered"]


@pytest.mark.parametrize("is_healed", [True, False])
def test_a_slow_loop_is_no_storm(scene, is_healed):
    """Dead every 6 h for 3 days: 5 s of silence each time, or 10 minutes of it."""
    scene.set(digest="08:00")
    for _ in range(12):
        life = scene.start()
        scene.wait(6 * HOUR, beat_ms=20 * MINUTE)
        scene.note_good_life()
        scene.die(life)
        scene.wait(5 * SECOND if is_healed else 10 * MINUTE)
    scene.start()
    scene.wait(10 * HOUR)
    kinds = scene.receivers.list_kinds()
    assert kinds.count("digest") == 3
    if is_healed:
        assert set(kinds) == {"digest"}
    else:
        assert (kinds.count("opened"), kinds.count("recovered")) == (12, 12)
        assert len(kinds) == 27


def test_what_flaps_is_told_at_the_first_second_fourth_and_eighth_time(scene):
    for _ in range(9):
        scene.find("job-storm")
        scene.wait(5 * MINUTE)
        scene.find()
        scene.wait(15 * MINUTE)
    told = scene.receivers.list_told()
    assert [subject for kind, subject in told if kind == "opened"] == [
        "claw: job storm",
        "claw: job storm, 2nd time",
        "claw: job storm, 4th time",
        "claw: job storm, 8th time",
    ]
    assert {each for _, _, m in scene.receivers.got for each in m.alerts} == {"tf-claw-1"}
    assert len(told) == 8


def test_what_was_over_for_a_moment_alone_is_not_told_as_over(scene):
    scene.find("job-storm")
    scene.wait(MINUTE)
    scene.find()
    scene.wait(9 * MINUTE)
    scene.find("job-storm")
    scene.wait(HOUR)
    assert scene.receivers.list_kinds() == ["opened"]


def test_reminders_end_with_an_acknowledgement_and_the_recovery_is_told(scene):
    scene.loop()
    scene.wait(5 * HOUR)
    assert scene.receivers.list_kinds() == ["opened", "reminder", "reminder"]
    alert = scene.history.alerts.find("tf-claw-1")
    scene.history.alerts.ack(alert, scene.now_ms, "ana", "disk is on its way")
    scene.wait(5 * DAY)
    assert scene.receivers.list_kinds() == ["opened", "reminder", "reminder"]
    scene.live_well()
    assert scene.receivers.list_kinds()[3:] == ["recovered"]
    assert "Note: disk is on its way" in scene.receivers.got[-1][2].body


def test_nobody_answers_and_the_next_one_is_called(scene):
    scene.set(destinations=(PHONE, ONCALL))
    scene.loop()
    scene.wait(14 * MINUTE)
    assert scene.receivers.list_told("oncall") == []
    scene.wait(3 * MINUTE)
    assert scene.receivers.list_told("oncall") == [
        ("escalated", "claw: nobody answered: crash loop")
    ]
    scene.live_well()
    assert scene.receivers.list_kinds("oncall") == ["escalated", "recovered"]


def test_whoever_answers_keeps_the_next_one_asleep(scene):
    scene.set(destinations=(PHONE, ONCALL))
    scene.loop()
    scene.wait(10 * MINUTE)
    scene.history.alerts.ack(scene.history.alerts.find("1"), scene.now_ms)
    scene.wait(HOUR)
    scene.live_well()
    assert scene.receivers.list_told("oncall") == []
    assert scene.receivers.list_kinds() == ["opened", "recovered"]


def test_quiet_hours_delay_and_drop_nothing(scene):
    """02:40 at night: a warning that stands, one that comes and goes, and an outage."""
    scene.set(quiet="22:00-07:00")
    scene.find("job-storm", "job-stuck")
    scene.wait(HOUR)
    scene.find("job-stuck")
    scene.wait(HOUR)
    assert scene.receivers.got == []
    scene.loop()
    scene.wait(MINUTE)
    assert scene.receivers.list_told() == [("opened", "claw: crash loop")]
    scene.live_well()
    scene.wait(3 * HOUR)
    assert scene.receivers.list_told()[1:] == [
        ("recovered", "claw: over: crash loop"),
        ("was", "claw: was: job storm 02:40-03:40"),
        ("opened", "claw: job stuck"),
    ]
    assert scene.receivers.got[-1][0] == BEGAN_MS + 4 * HOUR + 20 * MINUTE - BEGAN_MS % MINUTE


def test_what_came_and_went_at_night_is_told_to_those_alone_who_would_have_heard(scene):
    scene.set(destinations=(PHONE, ONCALL, MAIL_CRITICAL), quiet="22:00-07:00", digest="08:00")
    scene.wait(MINUTE)
    scene.silence = Silence(scene.now_ms, scene.now_ms + 3 * MINUTE)
    scene.find("job-rapid")  # born in a maintenance, it is a line of the digest
    scene.wait(5 * MINUTE)
    scene.find("job-storm")
    scene.wait(20 * MINUTE)
    scene.find("job-stuck")
    scene.wait(10 * SECOND)  # it was gone before it would have been told
    scene.find()
    scene.wait(6 * HOUR)
    assert scene.receivers.list_told() == [
        ("was", "claw: was: job storm 02:46-03:06"),
        ("digest", "claw: daily digest"),
    ]
    assert scene.receivers.got[-1][2].body.splitlines() == [
        "came and went: job stuck",
        "came and went during maintenance: rapid job",
    ]
    assert scene.receivers.list_told("oncall") == scene.receivers.list_told("ceo") == []


def test_a_salvage_is_told_until_somebody_has_seen_it_and_then_no_more(scene):
    action = Action(
        id="A1", kind=ActionKind.SALVAGE, store=f"{GUARD}/s.json", state=State.DONE,
        created_ms=scene.now_ms, details=Details(temps=()),
    )  # fmt: skip
    scene.history.workspace.create()
    Ledger(scene.history.workspace).begin(action)
    scene.wait(DAY)
    scene.wait(HOUR)
    assert scene.receivers.list_told() == [
        ("opened", "claw: store salvaged"),
        ("reminder", "claw: still: store salvaged"),
    ]
    scene.history.alerts.ack(scene.history.alerts.find("1"), scene.now_ms)
    scene.wait(8 * DAY)
    assert len(scene.receivers.got) == 2
    assert [each.is_open for each in scene.history.alerts.read(0)] == [False]


@pytest.mark.parametrize(
    ("day_ms", "loud"),
    [
        (1_774_656_000_000, "2026-03-29T05:00:00Z"),  # the clock goes forward in this night
        (1_792_800_000_000, "2026-10-25T06:00:00Z"),  # and back in this one
    ],
)
def test_quiet_hours_end_by_the_wall_clock_also_where_it_changes(scene, zone, day_ms, loud):
    zone("Europe/Berlin")
    scene.now_ms = day_ms + 23 * HOUR + 30 * MINUTE
    scene.set(quiet="22:00-07:00")
    scene.find("job-stuck")
    scene.wait(12 * HOUR)
    ((at_ms, _, _),) = scene.receivers.got
    assert clock_text(at_ms) == loud


def clock_text(at_ms):
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def test_silence_lets_pass_what_destroys_data_and_tells_the_rest_at_its_end(scene):
    scene.set(digest="08:00")
    scene.wait(MINUTE)
    scene.silence = Silence(scene.now_ms, scene.now_ms + 2 * HOUR)
    scene.find("job-storm", "store-invalid", "job-stuck")
    scene.wait(30 * MINUTE)
    assert scene.receivers.list_told() == [("opened", "claw: store invalid")]
    scene.find("store-invalid", "job-stuck")
    scene.die(scene.start())
    scene.wait(2 * HOUR)
    (_, _, message) = scene.receivers.got[-1]
    assert message.subject == "claw: gateway down, and 1 more"
    assert "during maintenance" in message.body
    scene.live_well()
    scene.wait(6 * HOUR)
    digest = scene.receivers.got[-1][2]
    assert digest.kind is MessageKind.DIGEST
    assert "came and went during maintenance: job storm" in digest.body.splitlines()


def test_no_more_messages_in_an_hour_than_the_limit_and_none_is_lost(scene):
    codes = [
        "job-storm", "job-rapid", "job-stuck", "job-overdue", "heap-close", "store-growing",
        "safe-start", "jobs-twin", "records-unread", "reaper-stopped", "settings-wrong",
        "work-kills", "job-held", "session-held",
    ]  # fmt: skip
    for at in range(len(codes)):
        scene.find(*codes[: at + 1])
        scene.wait(MINUTE)
    assert scene.receivers.list_kinds() == ["opened"] * 10
    scene.wait(HOUR)
    assert scene.receivers.list_told()[10:] == [("opened", "claw: settings wrong, and 3 more")]
    named = {each for _, _, m in scene.receivers.got for each in m.alerts}
    assert len(named) == len(codes)


def test_a_destination_that_hears_nothing_is_told_of_by_the_others(scene):
    scene.set(destinations=(PHONE, MAIL))
    scene.receivers.down = {"phone"}
    scene.find("job-stuck")
    scene.wait(90 * MINUTE)
    assert scene.receivers.list_told("mail") == [
        ("opened", "claw: job stuck"),
        ("opened", "claw: alerts fail"),
    ]
    assert scene.receivers.got[-1][2].body.splitlines()[1] == (
        "Phone has received no message since then."
    )
    scene.receivers.down = set()
    scene.wait(3 * HOUR)
    assert scene.receivers.list_told("mail")[2:] == [("recovered", "claw: over: alerts fail")]
    assert scene.receivers.list_kinds() == ["opened"]


def test_what_could_not_be_delivered_in_a_day_is_counted_in_the_next_message(scene):
    scene.receivers.down = {"phone"}
    scene.find("job-stuck")
    scene.wait(DAY + 2 * HOUR)
    notices = scene.history.notices.read_last()
    assert [each.given_up_ms is not None for each in notices] == [False, True]
    scene.receivers.down = set()
    scene.wait(2 * HOUR)
    (_, _, message) = scene.receivers.got[0]
    assert message.body.endswith("\n1 message before this one could not be delivered.")
    scene.find("job-stuck", "job-storm")
    scene.wait(HOUR)
    assert "could not be delivered" not in scene.receivers.got[-1][2].body


def test_a_destination_that_is_gone_from_the_settings_waits_for_nothing(scene):
    scene.receivers.down = {"phone"}
    scene.find("job-stuck")
    scene.wait(MINUTE)
    scene.set(destinations=(MAIL,))
    scene.wait(MINUTE)
    phone = [each for each in scene.history.notices.read_last() if each.destination == "phone"]
    assert [each.error for each in phone] == ["it is not in the settings any more"]
    assert phone[0].next_ms is None


def test_a_sender_that_fails_closes_no_other_road(scene):
    scene.set(destinations=(PHONE, MAIL))

    def send(destination, message):
        if destination == "phone":
            raise ValueError("https://token@host/path")
        return scene.receivers.send(destination, message)

    scene.find("job-stuck")
    scene.turn()
    scene.now_ms += MINUTE
    made = take_turn(scene.history, scene.settings, send)
    assert (made.written, made.delivered, made.failed) == (2, 1, 1)
    assert [each.error for each in scene.history.notices.read_last() if each.error] == [
        "the sender failed: ValueError"
    ]


def test_where_nothing_is_wrong_nothing_is_written_and_nothing_waits(scene):
    scene.start()
    assert scene.turn() is not None
    disk = FaultyDisk()
    scene.history = scene.open(disk)
    made = scene.turn()
    assert (made.written, made.due_ms) == (0, None)
    assert disk.effects.count("commit") == 0


def test_one_pass_at_a_time_and_the_one_at_work_looks_once_more(scene):
    """What was noted while a pass was sending is told by that pass, not by the next beat."""
    scene.find("job-stuck")
    scene.turn()
    scene.now_ms += MINUTE
    seen = []

    def send(_destination, message):
        if not seen:
            scene.loop()
            scene.now_ms += MINUTE
            seen.append(take_turn(scene.history, scene.settings, send))
        seen.append(message.subject)
        return Delivery(True)

    made = take_turn(scene.history, scene.settings, send)
    assert seen == [None, "claw: job stuck"]
    assert {each.code for each in scene.history.alerts.read(0)} >= {"job-stuck", "crash-loop"}
    assert made.due_ms == scene.now_ms + 30 * SECOND


def test_a_lock_that_another_process_holds_is_not_waited_for(scene):
    scene.turn()
    (path,) = scene.home.guards.glob("*.alerts")
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    scene.find("job-stuck")
    assert scene.turn() is None
    os.close(fd)
    assert scene.turn() is not None


def test_a_test_message_is_sent_at_once_and_tried_once(scene):
    notice, delivery = send_test(scene.history, scene.settings, scene.receivers.send, "phone")
    assert delivery.delivered
    assert notice.delivered_ms == scene.now_ms
    assert scene.receivers.list_told() == [("test", "claw: test")]
    scene.receivers.down = {"phone"}
    send_test(scene.history, scene.settings, scene.receivers.send, "phone")
    scene.wait(DAY)
    assert scene.receivers.tries == 2


HEAVY = (
    "typer", "rich", "psutil", "watchdog", "json5", "http", "ssl", "smtplib", "asyncio",
    "subprocess", "apprise", "tailflip.stores", "tailflip.observe", "tailflip.supervise",
)  # fmt: skip


def test_a_pass_is_light():
    """It is made every few minutes, and more often while a gateway is in trouble."""
    code = "import sys, tailflip.alerts.turn; print(*sys.modules, sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "tailflip.ledger.notices" in loaded
    assert [each for each in HEAVY if each in loaded] == []


# --- killed between any two effects ------------------------------------------------------------


def play(scene, disk, send):
    """An outage from its beginning to its end, every pass on a disk that may fail."""
    scene.turn = lambda: pass_once(scene, disk, send)
    scene.loop()
    for wait_ms in (MINUTE, 30 * SECOND, 70 * MINUTE, MINUTE):
        scene.now_ms += wait_ms
        scene.turn()
    scene.start()
    scene.now_ms += 4 * MINUTE
    scene.note_good_life()
    for wait_ms in (MINUTE, 4 * MINUTE, MINUTE, HOUR):
        scene.now_ms += wait_ms
        scene.turn()


def pass_once(scene, disk, send):
    try:
        take_turn(scene.open(disk), scene.settings, send)
    except (TailflipError, OSError):
        # Killed: the next one comes with the next beat.
        scene.now_ms += 5 * MINUTE
        take_turn(scene.open(), scene.settings, send)


def count_effects(scene):
    disk = FaultyDisk()
    play(scene, disk, scene.receivers.send)
    return len(disk.effects)


@pytest.mark.parametrize("error", [BROKEN, FULL])
def test_killed_at_any_effect_everything_is_told_and_nothing_said_twice(
    tmp_path_factory, monkeypatch, error
):
    total = count_effects(Scene(Home(tmp_path_factory.mktemp("all")), monkeypatch))
    assert total > 20
    for at in range(1, total + 1):
        scene = Scene(Home(tmp_path_factory.mktemp(f"at{at}")), monkeypatch)
        play(scene, FaultyDisk(at, error=error), scene.receivers.send)
        got = [(m.number, str(m.kind), m.alerts) for _, _, m in scene.receivers.got]
        by_number = dict.fromkeys(got)
        # A receiver knows a message by its number: what it got twice is one.
        assert [kind for _, kind, _ in by_number] == ["opened", "reminder", "recovered"], at
        assert len({alerts for _, _, alerts in by_number}) == 1, at
        assert len(got) <= len(by_number) + 1, at
        # What the receiver acknowledged, and we noted, was not sent again.
        for notice in scene.history.notices.read_last():
            times = [at_ms for at_ms, _, m in scene.receivers.got if m.number == notice.number]
            assert notice.delivered_ms is not None, at
            assert all(at_ms <= notice.delivered_ms for at_ms in times), at


def test_killed_while_it_sends_a_message_is_sent_again_later_and_not_at_once(scene):
    scene.find("job-stuck")
    scene.turn()
    scene.now_ms += MINUTE

    def die(*_):
        raise SystemExit(9)

    with pytest.raises(SystemExit):
        take_turn(scene.history, scene.settings, die)
    (notice,) = scene.history.notices.read_last()
    assert (notice.tries, notice.next_ms) == (1, scene.now_ms + 30 * SECOND)
    assert scene.turn().delivered == 0
    scene.now_ms += 30 * SECOND
    assert scene.turn().delivered == 1
    assert scene.history.facts.get(DUE_FACT) is not None
