"""Where an address is read from, and why it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tailflip.alerts.sending.address import NoAddress, read_address, read_heartbeat
from tailflip.alerts.sending.addressee import Address
from tailflip.config.telling import DestinationSettings, HeartbeatSettings

URL = "ntfy://host/s3cret"


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "phone.url"
    path.write_text(f"# the phone\n\n  {URL}  \n")
    path.chmod(0o600)
    return path


def refuse(settings, env=None):
    with pytest.raises(NoAddress) as caught:
        read_address("phone", settings, env or {})
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def test_the_first_line_of_the_file_that_is_no_comment(place):
    assert read_address("phone", DestinationSettings(url_file=place), {}) == Address(URL)
    assert read_heartbeat(HeartbeatSettings(url_file=place), {}) == Address(URL)


def test_a_credential_of_systemd_goes_before_the_file(place, tmp_path):
    """It belongs to root, and its mode may let a group read: systemd keeps it, not its mode."""
    (tmp_path / "credentials").mkdir()
    for name in ("phone", "heartbeat"):
        path = tmp_path / "credentials" / name
        path.write_text("json://other/s3cret")
        path.chmod(0o440)
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    settings = DestinationSettings(url_file=place)
    assert read_address("phone", settings, env) == Address("json://other/s3cret")
    assert read_address("pager", settings, env) == Address(URL)
    assert read_heartbeat(HeartbeatSettings(), env) == Address("json://other/s3cret")


def test_a_credential_that_stands_for_a_file_that_is_gone_counts_as_none(place, tmp_path):
    """`install` gives it a default: without one, systemd would not start the unit at all."""
    (tmp_path / "phone").write_text("# its file is gone")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_address("phone", DestinationSettings(url_file=place), env) == Address(URL)
    place.unlink()
    assert refuse(DestinationSettings(url_file=place), env).endswith("no such file or directory")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_read_is_refused(place, mode):
    place.chmod(mode)
    said = refuse(DestinationSettings(url_file=place))
    assert said == (
        f"{place} is not yours alone: others can read it: its mode is 0{mode:o}, not 0600"
    )


def test_a_link_to_a_file_that_others_can_read_is_refused(place, tmp_path):
    place.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(place)
    assert "is not yours alone" in refuse(DestinationSettings(url_file=link))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no address"),
        (b"s3cret", "holds no address"),
        (b"ntfy://s3cret\0/x", "holds no address"),
        (b"ntfy://s3cret /x", "holds no address"),
        (b"\xff\xfes3cret", "holds no address"),
        (b"ntfy://s3cret/" + b"x" * 9000, "holds no address"),
    ],
)
def test_a_file_that_holds_no_address_is_refused(place, data, said):
    place.write_bytes(data)
    assert said in refuse(DestinationSettings(url_file=place))


def test_what_is_no_file_is_refused_at_once(tmp_path):
    """Opening a pipe without a writer would wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "no regular file" in refuse(DestinationSettings(url_file=pipe))
    gone = refuse(DestinationSettings(url_file=tmp_path / "none"))
    assert gone.endswith("none: no such file or directory")


def test_a_program_must_be_one_and_nobody_else_s_to_write(tmp_path):
    program = tmp_path / "page"
    settings = DestinationSettings(exec=program)
    assert refuse(settings).endswith("page: no such file or directory")
    program.touch(0o600)
    assert refuse(settings).endswith("page: it is no program")
    program.chmod(0o777)
    assert refuse(settings).endswith("page is not run: everybody can write to it")
    program.chmod(0o755)
    assert read_address("phone", settings, {}) == Address(program=str(program))
    assert "no program" in refuse(DestinationSettings(exec=Path("/")))


def test_an_address_of_the_settings_is_taken_as_it_is():
    assert read_address("phone", DestinationSettings(url=URL), {}) == Address(URL)


def test_no_heartbeat_has_no_address():
    with pytest.raises(NoAddress, match="no address is set"):
        read_heartbeat(HeartbeatSettings(), {})
