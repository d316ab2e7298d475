"""`tailflip demo`: the incident and its cure, from beginning to end, in a scratch directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tailflip.base import clock
from tailflip.base.errors import InternalError
from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.demo.guarded import GuardedAct
from tailflip.demo.incident import INCIDENT_BYTES, write_incident

_HEAP_SHARE = 384 / 185  # bytes of heap for a byte of store: the incident's 185 MB die of 384
_LEAST_HEAP_MB = 16
_GATEWAY_OPTIONS = "--max-old-space-size=2048"  # what V8 takes by itself on a host with 8 GB
# Reads a store as the gateway does: the whole text, its objects, and a copy of them.
_READ_LIKE_THE_GATEWAY = """
const store = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
const copy = structuredClone(store);
process.stdout.write(Object.keys(copy).length + " entries read");
"""
_RESTORED_JOB = "morning-sleep-report"


def demo(
    size_mb: Annotated[
        int, typer.Option(min=20, max=10_000, help="Size of the store, in MB.")
    ] = INCIDENT_BYTES // 10**6,
) -> None:
    """Rebuild the incident in a scratch directory, cure it by hand, then let `run` cure it.

    Nothing of yours is read or changed. The scratch directory is removed at the end.
    """
    scratch = Path(tempfile.mkdtemp(prefix="tailflip-demo-"))
    try:
        _play(scratch, size_mb * 10**6)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        print(f"\n{scratch} is removed", file=sys.stderr)


def _play(scratch: Path, size_bytes: int) -> None:
    state = scratch / "openclaw"
    _say(f"A gateway's state directory as the incident left it: {state}")
    incident = write_incident(state, size_bytes=size_bytes, now_ms=clock.now_ms())
    print(f"{format_counted(incident['entries'], 'entry')}, {format_bytes(incident['bytes'])}")
    store = incident["store"]
    before = _digest_members(store)
    heap_mb = max(_LEAST_HEAP_MB, round(size_bytes / 10**6 * _HEAP_SHARE))
    _show_node(store, heap_mb)
    _tell(scratch, "inspect")
    _tell(scratch, "compact", "--apply")
    _show_node(store, heap_mb)
    _compare_kept(before, _digest_members(store))
    _tell(scratch, "restore", "--job", _RESTORED_JOB, "--apply")
    _compare_restored(before, _digest_members(store), incident["jobs"][_RESTORED_JOB])
    act = GuardedAct(state, size_bytes, heap_mb)
    _say(f"The same incident again, with `tailflip run` around the gateway. {act.describe()}")
    print("The check before the start is off (heal.admission=false), so that it dies once.\n")
    sys.stdout.flush()
    act.play(_environment(scratch), clock.now_ms())
    _tell(scratch, "status", may_warn=True)
    _tell(scratch, "incidents", "why")


def _environment(scratch: Path) -> dict[str, str]:
    """Make a person's environment whose home is the scratch directory."""
    return {
        **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
        "HOME": str(scratch),
        "OPENCLAW_STATE_DIR": str(scratch / "openclaw"),
        "TAILFLIP_STATE_DIR": str(scratch / "tailflip"),
        "NODE_OPTIONS": _GATEWAY_OPTIONS,
    }


def _tell(scratch: Path, *argv: str, may_warn: bool = False) -> None:
    """Run a verb as a person would; `may_warn`: exit code 1, a finding, is right as well."""
    _say(f"$ tailflip {' '.join(argv)}")
    sys.stdout.flush()
    code = subprocess.run(
        [sys.executable, "-m", "tailflip", *argv], env=_environment(scratch), check=False
    ).returncode
    if code and not (may_warn and code == 1):
        raise InternalError(f"the demonstration failed: tailflip {argv[0]} ended with {code}")


def _show_node(store: Path, heap_mb: int) -> None:
    """Let Node read the store with a small heap, if Node is installed."""
    node = shutil.which("node")
    if node is None:
        return
    _say(f"Node with {heap_mb} MB of heap reads the store of {format_bytes(store.stat().st_size)}")
    done = subprocess.run(
        [node, f"--max-old-space-size={heap_mb}", "-e", _READ_LIKE_THE_GATEWAY, str(store)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        print(done.stdout)
        return
    fatal = next((line for line in done.stderr.splitlines() if "FATAL" in line), "no output")
    print(f"it dies: {fatal}")


def _digest_members(store: Path) -> dict[str, bytes]:
    """Split the store by its indentation: key -> digest of the member's bytes.

    No JSON parser is used, so that it shares no mistake with the code that it checks.
    """
    members: dict[str, bytes] = {}
    key, digest = b"", hashlib.blake2b()
    with store.open("rb") as lines:
        for line in lines:
            if line.startswith(b'  "'):
                key, digest = line.split(b'": ')[0][3:], hashlib.blake2b()
            digest.update(line.rstrip(b",\n"))
            if line.startswith(b"  }"):
                members[key.decode()] = digest.digest()
    return members


def _compare_kept(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Compare the kept entries with the first store; a new entry is a bug."""
    same = sum(before.get(key) == digest for key, digest in after.items())
    if after.keys() - before.keys():
        raise InternalError("the demonstration failed: the store has entries it never had")
    if list(after) != [key for key in before if key in after]:
        raise InternalError("the demonstration failed: the order of entries changed")
    gone = len(before) - len(after)
    _say("Compared with a parser of its own")
    print(
        f"{format_counted(same, 'entry')} byte for byte as they were, "
        f"{format_count(len(after) - same)} slimmed, {format_count(gone)} archived; same order"
    )


def _compare_restored(before: dict[str, bytes], after: dict[str, bytes], job: str) -> None:
    """Check that every run of a job is back, byte for byte."""
    wanted = {key: digest for key, digest in before.items() if f":cron:{job}:run:" in key}
    if any(after.get(key) != digest for key, digest in wanted.items()):
        raise InternalError("the demonstration failed: a restored run is not what it was")
    print(f"all {format_counted(len(wanted), 'run')} of {_RESTORED_JOB} are back, byte for byte")


def _say(text: str) -> None:
    print(f"\n== {text}")
