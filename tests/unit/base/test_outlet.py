"""Nobody waits for a reader that does not read; what it misses is counted and told."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress

import pytest

from support.guarded_gateway import wait_until
from tailflip.base.outlet import Outlet

LINE = b"x" * 999 + b"\n"


@pytest.fixture
def pipe():
    out, into = os.pipe()
    yield out, into
    os.close(out)
    # The thread of an outlet may still write to this number: the next test's pipe must not get it.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, into)
    os.close(null)


def read_until(fd: int, is_enough) -> bytes:
    os.set_blocking(fd, False)
    data = b""

    def read() -> bool:
        nonlocal data
        with suppress(BlockingIOError):
            data += os.read(fd, 1 << 20)
        return is_enough(data)

    wait_until(read, "the rest")
    return data


def count_lost(data: bytes) -> int:
    found = re.findall(rb"warning: ([\d,]+) bytes? (?:was|were) dropped here", data)
    return sum(int(number.replace(b",", b"")) for number in found)


def test_what_is_put_arrives_in_order(pipe):
    out, into = pipe
    outlet = Outlet(into)
    for number in range(100):
        outlet.put(b"%d\n" % number)
    assert outlet.flush(5)
    assert os.read(out, 1 << 16).split() == [b"%d" % number for number in range(100)]


def test_a_full_pipe_holds_nobody_up_and_the_loss_is_told_when_somebody_reads(pipe):
    out, into = pipe
    outlet = Outlet(into, limit_bytes=100_000)
    began = time.monotonic()
    for _ in range(1000):
        outlet.put(LINE)
    assert time.monotonic() - began < 2
    assert not outlet.flush(0.1)
    # Each byte is there, or is in the count.
    whole = 1000 * len(LINE)
    read_until(out, lambda data: data.count(LINE) * len(LINE) + count_lost(data) == whole)
    outlet.put(b"again\n")
    read_until(out, lambda data: data.endswith(b"again\n"))


def test_who_may_wait_is_slowed_down_by_a_slow_reader_and_loses_nothing(pipe):
    out, into = pipe
    outlet = Outlet(into, limit_bytes=10_000)
    got = bytearray()

    def read_slowly() -> None:
        while len(got) < 200 * len(LINE):
            got.extend(os.read(out, 4096))
            time.sleep(0.001)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    for _ in range(200):
        outlet.put(LINE, lambda: True)
    reader.join(20)
    assert bytes(got) == LINE * 200


def test_who_may_wait_no_longer_is_let_go_at_once(pipe):
    _, into = pipe
    outlet = Outlet(into, limit_bytes=1000)
    for _ in range(100):
        outlet.put(LINE)
    began = time.monotonic()
    outlet.put(LINE, lambda: time.monotonic() - began < 0.3)
    assert time.monotonic() - began < 2


def test_a_reader_that_does_not_block_us_gets_all_of_it(pipe):
    """Whoever shares our standard error may have made it non-blocking."""
    out, into = pipe
    os.set_blocking(into, False)
    outlet = Outlet(into)
    for _ in range(300):
        outlet.put(LINE)
    outlet.put(b"end\n")
    assert read_until(out, lambda data: data.endswith(b"end\n")).count(LINE) == 300


def test_a_disk_that_is_full_costs_lines_and_nothing_else():
    full = os.open("/dev/full", os.O_WRONLY)
    outlet = Outlet(full)
    for _ in range(10):
        outlet.put(LINE)
    assert outlet.flush(5)
    os.close(full)


def test_a_reader_that_is_gone_is_forgotten(pipe):
    out, into = os.pipe()
    os.close(out)
    outlet = Outlet(into)
    for _ in range(10_000):
        outlet.put(LINE)
    assert outlet.flush(5)
    os.close(into)
