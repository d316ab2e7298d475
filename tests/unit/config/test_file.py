"""The configuration file: where it is, what is no file, and whether its bytes changed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.config.load import Config, fingerprint, load


def load_text(tmp_path, text, env=None, flags=None):
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load({"HOME": "/home/claw", "TAILFLIP_CONFIG": str(path), **(env or {})}, flags)


def refuse(tmp_path, text, env=None, flags=None):
    """Return what is said about it, without the file's path."""
    with pytest.raises(ConfigInvalid) as caught:
        load_text(tmp_path, text, env, flags)
    assert "\n" not in caught.value.message
    return caught.value.message.replace(str(tmp_path / "config.toml"), "FILE")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"TAILFLIP_CONFIG": "/etc/t.toml", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/etc/t.toml"),
        ({"TAILFLIP_CONFIG": "~/t.toml", "HOME": "/h"}, "/h/t.toml"),
        ({"TAILFLIP_CONFIG": "", "XDG_CONFIG_HOME": "/x"}, "/x/tailflip/config.toml"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/tailflip/config.toml"),
        ({"HOME": "/h"}, "/h/.config/tailflip/config.toml"),
    ],
)
def test_place_of_the_file(env, expected):
    if env.get("TAILFLIP_CONFIG"):
        with pytest.raises(ConfigInvalid, match=f"no such configuration file: {expected}$"):
            load(env)
    else:
        assert load(env).path == Path(expected)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[restart\n", r"FILE:1: not valid TOML: expected .*[^)]"),
        (b"a = 1\na = 2\n", r"FILE:2: not valid TOML: .*[^)]"),
        (b"[restart]\nfactor = \xff\n", r"FILE:2: not UTF-8 at byte 19"),
        (b"a = " + b"[" * 100_000, r"FILE: not valid TOML: .*"),
        (b"a = " + b"9" * 10_000, r"FILE: not valid TOML: .*"),
        (b"#" * (1 << 20) + b"#", r"FILE: larger than 1 MiB"),
    ],
    ids=["bracket", "twice", "utf8", "deep", "digits", "large"],
)
def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path, data, expected):
    said = refuse(tmp_path, data)
    assert re.fullmatch(expected, said), said


def test_a_byte_order_mark_is_no_matter(tmp_path):
    loaded = load_text(tmp_path, b"\xef\xbb\xbf[restart]\r\nfactor = 3\r\n")
    assert loaded.config.restart.factor == 3


def test_a_pipe_or_a_directory_in_the_files_place_is_refused_at_once(tmp_path):
    """Opening a pipe without a writer waits for ever; a start must not."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigInvalid, match=f"cannot read configuration: {path}: not a reg"):
            load({"TAILFLIP_CONFIG": str(path)})
        assert fingerprint(path).startswith("unreadable")


def test_dev_null_is_an_empty_file():
    assert load({"TAILFLIP_CONFIG": "/dev/null"}).config == Config()


def test_a_file_that_may_not_be_read_is_a_matter_of_permission(tmp_path):
    path = tmp_path / "config.toml"
    path.touch(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)  # root may read everything
    try:
        with pytest.raises(NoPermission, match="permission denied"):
            load({"TAILFLIP_CONFIG": str(path)})
        assert fingerprint(path) == "unreadable: Permission denied"
    finally:
        os.seteuid(user)


def test_fingerprint_follows_the_bytes_and_nothing_else(tmp_path):
    path = tmp_path / "config.toml"
    assert fingerprint(path) == "missing"
    path.write_text("a")
    first = fingerprint(path)
    os.utime(path, (1, 1))
    assert fingerprint(path) == first
    (tmp_path / "other").write_text("a")
    (tmp_path / "other").replace(path)
    assert fingerprint(path) == first
    path.write_text("b")
    assert fingerprint(path) not in (first, "missing")
    path.unlink()
    assert fingerprint(path) == "missing"
    assert fingerprint(Path("/a\0b")).startswith("unreadable")
