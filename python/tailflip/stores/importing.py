"""Runs OpenClaw's own import of a store of JSON, in a state directory of ours.

What the rows of a session must be, from its events to the search index, knows the release of
OpenClaw that reads them. So its `doctor` makes them from archived entries, in a scratch directory
with a home and a configuration of its own. It moves no file of another directory, also where an
entry names one by its whole path, and an entry without a transcript is imported too.
Source: `openclaw doctor --session-sqlite import` of 2026.8.1, 2026.9.5 and 2026.9.6.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import BaseModel, ValidationError

from tailflip.base.errors import Unavailable
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.observe.gateway.release import Release

_VERB = ("doctor", "--session-sqlite", "import", "--session-sqlite-all-agents", "--json")
_PATIENCE_S = 900.0  # it takes 13 s for 32 MB on two busy cores
_PASSED = ("LANG", "PATH")
_PRIVATE = 0o700
_CUT_SHORT = "transcript_malformed"
_FEWER = "put back fewer at a time: single keys, or one job with --job"
_MOST_TOLD = 300


class Imported(NamedTuple):
    """What an import said: `cut_short` are keys whose transcript it could not read to its end."""

    cut_short: tuple[str, ...] = ()


class Importer(Protocol):
    """Imports the stores of a state directory into the databases of their agents."""

    def __call__(self, state: Path, disk: Disk) -> Imported:
        """Import them; entries that it does not take are in no database.

        Raises:
            Unavailable: it cannot be run, or said nothing that can be understood.
        """


class _Issue(BaseModel):
    code: str = ""
    sessionKey: str | None = None  # noqa: N815 - OpenClaw's own name


class _Target(BaseModel):
    issues: tuple[_Issue, ...] = ()


class _Told(BaseModel):
    targets: tuple[_Target, ...]


@dataclass(frozen=True)
class OpenClaw:
    """The import of an installed OpenClaw: its node, its script, the environment of its gateway."""

    node: str
    entry: Path
    env: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, release: Release) -> OpenClaw:
        """Take the release that starts next.

        Raises:
            Unavailable: it cannot be told which program that is.
        """
        if release.node is None or release.entry is None:
            lack = "there is no node" if release.node is None else release.evidence
            raise Unavailable(
                "OpenClaw's own import must bring these entries into its database, and OpenClaw "
                f"was not found: {lack}; nothing was changed",
                hint="try again where `openclaw` and `node` are on the PATH",
            )
        return cls(release.node, release.entry, release.env)

    def __call__(self, state: Path, disk: Disk) -> Imported:
        """Import what lies in `state`; home and temporary files lie beside it."""
        try:
            ran = subprocess.run(
                [self.node, str(self.entry), *_VERB],
                env=self._make_env(state, disk),
                cwd=state,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as e:
            raise Unavailable(
                f"OpenClaw's import failed: no answer for {_PATIENCE_S:.0f} s; nothing was changed",
                hint=_FEWER,
            ) from e
        except OSError as e:
            raise Unavailable(
                f"OpenClaw's import failed: {self.node}: {e.strerror}; nothing was changed"
            ) from e
        if ran.returncode < 0:
            raise Unavailable(
                f"OpenClaw's import failed: killed by signal {-ran.returncode}; "
                "nothing was changed",
                hint=f"it takes about 500 MB of memory; if that is free, {_FEWER}",
            )
        told = _parse(ran.stdout)
        if told is None:
            said = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Unavailable(
                f"OpenClaw's import failed: code {ran.returncode}: "
                f"{said[:_MOST_TOLD] or 'it said nothing'}; nothing was changed",
                hint=f"does this OpenClaw start? {self.entry}",
            )
        return told

    def _make_env(self, state: Path, disk: Disk) -> dict[str, str]:
        """Make an environment with nothing in it that leads to the gateway's own files."""
        env = {name: self.env[name] for name in _PASSED if name in self.env}
        for name, folder in (("HOME", "home"), ("TMPDIR", "tmp")):
            path = state.parent / folder
            if not path.is_dir():
                disk.mkdir(path, _PRIVATE)
            env[name] = str(path)
        return env | {
            "OPENCLAW_STATE_DIR": str(state),
            "OPENCLAW_CONFIG_PATH": str(state / "openclaw.json"),
            "OPENCLAW_NO_RESPAWN": "1",
            "NO_COLOR": "1",
            "npm_config_offline": "true",
        }


def _parse(output: bytes) -> Imported | None:
    """Read the report; some releases log a line before it. None where there is none."""
    with suppress(ValueError, ValidationError):
        told = _Told.model_validate_json(output[output.index(b"{\n") :])
        issues = [issue for target in told.targets for issue in target.issues]
        return Imported(
            tuple(i.sessionKey for i in issues if i.code == _CUT_SHORT and i.sessionKey is not None)
        )
    return None
