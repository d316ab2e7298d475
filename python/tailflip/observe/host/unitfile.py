"""Reads a unit file of systemd: its settings, and the command that it starts.

The file is read and systemd is not asked: a start must not depend on a bus that answers, and the
file has the command of the *next* start. Source: systemd.syntax(7), systemd.service(5) "Command
lines", systemd.unit(5) "Specifiers", systemd.exec(5) "Environment" (252).
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_UNIT_BYTES = 1 << 20
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPES |= {"\\": "\\", '"': '"', "'": "'", "s": " "}
_NUMBERS = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_WHOLE_WORD = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_PREFIXES = "-@:+!|"
_NAMED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class UnitUnreadable(ValueError):
    """A unit has a setting that this module does not support; systemd itself may support it."""


@dataclass(frozen=True)
class Assignment:
    """One line of a unit: `section` without brackets, `value` as it stands there."""

    section: str
    key: str
    value: str


@dataclass(frozen=True)
class Context:
    """The values of a unit's specifiers; `home` and `user` are those of the service."""

    unit: str
    home: str
    user: str
    uid: int

    @classmethod
    def for_unit(cls, path: Path, user: str | None = None) -> Context:
        """Make the context of a user by name, or our own."""
        entry = pwd.getpwuid(os.getuid()) if user is None else pwd.getpwnam(user)
        return cls(path.name, entry.pw_dir, entry.pw_name, entry.pw_uid)


def read_unit(path: Path) -> list[Assignment]:
    """Read a unit file or drop-in.

    Raises:
        OSError: the file cannot be read.
        UnitUnreadable: the file is not text.
    """
    try:
        return parse_unit(read_regular(path, _MAX_UNIT_BYTES).decode())
    except UnicodeDecodeError as e:
        raise UnitUnreadable(f"not UTF-8: {path}") from e


def parse_unit(text: str) -> list[Assignment]:
    """Split a unit into assignments; lines that systemd ignores are left out."""
    found: list[Assignment] = []
    section, pending = "", ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")) or not (line or pending):
            continue  # a comment within a continued line is not part of it
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line, pending = pending + line, ""
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line:
            key, _, value = line.partition("=")
            found.append(Assignment(section, key.strip(), value.strip()))
    return found


def choose_last(assignments: Iterable[Assignment], key: str, section: str = "Service") -> list[str]:
    """List the valid values of a setting: an empty one takes back those before it."""
    values: list[str] = []
    for each in assignments:
        if (each.section, each.key) == (section, key):
            values = [*values, each.value] if each.value else []
    return values


def read_command(path: Path, env: Mapping[str, str]) -> list[str]:
    """Read the command of a unit's own file, as systemd would hand it to exec.

    Args:
        path: of the unit; its drop-ins do not count.
        env: for `$NAME` in the command; inside a service, its own environment.

    Raises:
        OSError: the file cannot be read.
        UnitUnreadable: the unit has no single command, or an unsupported one.
    """
    assignments = read_unit(path)
    commands = choose_last(assignments, "ExecStart")
    if len(commands) != 1:
        raise UnitUnreadable(f"{len(commands)} commands instead of one: {path}")
    return parse_command(commands[0], Context.for_unit(path), env)


def split_prefix(command: str) -> tuple[str, str]:
    """Split off the letters in front of a command that tell systemd how to run it."""
    rest = command.lstrip(_PREFIXES)
    return command[: len(command) - len(rest)], rest


def parse_command(text: str, context: Context, env: Mapping[str, str]) -> list[str]:
    """Make the argument list of an `ExecStart=` value.

    Raises:
        UnitUnreadable: quotes do not match, a specifier is unknown, or there are several
            commands.
    """
    prefix, rest = split_prefix(text)
    if "@" in prefix:
        raise UnitUnreadable("the command is started under another name (@)")
    words = [expand_specifiers(word, context) for word in split_words(rest)]
    if not words or ";" in words:
        raise UnitUnreadable("not one command")
    if ":" in prefix:
        return words
    arguments = [each for word in words[1:] for each in _expand_variables(word, env)]
    return [words[0], *arguments]


def split_words(text: str) -> list[str]:
    """Split a value into words, removing quotes and escapes.

    Raises:
        UnitUnreadable: a quote or an escape does not end.
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            value, at = _unescape(text, at)
            word = (word or "") + value
        elif quote:
            if char == quote:
                quote = ""
            else:
                word = (word or "") + char
        elif char in "\"'":
            quote, word = char, word or ""
        elif not char.isspace():
            word = (word or "") + char
        elif word is not None:
            words.append(word)
            word = None
    if quote:
        raise UnitUnreadable("a quote does not end")
    return words if word is None else [*words, word]


def quote_word(word: str) -> str:
    """Quote one word of a command so that systemd reads the same word back."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    text = text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return text if text and not re.search(r"[\s'\";]", text) else f'"{text}"'


def read_environment(
    assignments: Iterable[Assignment], context: Context
) -> tuple[dict[str, str], list[str]]:
    """Collect a unit's environment variables: from its lines, then from its files.

    Returns:
        The variables, and notes about what could not be read.
    """
    assignments = list(assignments)
    env: dict[str, str] = {}
    notes: list[str] = []
    for value in choose_last(assignments, "Environment"):
        try:
            words = split_words(value)
            env |= dict(_pairs(expand_specifiers(word, context) for word in words))
        except UnitUnreadable as e:
            notes.append(f"a line of environment was not read: {e}")
    for value in choose_last(assignments, "EnvironmentFile"):
        try:
            env |= _read_environment_file(value, context)
        except (OSError, ValueError) as e:
            if not value.startswith("-"):
                notes.append(f"an environment file was not read: {e}")
    return env, notes


def read_manager_environment(units: Path) -> dict[str, str]:
    """Read what a user's manager puts into all services: environment.d(5), beside its units."""
    env: dict[str, str] = {}
    with suppress(OSError):
        for path in sorted((units.parent.parent / "environment.d").glob("*.conf")):
            with suppress(OSError, ValueError):
                env |= read_variables(path)
    return env


def parse_memory(assignments: Iterable[Assignment]) -> int | None:
    """Read the memory limit that a unit sets: bytes; None for no limit, and for a share."""
    values = choose_last(assignments, "MemoryMax")
    match = re.fullmatch(r"([0-9]+)([KMGT]?)", values[-1]) if values else None
    return None if match is None else int(match[1]) << 10 * "_KMGT".index(match[2] or "_")


def _read_environment_file(value: str, context: Context) -> dict[str, str]:
    [name] = split_words(value.lstrip("-"))
    return read_variables(Path(expand_specifiers(name, context)))


def read_variables(path: Path) -> dict[str, str]:
    """Read a file of variables, as systemd reads it or a shell sources it.

    Raises:
        OSError: the file cannot be read.
        UnitUnreadable: a quote in it does not end.
    """
    lines = read_regular(path, _MAX_UNIT_BYTES).decode("utf-8", "replace").splitlines()
    pairs = {}
    for line in lines:
        key, equals, rest = line.strip().removeprefix("export ").partition("=")
        if equals and _NAMED.fullmatch(key):
            pairs[key] = " ".join(split_words(rest)) if rest[:1] in "\"'" else rest.strip()
    return pairs


def _pairs(words: Iterable[str]) -> Iterable[tuple[str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if equals and _NAMED.fullmatch(name):
            yield name, value


def _unescape(text: str, at: int) -> tuple[str, int]:
    """Read one escape that begins at `at`, after its backslash."""
    if at >= len(text):
        raise UnitUnreadable("an escape does not end")
    letter = text[at]
    if letter in _ESCAPES:
        return _ESCAPES[letter], at + 1
    try:
        if letter in _NUMBERS:
            digits, base = _NUMBERS[letter]
            return chr(int(text[at + 1 : at + 1 + digits], base)), at + 1 + digits
        if letter in "01234567":
            return chr(int(text[at : at + 3], 8)), at + 3
    except ValueError:
        pass
    return "\\" + letter, at + 1  # systemd keeps an unknown escape


def expand_specifiers(word: str, context: Context) -> str:
    """Replace `%h` and the like.

    Raises:
        UnitUnreadable: the specifier is unknown here.
    """
    stem = context.unit.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    known = {
        "%": "%",
        "h": context.home,
        "u": context.user,
        "U": str(context.uid),
        "n": context.unit,
        "N": stem,
        "p": prefix,
        "i": instance,
        "H": socket.gethostname(),
        "t": f"/run/user/{context.uid}" if context.uid else "/run",
        "T": "/tmp",  # noqa: S108 - systemd's value
    }

    def replace(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise UnitUnreadable(f"specifier %{match[1]} is not known here")
        return known[match[1]]

    return re.sub(r"%(.?)", replace, word)


def _expand_variables(word: str, env: Mapping[str, str]) -> list[str]:
    """Replace `${NAME}` inside a word, and a word `$NAME` by its words."""
    whole = _WHOLE_WORD.fullmatch(word)
    if whole is not None:
        return env.get(whole[1], "").split()
    return [_VARIABLE.sub(lambda m: env.get(m[1], "") if m[1] else "$", word)]
