"""Service definitions as OpenClaw writes them, and a home to put them in."""

from __future__ import annotations

import json
import plistlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "2026.4.14", "2026.9.6"

# OpenClaw 2026.4.14, `buildSystemdUnit`.
OLD_UNIT = """\
[Unit]
Description=OpenClaw Gateway (v2026.4.14)
After=network-online.target
Wants=network-online.target
StartLimitBurst=5
StartLimitIntervalSec=60

[Service]
ExecStart={command}
Restart=always
RestartSec=5
RestartPreventExitStatus=78
TimeoutStopSec=30
TimeoutStartSec=30
SuccessExitStatus=0 143
KillMode=control-group
{environment}

[Install]
WantedBy=default.target
"""

# OpenClaw 2026.9.6, `buildSystemdUnit` and `SYSTEMD_FIXED_POLICY`.
NEW_UNIT = """\
[Unit]
Description=OpenClaw Gateway (v2026.9.6)
After=network-online.target
Wants=network-online.target
StartLimitBurst=10
StartLimitIntervalSec=300

[Service]
ExecStart={command}
Restart=always
RestartSec=5
RestartPreventExitStatus=78
TimeoutStopSec=330
TimeoutStartSec=30
SuccessExitStatus=0 143
OOMPolicy=continue
KillMode=mixed
{environment}

[Install]
WantedBy=default.target
"""


# What of `openclaw gateway install` matters here: it writes the unit anew, with or without a
# wrapper, and keeps one that it was told of. Measured on 2026.9.6.
NODE = """\
#!/bin/sh
unit="$HOME/.config/systemd/user/openclaw-gateway${OPENCLAW_PROFILE:+-$OPENCLAW_PROFILE}.service"
case " $* " in *" gateway install "*) ;; *) exit 0 ;; esac
plain="$HOME/bin/$(basename "$unit").plain"
[ -e "$plain" ] || cp "$unit" "$plain"
case " $* " in
*" --wrapper "*)
    for word; do wrapper=$word; done
    sed -i "s#^ExecStart=.*#ExecStart=$wrapper gateway --port 18789#" "$unit"
    ;;
*) [ -n "${OPENCLAW_WRAPPER-kept}" ] || mv "$plain" "$unit" ;;
esac
"""


@dataclass(frozen=True)
class Host:
    """A user's home with packages of OpenClaw in it."""

    home: Path

    @property
    def units(self) -> Path:
        return self.home / ".config" / "systemd" / "user"

    @property
    def agents(self) -> Path:
        return self.home / "Library" / "LaunchAgents"

    def put_service_manager(self) -> str:
        """Put a systemctl in place that does as it is told; return a PATH that has it."""
        program = self.home / "manager" / "systemctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        return f"{program.parent}:/usr/bin:/bin"

    def put_package(self, version: str) -> Path:
        """Make a package that its package.json makes one; return its entry."""
        package = self.home / "lib" / version / "node_modules" / "openclaw"
        entry = package / "dist" / "index.js"
        entry.parent.mkdir(parents=True, exist_ok=True)
        (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": version}))
        entry.write_text("")
        return entry

    def list_command(self, version: str = OLD, port: int = 18789) -> list[str]:
        return ["/bin/sh", str(self.put_package(version)), "gateway", "--port", str(port)]

    def put_unit(self, version: str = OLD, profile: str | None = None, port: int = 18789) -> Path:
        """Write the unit that `openclaw gateway install` writes; its node is there."""
        node = self.home / "bin" / "node"
        node.parent.mkdir(exist_ok=True)
        node.write_text(NODE)
        node.chmod(0o755)
        name = f"openclaw-gateway-{profile}" if profile else "openclaw-gateway"
        state = self.home / (f".openclaw-{profile}" if profile else ".openclaw")
        state.mkdir(exist_ok=True)
        env = {
            "HOME": self.home,
            "PATH": "/usr/bin:/bin",
            "OPENCLAW_SYSTEMD_UNIT": f"{name}.service",
        }
        if profile:
            env |= {"OPENCLAW_PROFILE": profile, "OPENCLAW_STATE_DIR": state}
        text = (NEW_UNIT if version == NEW else OLD_UNIT).format(
            command=f"{node} {self.put_package(version)} gateway --port {port}",
            environment="\n".join(f"Environment={k}={v}" for k, v in env.items()),
        )
        path = self.units / f"{name}.service"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def put_agent(self, version: str = OLD, profile: str | None = None) -> Path:
        """Write the LaunchAgent that OpenClaw writes."""
        label = f"ai.openclaw.{profile or 'gateway'}"
        env = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "OPENCLAW_LAUNCHD_LABEL": label}
        if profile:
            env["OPENCLAW_PROFILE"] = profile
        node = "/opt/homebrew/bin/node"
        command = [node, str(self.put_package(version)), "gateway", "--port", "18789"]
        if version == NEW:
            command = ["/bin/sh", f"/x/{label}-env-wrapper.sh", f"/x/{label}.env", *command]
        content = {
            "Label": label,
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": 1,
            "Umask": 63,
            "ProgramArguments": command,
            "StandardOutPath": str(self.home / ".openclaw/logs/gateway.log"),
            "StandardErrorPath": str(self.home / ".openclaw/logs/gateway.err.log"),
            "EnvironmentVariables": env,
        }
        path = self.agents / f"{label}.plist"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plistlib.dumps(content, sort_keys=False))
        return path
