"""A mail server on loopback, with and without TLS, that can refuse each step."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Mail:
    """One mail, as it arrived."""

    sender: str = ""
    receivers: list[str] = field(default_factory=list)
    data: bytes = b""
    login: str = ""
    has_tls: bool = False


@dataclass
class MailServer:
    """Takes mails; with a `certificate` it offers STARTTLS, or speaks TLS `at_once`.

    `refuse` maps the first four letters of a command to the line that answers it; "." is the end of
    a mail.
    """

    certificate: Path | None = None
    at_once: bool = False
    refuse: dict[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                link = self._socket.accept()[0]
                talk = _Talk(self, link)
                threading.Thread(target=talk.run, daemon=True).start()


class _Talk:
    """One connection."""

    def __init__(self, server: MailServer, link: socket.socket) -> None:
        self._server, self._link = server, link
        self._letter = Mail()

    def run(self) -> None:
        with suppress(OSError, ValueError):
            self._talk()
        with suppress(OSError):
            self._file.close()
        self._link.close()

    def _talk(self) -> None:
        self._open(with_tls=self._server.at_once)
        self._say("220 here")
        while line := self._file.readline().decode().rstrip("\r\n"):
            word = line[:4].upper()
            if word in self._server.refuse:
                self._say(self._server.refuse[word])
            else:
                getattr(self, f"_{word.lower()}", self._other)(line)

    def _open(self, *, with_tls: bool) -> None:
        if with_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._server.certificate)
            self._link = context.wrap_socket(self._link, server_side=True)
        self._letter.has_tls = with_tls
        self._file = self._link.makefile("rwb")

    def _say(self, *lines: str) -> None:
        self._file.write("".join(f"{line}\r\n" for line in lines).encode())
        self._file.flush()

    def _ehlo(self, _line: str) -> None:
        offers = ["250-here", "250-AUTH PLAIN"]
        if self._server.certificate is not None and not self._letter.has_tls:
            offers.append("250-STARTTLS")
        self._say(*offers, "250 8BITMIME")

    def _star(self, _line: str) -> None:
        self._say("220 go on")
        self._open(with_tls=True)

    def _auth(self, line: str) -> None:
        self._letter.login = base64.b64decode(line.split()[2]).decode().replace("\0", ":")[1:]
        self._say("235 ok")

    def _mail(self, line: str) -> None:
        self._letter.sender = _take_address(line)
        self._say("250 ok")

    def _rcpt(self, line: str) -> None:
        if "unknown" in line:
            self._say("550 unknown")
        else:
            self._letter.receivers.append(_take_address(line))
            self._say("250 ok")

    def _data(self, _line: str) -> None:
        self._say("354 go on")
        while (part := self._file.readline()) != b".\r\n":
            self._letter.data += part
        if "." in self._server.refuse:
            self._say(self._server.refuse["."])
        else:
            self._server.mails.append(self._letter)
            self._say("250 taken")

    def _other(self, line: str) -> None:
        self._say("221 bye" if line.upper().startswith("QUIT") else "250 ok")


def _take_address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
