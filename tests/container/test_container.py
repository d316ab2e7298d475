"""What docs/containers.md promises, in containers of our image with the real OpenClaw."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from podman import ROOT, TAILFLIP
from volume import configure, fill, read_digests

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]

INCIDENT_BYTES = 185_000_000
# What kills the import of the incident's store at every start, and lets a small one live.
DEADLY_HEAP = "NODE_OPTIONS=--max-old-space-size=384"
# Else the store is healed before anything dies of it.
WITHOUT_ADMISSION = "TAILFLIP_HEAL_ADMISSION=false"


def read_service(name: str) -> dict:
    return yaml.safe_load((ROOT / "packaging/container/compose.yaml").read_text())["services"][name]


def needs_memory_limits(container) -> None:
    found = container.podman.call("info", "--format", "{{.Host.CgroupControllers}}").stdout
    if "memory" not in found:
        pytest.skip(f"no memory limits for containers here: {found.strip()}")


def test_it_comes_up_as_nobody_with_a_read_only_root_and_stops_cleanly(container, version):
    """With every option of the Kubernetes manifests that podman has."""
    container.start(
        *("--read-only", "--read-only-tmpfs=false", "-m", "1g"),
        *("--tmpfs", "/tmp:mode=1777", "--tmpfs", "/home/node/.cache:mode=0777"),
        *("-e", "NODE_OPTIONS=--max-old-space-size=384"),
    )
    container.wait(container.is_healthy, "answer")
    first = container.exec("cat", "/proc/1/cmdline").stdout.split("\0")
    assert first[1:3] == [TAILFLIP, "run"]
    assert container.exec("id", "-u").stdout.strip() == "1000"
    told = container.exec("tailflip", "status").stdout
    assert f"OpenClaw {version}" in told
    assert "by `tailflip run`, pid 1" in told
    code, took_s = container.stop()
    assert code == 0
    assert took_s < 30
    assert re.search(r"gateway ended pid=\d+ exit=0", container.log())
    assert "tailflip ends" in container.log()


def test_a_heap_that_ran_full_is_healed_inside_the_same_container(container):
    fill(container, INCIDENT_BYTES)
    container.start("-e", DEADLY_HEAP, "-e", WITHOUT_ADMISSION)
    container.wait(container.is_healthy, "answer after a death", 300)
    log = container.log()
    assert log.count("gateway started") == 2
    assert "cause=v8-heap-oom" in log
    assert "store compacted" in log
    assert container.show("{{.RestartCount}}") == "0"
    container.stop()
    # What was taken out lies on the volume, and outlives the container.
    container.podman.call("rm", container.name)
    listed = json.loads(container.once([TAILFLIP, "archive", "list", "--json"]).stdout)
    assert any(each["id"] in log for each in listed["actions"])


def test_a_kill_by_the_containers_memory_limit_is_healed_too(container):
    """The kernel takes the gateway, and leaves us; a heap that was never full is no cause."""
    needs_memory_limits(container)
    fill(container, INCIDENT_BYTES)
    container.start(
        "-m", "1g", "-e", "NODE_OPTIONS=--max-old-space-size=2048", "-e", WITHOUT_ADMISSION
    )
    container.wait(container.is_healthy, "answer after a death", 300)
    log = container.log()
    assert "cause=cgroup-oom-kill confidence=proven" in log
    assert "store compacted" in log
    assert container.show("{{.RestartCount}}") == "0"
    assert container.exec("cat", "/proc/1/cmdline").stdout.split("\0")[1] == TAILFLIP


def test_a_refused_configuration_does_not_make_it_start_again_for_ever(container):
    """Exit code 78: one start, then patience; and one more when the file has changed."""
    configure(container, '{"gateway": {"mode": "no-such-mode"}}')
    container.start()
    container.wait(lambda: "waiting=config-change" in container.log(), "decision to wait")
    assert container.log().count("gateway started") == 1
    assert container.show("{{.State.Running}} {{.RestartCount}}") == "true 0"
    configure(container)
    container.wait(container.is_healthy, "answer after the change")
    assert container.log().count("gateway started") == 2


def test_a_killed_container_comes_up_again_on_its_volume(container):
    """Its locks are still there, and name pids that others have in the next container."""
    container.start()
    container.wait(container.is_healthy, "answer")
    container.podman.call("kill", container.name)
    assert container.show("{{.State.ExitCode}}") == "137"
    container.again()
    container.wait(container.is_healthy, "answer")
    assert container.stop()[0] == 0


def test_the_one_shot_compactor_of_the_compose_file_makes_room_and_can_be_undone(container):
    service = read_service("compactor")
    assert service["mem_limit"] == "256m"  # `once` gives that
    fill(container, INCIDENT_BYTES)
    before = read_digests(container)
    done = container.once(service["entrypoint"], *service["command"])
    assert done.returncode == 0, done.stderr
    after = read_digests(container)
    assert len(after) < len(before) / 2
    assert after.keys() <= before.keys()
    again = container.once(service["entrypoint"], *service["command"])
    assert again.returncode == 0
    assert "store compacted" not in again.stderr
    for action in re.findall(r"tailflip (restore \S+ --apply)", done.stderr)[::-1]:
        undone = container.once([TAILFLIP], *action.split())
        assert undone.returncode == 0, undone.stderr
    assert read_digests(container) == before
