"""Finds how to speak to the living gateway of an installation: its port, and its secret.

A secret is read from where the gateway reads it, and goes to that very process: who listens on the
port must be the gateway that was found alive.

Source: `resolveGatewayAuth` of OpenClaw 2026.9.6.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import NoPermission, Unavailable
from tailflip.flow.late import dataclass
from tailflip.observe.agents import read_section
from tailflip.observe.gateway.listener import find_listener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from tailflip.flow.observed import Gateway
    from tailflip.observe.installation import Installation

_VARIABLES = {"token": "OPENCLAW_GATEWAY_TOKEN", "password": "OPENCLAW_GATEWAY_PASSWORD"}


@dataclass(frozen=True)
class Access:
    """The port of a gateway on loopback, and the secret that it asks for; empty for none."""

    port: int
    tls: bool = False
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)

    def make_tls(self) -> ssl.SSLContext | None:
        """Make what TLS needs; the certificate is not checked, for it is our own host's."""
        if not self.tls:
            return None
        import ssl  # noqa: PLC0415 - costs memory; few gateways speak TLS on loopback

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def find_access(installation: Installation, gateway: Gateway, env: Mapping[str, str]) -> Access:
    """Find how to speak to a gateway that is alive.

    Args:
        installation: whose configuration names port and secret.
        gateway: as it was found just now.
        env: the gateway's own environment.

    Raises:
        Unavailable: it cannot be told that this gateway listens on the port.
        NoPermission: the secret is not in the configuration or the environment.
    """
    port = installation.port
    listener = find_listener(port)
    if listener is None or gateway.pid is None or listener.pid != gateway.pid:
        who = "nobody" if listener is None else f"pid {listener.pid}"
        raise Unavailable(
            f"the gateway (pid {gateway.pid or 'unknown'}) cannot be asked: {who} listens on "
            f"port {port}, as far as can be seen from here",
            hint="set gateway.port in openclaw.json, or run as the user the gateway runs as",
        )
    auth = read_section(read_section(installation.config, "gateway"), "auth")
    return Access(port, installation.tls, _find_secret(auth, env))


def _find_secret(auth: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """Find what the gateway asks for; a mode that is not set follows from what is there."""
    found = {name: _read(auth.get(name), env.get(_VARIABLES[name])) for name in _VARIABLES}
    mode = auth.get("mode") or ("password" if found["password"] else "token")
    if mode == "none":
        return {}
    if mode not in _VARIABLES:
        raise NoPermission("the gateway asks for more than a token or a password")
    secret = found[mode]
    if not secret:
        raise NoPermission(
            f"the gateway's {mode} is neither in openclaw.json nor in its environment as a text",
            hint=f"set {_VARIABLES[mode]} for tailflip",
        )
    return {mode: secret}


def _read(configured: object, variable: str | None) -> str:
    """Read a secret: the configuration's, else the variable's; a reference to one is none."""
    text = configured.strip() if isinstance(configured, str) else ""
    if not text or "${" in text:
        text = (variable or "").strip()
    return text
