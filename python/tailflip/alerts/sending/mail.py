"""Mail by SMTP: with TLS where the address says so, and threaded by the alert's name.

Addresses are as Apprise 2.3 reads them: `mailto://` is SMTP as it is, `mailtos://` with STARTTLS,
`mode=ssl` with TLS from the first byte. The server is `smtp=`, else the address's host.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tailflip.alerts.sending.failure import Failed, explain
from tailflip.alerts.sending.urls import take_apart
from tailflip.flow.alerts import MessageKind, Urgency
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.alerts.sending.urls import Parts
    from tailflip.flow.alerts import Message

_TIMEOUT_S = 8.0
_MODES = {"insecure": 25, "starttls": 587, "ssl": 465}
_TLS_PORT = 465
_PERMANENT = range(500, 600)
# Its own words: nobody answers, and no vacation notice comes back.
_OF_A_PROGRAM = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}


@dataclass(frozen=True)
class Route:
    """By which server, how, from whom and to whom."""

    server: str
    port: int
    mode: str
    user: str | None
    password: str | None
    sender: str
    receivers: tuple[str, ...]


def send_mail(url: str, message: Message) -> None:
    """Send a message by mail.

    Raises:
        Failed: the server did not take it.
    """
    route = plan_route(take_apart(url))
    mail = write_mail(route, message)
    try:
        with _connect(route) as server:
            if route.user is not None:
                server.login(route.user, route.password or "")
            refused = server.send_message(mail, route.sender, list(route.receivers))
    except smtplib.SMTPAuthenticationError as e:
        raise Failed(f"the server refused the login ({e.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as e:
        codes = sorted({code for code, _ in e.recipients.values()})
        is_final = all(code in _PERMANENT for code in codes)
        raise Failed(f"the server refused every receiver ({codes[0]})", is_final=is_final) from None
    except smtplib.SMTPResponseException as e:
        what = "the sender" if isinstance(e, smtplib.SMTPSenderRefused) else "the message"
        is_final = isinstance(e, smtplib.SMTPDataError) and e.smtp_code in _PERMANENT
        raise Failed(f"the server refused {what} ({e.smtp_code})", is_final=is_final) from None
    except smtplib.SMTPNotSupportedError:
        raise Failed("the server has no STARTTLS, or no login that we know") from None
    except smtplib.SMTPServerDisconnected:
        raise Failed("the server closed the connection, or did not answer in time") from None
    except (OSError, ValueError, smtplib.SMTPException) as e:
        raise Failed(explain(e)) from None
    if refused:
        # The others have it: sent again, they would have it twice.
        return


def plan_route(parts: Parts) -> Route:
    """Conclude from an address how its mail goes.

    Raises:
        Failed: it names no sender, or would send a password in the clear.
    """
    default = "insecure" if parts.scheme == "mailto" else "starttls"
    mode = parts.query.get("mode", "ssl" if parts.port == _TLS_PORT else default).lower()
    if mode not in _MODES:
        raise Failed("`mode` in its address must be insecure, starttls or ssl")
    server = parts.query.get("smtp", parts.host)
    user = parts.query.get("user", parts.user)
    if not server:
        raise Failed("its address names no server")
    if user is not None and parts.password and mode == "insecure" and not _is_here(server):
        raise Failed("mailto:// would send the password in the clear; write mailtos://")
    login = user if parts.password else None
    host = parts.host or server
    own = f"{parts.user or 'tailflip'}@{host}" if "@" not in (parts.user or "") else parts.user
    sender = parts.query.get("from") or own or ""
    sender = sender if "@" in sender else f"{sender}@{host}"
    to = (*parts.path, *parts.query.get("to", "").replace(";", ",").split(","))
    receivers = tuple(each.strip() for each in to if each.strip()) or (sender,)
    if not all(_is_mail(each) for each in (sender, *receivers)):
        raise Failed("its address names a sender or receiver that is no address of mail")
    return Route(server, parts.port or _MODES[mode], mode, login, parts.password, sender, receivers)


def write_mail(route: Route, message: Message) -> EmailMessage:
    """Write the mail; all about one alert belong to one thread, also without its first mail."""
    mail = EmailMessage()
    domain = route.sender.rpartition("@")[2]
    mail["From"] = formataddr(("tailflip", route.sender))
    mail["To"] = ", ".join(route.receivers)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.made_ms / 1000, UTC))
    about = message.alerts[0] if message.alerts else "tailflip"
    # The number makes it one: a mail that comes twice is told from two.
    mail["Message-ID"] = f"<{about}.{message.number}@{domain}>"
    if message.alerts:
        mail["References"] = f"<{about}@{domain}>"
        if message.kind is not MessageKind.OPENED:
            mail["In-Reply-To"] = f"<{about}@{domain}>"
    for name, value in _OF_A_PROGRAM.items():
        mail[name] = value
    if message.urgency is Urgency.CRITICAL and message.kind in (
        MessageKind.OPENED,
        MessageKind.REMINDER,
        MessageKind.ESCALATED,
    ):
        mail["Importance"] = "high"
    mail.set_content(message.body)
    return mail


def _connect(route: Route) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if route.mode == "ssl":
        return smtplib.SMTP_SSL(route.server, route.port, timeout=_TIMEOUT_S, context=context)
    server = smtplib.SMTP(route.server, route.port, timeout=_TIMEOUT_S)
    if route.mode == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _is_mail(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and host) and text.isascii() and text.isprintable() and " " not in text
