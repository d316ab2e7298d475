"""Containers of our own image, by podman: made from Debian's packages and npm's, no registry.

Two images are made once and kept in podman's own store: a Debian, and an OpenClaw laid out as in
its own image (user `node`, `/app/dist/index.js`). Ours is built on that by the Containerfile as it
stands. Containers have no network: whatever is asked of them is asked inside.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import run_program

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    import real_gateway

ROOT = Path(__file__).parents[2]
STATE, TMP = "/home/node/.openclaw", "/tmp"
TAILFLIP, PYTHON = "/opt/tailflip/bin/tailflip", "/opt/tailflip/bin/python"
HARDENED = ("--security-opt=no-new-privileges", "--cap-drop=ALL")
_DEBIAN = "localhost/tailflip-test/debian:bookworm"
# As in the image that OpenClaw publishes. Its packages are in two folders, as npm laid them. All
# that our image needs lies in dist/: without an index, a proxy's certificate is nobody's trouble.
_OPENCLAW = f"""\
FROM {_DEBIAN}
RUN useradd -m -u 1000 -s /bin/bash node
COPY node /usr/local/bin/node
COPY outer/node_modules /node_modules
COPY --chown=node:node app /app
ENV NODE_ENV=production PIP_NO_INDEX=1
WORKDIR /app
USER node
ENTRYPOINT ["tini", "-s", "--"]
CMD ["node", "openclaw.mjs", "gateway"]
"""
_BUILD_S, _CALL_S = 900, 120


class NotPossible(Exception):
    """This machine cannot run containers; the message says why."""


@dataclass(frozen=True)
class Podman:
    """Podman with settings of our own: limits that this machine may set, a runtime that starts."""

    settings: Path

    @classmethod
    def find(cls, folder: Path) -> Podman:
        """Find one that can start containers, as root."""
        for program in ("podman", "mmdebstrap"):
            if shutil.which(program) is None:
                raise NotPossible(f"no {program}: apt-get install podman runc mmdebstrap")
        if os.getuid() != 0:
            raise NotPossible("only root has a memory limit for a container everywhere")
        # Podman asks for more than a machine may give, and takes some itself from processes.
        files, processes = (
            resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
        )
        limits = [
            f'"{name}={least}:{least}"'
            for name, hard, enough in (("nofile", files, 20_000), ("nproc", processes, 4096))
            for least in (min(hard, enough) if hard != resource.RLIM_INFINITY else enough,)
        ]
        # crun refuses a machine with both kinds of cgroups.
        is_mixed = Path("/sys/fs/cgroup/unified").is_dir() and shutil.which("runc")
        settings = folder / "containers.conf"
        settings.write_text(
            f"[containers]\ndefault_ulimits = [{', '.join(limits)}]\n"
            '[engine]\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n'
            + ('runtime = "runc"\n' if is_mixed else "")
        )
        return cls(settings)

    def call(
        self,
        *argv: object,
        check: bool = True,
        timeout_s: float = _CALL_S,
        given: str = "",
    ) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "CONTAINERS_CONF": str(self.settings)}
        # Podman leaves a file named "oom" where it was started, for a container that was one.
        place = self.settings.parent
        return run_program(
            ["podman", *argv], timeout_s=timeout_s, check=check, given=given, env=env, cwd=place
        )

    def build(self, name: str, file: Path, context: Path, *arguments: str) -> None:
        """Build an image; `docker` is the format that keeps a HEALTHCHECK."""
        self.call(
            *("build", "--format=docker", "--network=host", "-t", name, "-f", file),
            *(word for each in arguments for word in ("--build-arg", each)),
            context,
            timeout_s=_BUILD_S,
        )

    def has(self, image: str) -> bool:
        return self.call("image", "exists", image, check=False).returncode == 0


def make_base(podman: Podman, install: real_gateway.Install) -> str:
    """Return an image of OpenClaw, made at most once."""
    name = f"localhost/tailflip-test/openclaw:{install.version}"
    if podman.has(name):
        return name
    if not podman.has(_DEBIAN):
        _make_debian(podman)
    # Links, not copies: 800 MB.
    with tempfile.TemporaryDirectory(dir=install.package.parents[1]) as context:
        place = Path(context)
        shutil.copy(install.node, place / "node")
        modules = place / "outer/node_modules"
        shutil.copytree(
            install.package.parent, modules, symlinks=True, copy_function=os.link
        )  # fmt: skip
        (modules / "openclaw").rename(place / "app")
        (place / "Containerfile").write_text(_OPENCLAW)
        podman.build(name, place / "Containerfile", place)
    return name


def _make_debian(podman: Podman) -> None:
    with tempfile.TemporaryDirectory() as folder:
        include = "--include=ca-certificates,tini"
        made = run_program(
            ["mmdebstrap", "--variant=minbase", include, "bookworm", f"{folder}/root.tar"],
            timeout_s=400,
            check=False,
        )
        if made.returncode:
            raise NotPossible(f"mmdebstrap: {made.stderr.splitlines()[-1]}")
        podman.call("import", f"{folder}/root.tar", _DEBIAN)


def make_ours(podman: Podman, base: str, dist: Path, context: Path) -> str:
    """Build our image by the Containerfile as it stands, from wheels in `dist`."""
    shutil.copytree(dist, context / "dist")
    name = f"localhost/tailflip-test/ours:{base.rpartition(':')[2]}"
    file = ROOT / "packaging/container/Containerfile"
    podman.build(name, file, context, f"OPENCLAW_IMAGE={base}")
    return name


@dataclass
class Container:
    """One container of our image, on a volume with a state directory."""

    podman: Podman
    name: str
    image: str
    volume: str

    def start(self, *options: object, command: tuple[str, ...] = ()) -> None:
        """Start it with the options of the files in packaging/, and more."""
        self.podman.call(
            *("run", "-d", "--name", self.name, "--network=none", *HARDENED, *options),
            *("-v", f"{self.volume}:{STATE}", self.image, *command),
        )

    def once(
        self, entry: list[str], *words: str, given: str = "", memory: str = "256m"
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a container of its own on the same volume; its user is the image's."""
        return self.podman.call(
            *("run", "--rm", "-i", "--network=none", *HARDENED, "-m", memory),
            *("-v", f"{self.volume}:{STATE}", "--entrypoint", json.dumps(entry)),
            *(self.image, *words),
            given=given,
            check=False,
        )

    def exec(self, *argv: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return self.podman.call("exec", "-i", self.name, *argv, given=given, check=False)

    def again(self) -> None:
        """Start it again after its end."""
        self.podman.call("start", self.name)

    def stop(self) -> tuple[int, float]:
        """Stop it; return its exit code and how long that took in seconds."""
        began = time.monotonic()
        self.podman.call("stop", "-t", "60", self.name)
        return int(self.show("{{.State.ExitCode}}")), time.monotonic() - began

    def show(self, what: str) -> str:
        return self.podman.call("inspect", self.name, "--format", what).stdout.strip()

    def log(self) -> str:
        done = self.podman.call("logs", self.name)
        return done.stdout + done.stderr

    def is_healthy(self) -> bool:
        """Ask as Docker would, by the image's own HEALTHCHECK."""
        return self.podman.call("healthcheck", "run", self.name, check=False).returncode == 0

    def wait(self, condition: Callable[[], object], what: str, deadline_s: float = 120) -> None:
        """Wait until something is so; fail with the log if it is not in time."""
        until = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < until, f"no {what} in {deadline_s} s\n{self.log()[-6000:]}"
            assert self.show("{{.State.Running}}") == "true", self.log()[-6000:]
            time.sleep(0.5)

    def remove(self) -> None:
        self.podman.call("rm", "-f", "-t", "5", self.name, check=False)
        self.podman.call("volume", "rm", "-f", self.volume, check=False)
