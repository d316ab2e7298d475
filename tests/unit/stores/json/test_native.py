from __future__ import annotations

import _thread
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from support.stores import GONE, NOW_MS, format_store, make_entries, make_entry
from tailflip import _native
from tailflip.base import errors
from tailflip.flow.observed import Evidence, Gateway
from tailflip.flow.rules import KeyKind, Rule
from tailflip.plan.policy import DropKind, Policy
from tailflip.stores import extension
from tailflip.stores.json import native

if TYPE_CHECKING:
    from enum import StrEnum
    from pathlib import Path


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.json"
    entries = {f"agent:main:direct:{n}": make_entry(f"s{n}", pad="x" * 9_000) for n in range(6_000)}
    path.write_bytes(format_store(entries))
    return path


def test_survey_returns_numbers(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(format_store(make_entries()))
    with path.open("rb") as file:
        surveyed = native.survey(file.fileno(), Policy(), GONE, NOW_MS)
    assert surveyed.numbers.entries == len(make_entries())
    assert surveyed.numbers.bytes == path.stat().st_size


def test_progress_ends_at_the_size(big: Path) -> None:
    seen: list[int] = []
    with big.open("rb") as file:
        native.survey(file.fileno(), Policy(), GONE, NOW_MS, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] >= big.stat().st_size


def test_ctrl_c_stops_the_worker_before_it_returns(
    big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted call must not go on writing to descriptors that are closed by then."""
    real = _native.verify

    def slow(fd: int, control: _native.Control) -> str:
        while True:
            real(fd, control)

    monkeypatch.setattr(_native, "verify", slow)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    started = time.monotonic()
    with big.open("rb") as file, pytest.raises(KeyboardInterrupt):
        native.verify(file.fileno())
    timer.join()
    assert time.monotonic() - started < 5
    assert not [t for t in threading.enumerate() if t.name == "tailflip-native"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b'{"a": {', "breaks off at byte 7"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[1]", "root is not an object"),
        (b'{"a": tru}', "at byte"),
        (b'{"a": "\x01"}', "control character"),
        (b"{} x", "follows the closing brace"),
        (b'{"a": "\xff"}', "invalid UTF-8"),
    ],
)
def test_each_damage_has_its_sentence(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(errors.StoreInvalid, match=says):
        native.verify(file.fileno())


def test_a_descriptor_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            native.verify(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("living", [True, None])
def test_runs_of_a_living_gateway_are_not_those_of_a_dead_one(
    living: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int | None] = []

    class Spy:
        def __init__(self, **kwargs: int | None) -> None:
            seen.append(kwargs["owner_died_before_ms"])

    monkeypatch.setattr(_native, "Policy", Spy)
    gateway = Gateway(alive=living, pid=1, started_ms=7, evidence="test")
    native.compile_policy(Policy(), Evidence(gateway=gateway), NOW_MS)
    native.compile_policy(Policy(), GONE, NOW_MS)
    assert seen == [7, NOW_MS]


def test_too_much_life_to_protect_is_a_refusal_not_a_guess() -> None:
    crowd = Evidence(gateway=GONE.gateway, live_sessions=frozenset(f"s{n}" for n in range(200_000)))
    with pytest.raises(errors.Unavailable, match="too many live sessions"):
        native.compile_policy(Policy(), crowd, NOW_MS)


def test_every_kind_of_error_has_its_sentence():
    """A store with `"updatedAt":01` was told as "scalar at byte 50": two tables had drifted."""
    told_otherwise = {"changed", "archive"}
    assert set(extension._SENTENCES) | told_otherwise == set(_native.ERROR_KINDS)


@pytest.mark.parametrize(
    ("named", "exported"),
    [
        (Rule, _native.RULES),
        (KeyKind, _native.KEY_KINDS),
        (DropKind, _native.DROP_KINDS),
    ],
)
def test_names_are_those_of_the_extension(named: type[StrEnum], exported: tuple[str, ...]) -> None:
    """Members are needed by name; a member too many or too few would be a second truth."""
    assert [member.value for member in named] == list(exported)


@pytest.mark.parametrize(
    ("field", "most"),
    [("cap_per_job", _native.MAX_CAP_PER_JOB), ("cap_total", _native.MAX_CAP_TOTAL)],
)
def test_a_cap_that_a_policy_accepts_the_extension_accepts(field: str, most: int) -> None:
    native.compile_policy(Policy.model_validate({field: most}), GONE, NOW_MS)
    with pytest.raises(ValidationError, match=f"less than or equal to {most}"):
        Policy.model_validate({field: most + 1})
    with pytest.raises(ValueError, match=f"{field} must be from 1 to {most}"):
        native.compile_policy(Policy.model_construct(**{field: most + 1}), GONE, NOW_MS)


@pytest.mark.parametrize("kind", DropKind)
def test_a_kind_that_a_person_names_is_the_engines(kind: DropKind) -> None:
    native.compile_policy(Policy(drop_kinds=((kind, 0),)), GONE, NOW_MS)
