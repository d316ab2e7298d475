"""The sockets: this host's, an owner's alone, or one that was made before."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, TailflipError, TryLater, Usage
from tailflip.base.listening import Address
from tailflip.base.sockets import adopt, listen

DISK = RealDisk()


def test_a_port_is_listened_on_once():
    with listen(Address("127.0.0.1", 0), DISK) as first:
        port = first.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(TryLater, match=f"127.0.0.1, port {port}"):
            listen(Address("127.0.0.1", port), DISK)


def test_an_address_of_another_host_is_none():
    with pytest.raises(CannotCreate, match=r"192\.0\.2\.1"):
        listen(Address("192.0.2.1", 0), DISK)


def test_a_unix_socket_is_its_owners_alone_whatever_the_umask(tmp_path):
    path = tmp_path / "s.sock"
    before = os.umask(0)
    try:
        with listen(Address(path=str(path)), DISK) as made:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert made.getsockname() == str(path)
            with pytest.raises(TryLater):
                listen(Address(path=str(path)), DISK)
        with listen(Address(path=str(path)), DISK):
            assert path.is_socket(), "one that nobody listens on is replaced"
        assert os.umask(0) == 0, "and the umask is as it was"
    finally:
        os.umask(before)


def test_a_file_in_its_place_is_left_alone(tmp_path):
    path = tmp_path / "s.sock"
    path.write_text("mine")
    with pytest.raises(TailflipError):
        listen(Address(path=str(path)), DISK)
    assert path.read_text() == "mine"


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(CannotCreate):
        listen(Address(path=str(tmp_path / "no" / "s.sock")), DISK)


def test_a_socket_that_listens_is_taken(tmp_path):
    made = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(made.fileno(), True)
    with adopt(made.detach()) as taken:
        assert taken.family == socket.AF_INET
        assert not taken.get_inheritable()


def test_anything_else_is_refused(tmp_path):
    with (tmp_path / "f").open("w") as file, pytest.raises(Usage, match="no socket"):
        adopt(file.fileno())
    with socket.socket() as deaf, pytest.raises(Usage, match="does not listen"):
        adopt(deaf.fileno())
    with pytest.raises(Usage):
        adopt(9_999)
