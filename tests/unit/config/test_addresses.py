"""Addresses: what is shown of them, and whose file may hold one."""

from __future__ import annotations

import os

import pytest

from tailflip.config.addresses import find_reader, mask_address, mask_addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ntfy://token@host/topic", "ntfy://***"),
        ("HTTPS://hooks.example/s3cret?key=s3cret", "https://***"),
        (" tgram://s3cret/12", "tgram://***"),
        ("s3cret", "***"),
        ("//s3cret", "***"),
        (7, "***"),
    ],
)
def test_an_address_shows_its_scheme_alone(address, shown):
    """The host is masked too: `tgram://TOKEN/chat` has the token in its place."""
    assert mask_address(address) == shown


def test_addresses_are_masked_wherever_they_stand_in_a_text():
    said = mask_addresses("found 'ntfy://a/b', then https://c/d?e=f and exec:/bin/x")
    assert said == "found 'ntfy://*** then https://*** and exec:/bin/x"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (0o600, None),
        (0o400, None),
        (0o640, "others can read it: its mode is 0640, not 0600"),
        (0o604, "others can read it: its mode is 0604, not 0600"),
        (0o620, "others can read it: its mode is 0620, not 0600"),
    ],
)
def test_a_secret_is_its_owner_s_alone(tmp_path, mode, reason):
    path = tmp_path / "url"
    path.touch()
    path.chmod(mode)
    assert find_reader(path) == reason
    with path.open() as file:
        assert find_reader(file.fileno()) == reason


def test_the_file_of_another_user_is_no_place_for_a_secret(tmp_path, monkeypatch):
    path = tmp_path / "url"
    path.touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert find_reader(path) == "it belongs to another user"
