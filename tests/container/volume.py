"""What lies on a container's volume: a configuration, the incident, and what became of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from podman import PYTHON, STATE

if TYPE_CHECKING:
    from podman import Container

STORE = f"{STATE}/agents/main/sessions/sessions.json"
_CONFIG = """{"gateway": {"mode": "local", "bind": "lan", "port": 18789,
  "auth": {"mode": "token", "token": "test-token"}},
  "discovery": {"mdns": {"mode": "off"}}, "update": {"checkOnStart": false}}"""
_FILL = f"""
import sys
from pathlib import Path
from tailflip.base import clock
from tailflip.demo.incident import write_incident
write_incident(Path("{STATE}"), size_bytes=int(sys.argv[1]), now_ms=clock.now_ms())
"""
_DIGEST = f"""
import hashlib, json
from pathlib import Path
digest = lambda entry: hashlib.sha256(json.dumps(entry).encode()).hexdigest()
entries = json.loads(Path("{STORE}").read_bytes())
print(json.dumps({{key: digest(entry) for key, entry in entries.items()}}))
"""


def configure(container: Container, text: str = _CONFIG) -> None:
    """Write OpenClaw's configuration, be the container started or not."""
    done = container.once(["sh", "-c", f"cat > {STATE}/openclaw.json"], given=text)
    assert done.returncode == 0, done.stderr


def fill(container: Container, size_bytes: int) -> None:
    """Put the incident there, as the image's user; it comes with a configuration of its own."""
    done = container.once([PYTHON, "-"], str(size_bytes), given=_FILL)
    assert done.returncode == 0, done.stderr
    configure(container)


def read_digests(container: Container) -> dict[str, str]:
    """Return a digest of every entry of the store."""
    done = container.once([PYTHON, "-"], given=_DIGEST, memory="2g")
    assert done.returncode == 0, done.stderr
    digests: dict[str, str] = json.loads(done.stdout)
    return digests
