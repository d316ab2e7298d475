"""What `tailflip install` promises, under a systemd that is one."""

from __future__ import annotations

import re
import time

import pytest
from stand_in import TAILFLIP, UNITS

pytestmark = pytest.mark.systemd

OOM_ABOVE = "--oom-above 2000000"


def test_the_drop_in_is_in_force_and_becomes_the_gateway(gateway):
    made = gateway()
    made.install()
    assert made.show("DropInPaths").endswith("10-tailflip.conf")
    made.systemctl("start", made.name)
    made.wait_up()
    pid = made.show("MainPID")
    line = made.machine.run("cat", f"/proc/{pid}/cmdline").stdout
    assert "dist/index.js" in line
    assert "tailflip gate" not in line
    # systemd is the one who restarts it: the gateway must go on believing that.
    env = made.machine.run("cat", f"/proc/{pid}/environ").stdout
    assert "INVOCATION_ID=" in env
    assert "TAILFLIP_LIFE=" in env


def test_without_us_a_large_store_uses_the_start_limit_up(gateway):
    """What the next test is measured against."""
    made = gateway(options=OOM_ABOVE)
    made.fill(3_000_000)
    made.systemctl("start", made.name)
    made.wait_for("ActiveState", "failed")
    assert "Start request repeated too quickly" in made.machine.tell()


def test_a_death_of_memory_is_healed_within_one_restart(gateway):
    made = gateway(options=OOM_ABOVE)
    store = made.fill(3_000_000)
    made.install()
    made.systemctl("start", made.name)
    made.wait_up()
    assert made.show("NRestarts") == "1"
    assert store.stat().st_size < 2_000_000
    assert "store compacted" in made.journal()
    told = made.tailflip("incidents", "--state-dir", made.state).stdout
    assert "v8-heap-oom" in told
    undo = re.search(r"undo=\"?tailflip (restore \S+ --apply)", made.journal())
    made.systemctl("stop", made.name)
    made.tailflip(*undo[1].split())
    assert store.stat().st_size > 2_000_000


def test_the_start_limit_is_not_hit(gateway):
    made = gateway(options="--deaths-file /home/ada/limit --die 1 --deaths 8")
    made.install()
    made.systemctl("start", made.name)
    lives = made.machine.root / "home/ada/limit"
    made.machine.wait(
        lambda: lives.exists() and len(lives.read_text().splitlines()) >= 9, "nine lives", 60
    )
    made.wait_up()
    assert int(made.show("NRestarts")) >= 8


@pytest.mark.parametrize(
    ("version", "prefix"), [("2026.4.14", "openclaw-gateway"), ("2026.9.6", "my-openclaw")]
)
def test_work_before_a_start_may_take_longer_than_the_start_timeout(gateway, version, prefix):
    """The stock 30 s, in small: 1 s, and a store that takes longer."""
    made = gateway(version=version, prefix=prefix, start_s="1", options="--oom-above 50000000")
    store = made.fill(900_000_000)
    made.write("/home/ada/.config/tailflip/slow.toml", '[gateway]\nheap_limit = "512mb"\n')
    made.install()
    made.add("[Service]\nEnvironment=TAILFLIP_CONFIG=/home/ada/.config/tailflip/slow.toml\n")
    began = time.monotonic()
    made.systemctl("start", made.name, check=False)
    made.wait_up(120)
    took_s = time.monotonic() - began
    assert took_s > 1.2, "too quick to show anything"
    assert made.show("NRestarts") == "0"
    assert store.stat().st_size < 50_000_000


def test_run_says_ready_when_the_gateway_answers_and_is_given_the_time(gateway):
    made = gateway(options="--silent-start-s 5")
    made.install("--mode", "run")
    made.add("[Service]\nTimeoutStartSec=2\n")
    made.systemctl("start", made.name)  # waits for READY
    assert made.answers()
    assert made.show("Type") == "notify"
    assert made.show("NRestarts") == "0"
    assert "pid" in made.show("StatusText")


def test_run_heals_a_death_of_memory_without_systemd_seeing_it(gateway):
    made = gateway(options=OOM_ABOVE)
    store = made.fill(3_000_000)
    made.install("--mode", "run")
    made.systemctl("start", made.name)
    made.wait_up()
    assert made.show("NRestarts") == "0"
    assert store.stat().st_size < 2_000_000


def test_a_missed_watchdog_restarts_us(gateway):
    made = gateway()
    made.install("--mode", "run")
    made.add("[Service]\nWatchdogSec=3\nRestartSec=0\n")
    made.systemctl("start", made.name)
    made.wait_up()
    made.systemctl("kill", "--kill-who=main", "--signal=STOP", made.name)
    made.wait_for("NRestarts", "1", 60)
    made.wait_up()
    made.wait_for("ActiveState", "active")
    assert "watchdog" in made.machine.run("journalctl", "--no-pager", f"USER_UNIT={made.name}.service", check=False).stdout.lower()  # noqa: E501  # fmt: skip


@pytest.mark.parametrize("mode", ["gate", "run"])
def test_a_stop_is_clean(gateway, mode):
    made = gateway(options=f"--signals-file /home/ada/signals-{mode}")
    made.install("--mode", mode)
    made.systemctl("start", made.name)
    made.wait_up()
    made.systemctl("stop", made.name)
    assert made.show("ActiveState") == "inactive"
    assert made.show("Result") == "success"
    signals = (made.machine.root / f"home/ada/signals-{mode}").read_text().split()
    assert signals == ["SIGTERM"]
    assert not made.answers()


def test_a_unit_that_stays_down_is_told_of(gateway):
    made = gateway(options="--die 78 --say 'Config invalid'")
    made.write(
        "/home/ada/.config/tailflip/alert.env", "TAILFLIP_ALERT_COMMAND=/home/ada/alert.sh\n"
    )
    made.write("/home/ada/alert.sh", '#!/bin/sh\necho "$1" > /home/ada/alert\n')
    made.machine.run("chmod", "+x", "/home/ada/alert.sh")
    made.install()
    made.systemctl("start", made.name, check=False)
    made.wait_for("ActiveState", "failed")
    alert = made.machine.root / "home/ada/alert"
    made.machine.wait(alert.exists, "alert")
    assert alert.read_text().strip() == made.state


def test_watch_and_the_timer_stand_beside(gateway):
    made = gateway()
    made.fill(1_000_000)
    made.install("--timer")
    assert (
        made.systemctl("is-active", f"tailflip-reconcile-{made.profile}.timer").strip() == "active"
    )
    made.systemctl("start", f"tailflip-reconcile-{made.profile}.service")
    made.tailflip("uninstall", "--service", made.name, "--apply")
    assert made.systemctl("is-active", f"tailflip-reconcile-{made.profile}.timer", check=False).strip() != "active"  # noqa: E501  # fmt: skip


def test_uninstalling_restores_the_unit_byte_for_byte(gateway):
    made = gateway()
    cat_before = made.systemctl("cat", f"{made.name}.service")
    files = made.machine.run("find", UNITS).stdout
    for argv in ((), ("--mode", "run", "--timer"), ("--timer",)):
        made.install(*argv)
    made.tailflip("uninstall", "--service", made.name, "--apply")
    unit = made.machine.root / f"{UNITS}/{made.name}.service".lstrip("/")
    assert unit.read_text() == made.text
    assert made.systemctl("cat", f"{made.name}.service") == cat_before
    assert made.machine.run("find", UNITS).stdout == files
    assert made.show("NeedDaemonReload") == "no"
    made.systemctl("start", made.name)
    made.wait_up()


def test_a_reinstall_of_openclaw_is_followed(gateway):
    """The unit is written anew with another port: the drop-in stays, and starts the new command."""
    made = gateway()
    made.install()
    new = made.text.replace(f"--port {made.port}", "--port 18799")
    made.write(f"{UNITS}/{made.name}.service", new)
    made.systemctl("daemon-reload")
    made.systemctl("restart", made.name)
    made.port = 18799
    made.wait_up()
    assert made.drop_in.exists()


def test_a_service_of_the_system_too(gateway, machine):
    made = gateway()
    made.systemctl("stop", made.name, check=False)
    unit = machine.root / "etc/systemd/system/openclaw.service"
    unit.write_text(made.text.replace("[Service]\n", "[Service]\nUser=ada\n"))
    (machine.root / f"{UNITS}/{made.name}.service".lstrip("/")).unlink()
    machine.run("systemctl", "daemon-reload")
    before = machine.run("systemctl", "cat", "openclaw.service").stdout
    machine.run(TAILFLIP, "install", "--service", "openclaw", "--apply")
    machine.run("systemctl", "start", "openclaw.service")
    made.wait_up()
    pid = machine.run("systemctl", "show", "openclaw", "-p", "MainPID", "--value").stdout.strip()
    assert "Uid:\t1000" in machine.run("cat", f"/proc/{pid}/status").stdout
    machine.run("systemctl", "stop", "openclaw.service")
    machine.run(TAILFLIP, "uninstall", "--apply")
    assert machine.run("systemctl", "cat", "openclaw.service").stdout == before
    unit.unlink()
    machine.run("systemctl", "daemon-reload")


def test_every_unit_is_verified_and_scored(gateway, machine, capsys):
    made = gateway()
    scores = {}
    for argv, names in (
        (("--timer",), ("tailflip-alert@x", f"tailflip-reconcile-{made.profile}", made.name)),
        (("--mode", "run"), (made.name,)),
        (("--mode", "watch"), (f"tailflip-watch-{made.profile}",)),
    ):
        made.install(*argv)
        for name in names:
            done = machine.run(
                "systemd-analyze", "--user", "verify", f"{name}.service", user=True, check=False
            )
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), name
            told = machine.run(
                *("systemd-analyze", "--user", "security", "--no-pager", f"{name}.service"),
                user=True, check=False,
            ).stdout.strip().splitlines()  # fmt: skip
            scores[f"{' '.join(argv)} {name}"] = told[-1] if told else "?"
    with capsys.disabled():
        print()
        for name, score in scores.items():
            print(f"  {name}: {score}")
