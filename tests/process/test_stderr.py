"""A dying gateway's last words: passed on byte for byte, at once, and the last of them kept."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from support.guarded_gateway import is_there, wait_until
from tailflip.base.outlet import Outlet
from tailflip.supervise.process.stderr import TAIL_BYTES, Pump, Tail

FLOOD = int(os.environ.get("TAILFLIP_TEST_FLOOD_MB", "200")) << 20


@pytest.mark.parametrize("size", [1, 7, 4096, 65_536, TAIL_BYTES, TAIL_BYTES + 1])
def test_the_tail_is_the_last_part_however_it_came(size):
    data = random.Random(size).randbytes(3 * TAIL_BYTES + 5)
    tail = Tail()
    tail.add(b"") if size == 1 else None
    kept = data if size > 1 else data[: TAIL_BYTES + 99]
    for at in range(0, len(kept), size):
        tail.add(kept[at : at + size])
    assert tail.read() == kept[-TAIL_BYTES:]


def test_a_short_tail_is_all_there_was():
    tail = Tail()
    assert tail.read() == b""
    tail.add(b"ab")
    tail.add(b"c")
    assert tail.read() == b"abc"


class Carrying:
    """A pump on a FIFO, and the pipe it carries to."""

    def __init__(self, fifo: Path) -> None:
        self.out, self.into = os.pipe()
        self.pump = Pump(fifo, Outlet(self.into))
        self.writer = self.pump.open_writer()
        self.pump.start()

    def close_writer(self) -> None:
        os.close(self.writer)


@pytest.fixture
def carrying(tmp_path):
    made = Carrying(tmp_path / "fifo")
    yield made
    for fd in (made.out, made.into):
        os.close(fd)


def test_every_byte_arrives_and_is_kept(carrying):
    os.write(carrying.writer, b"\xff\0last words\n")
    assert os.read(carrying.out, 100) == b"\xff\0last words\n"
    carrying.close_writer()
    assert carrying.pump.finish() == b"\xff\0last words\n"
    assert not carrying.pump.fifo.exists()


def test_what_was_written_just_before_the_end_is_not_lost(carrying):
    data = b"x" * 50_000
    os.write(carrying.writer, data)
    carrying.close_writer()
    assert carrying.pump.finish() == data


def test_a_child_that_holds_it_open_is_not_waited_for(carrying):
    os.write(carrying.writer, b"before")
    began = time.monotonic()
    assert carrying.pump.finish() == b"before"
    assert time.monotonic() - began < 1
    carrying.close_writer()


def test_to_finish_twice_or_long_after_its_end_touches_nobody_elses_files(tmp_path):
    """Its thread ended while it was told to: the descriptor was closed, or somebody else's."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(200):
        out = os.open(os.devnull, os.O_WRONLY)
        pump = Pump(tmp_path / f"fifo-{number}", Outlet(out))
        writer = pump.open_writer()
        pump.start()
        os.close(writer)
        assert pump.finish() == b""
        assert pump.finish() == b""
        os.close(out)
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 100


def test_its_own_reader_may_go_away(carrying):
    reader, closing = os.pipe()
    pump = Pump(carrying.pump.fifo.with_name("other"), Outlet(closing))
    writer = pump.open_writer()
    pump.start()
    os.close(reader)
    for _ in range(100):
        os.write(writer, b"nobody hears\n" * 1000)
    os.close(writer)
    assert pump.finish().endswith(b"nobody hears\n")
    os.close(closing)
    carrying.close_writer()


def test_a_slow_reader_slows_the_gateway_and_loses_nothing(carrying):
    data = os.urandom(4 << 20)
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(os.read(carrying.out, 10_000))

    def write() -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(carrying.writer, view) :]
        carrying.close_writer()

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert bytes(got) == data
    assert carrying.pump.finish() == data[-TAIL_BYTES:]


def test_a_gateway_without_a_supervisor_can_go_on_writing(tmp_path):
    """The supervisor was killed; the gateway's next line met a broken pipe, and node died of it."""
    first = Pump(tmp_path / "fifo", Outlet(os.open(os.devnull, os.O_WRONLY)))
    writer = first.open_writer()
    child = subprocess.Popen(
        [sys.executable, "-c", "import os; os.read(0, 1); os.write(2, b'on'); os.read(0, 1)"],
        stdin=subprocess.PIPE,
        stderr=writer,
    )
    os.close(writer)
    os.close(first._fd)  # as a killed process leaves it
    child.stdin.write(b"x")
    child.stdin.flush()
    time.sleep(0.1)
    out, into = os.pipe()
    second = Pump(tmp_path / "fifo", Outlet(into))
    second.start()
    assert os.read(out, 10) == b"on"
    assert child.poll() is None
    child.communicate(b"x")
    assert child.returncode == 0
    assert second.finish() == b"on"
    os.close(out)
    os.close(into)


# --- the whole program -------------------------------------------------------------------


def test_stdin_and_stdout_are_the_gateways_own(place):
    guarded = place.run("--echo-stdin", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    guarded.wait_ready()
    guarded.process.stdin.write(b"\xff\0 untouched\n")
    guarded.process.stdin.flush()
    assert guarded.process.stdout.readline() == b"\xff\0 untouched\n"
    guarded.process.stdin.close()
    assert guarded.process.stdout.readline() == b"end of input\n"
    assert guarded.stop() == 0
    assert guarded.process.stdout.read() == b""


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


def test_a_flood_on_stderr_loses_nothing_and_is_not_kept_in_memory(place):
    """The lines of ours are the rest: every byte of the flood is counted."""
    out, into = os.pipe()
    count = 0

    def read() -> None:
        nonlocal count
        while chunk := os.read(out, 1 << 20):
            count += chunk.count(b"x")

    reader = threading.Thread(target=read)
    reader.start()
    guarded = place.run("--flood", str(FLOOD), stderr=into)
    os.close(into)
    life = wait_until(lambda: [x for x in place.lives() if x.ready_ms], "answer")[0]
    before = _peak_bytes(guarded.pid)
    expected = (FLOOD // 65_536) * 65_535
    wait_until(lambda: count >= expected - 1000, "whole flood", 60)
    assert _peak_bytes(guarded.pid) - before < 8 << 20
    assert guarded.stop() == 0
    reader.join(10)
    os.close(out)
    # Our own lines have an x here and there: "exit", "next".
    assert expected <= count < expected + 100
    tail = place.history.lives.read_stderr(life.id)
    assert tail == (b"x" * 65_535 + b"\n") * 4


def test_a_line_is_passed_on_at_once(place):
    out, into = os.pipe()
    guarded = place.run("--ticks", stderr=into)
    os.close(into)
    delays = []
    with os.fdopen(out, "rb") as lines:
        for line in lines:
            if line.startswith(b"tick "):
                delays.append((time.monotonic_ns() - int(line[5:])) / 1e6)
            if len(delays) == 100:
                break
        guarded.send(15)
        lines.read()
    assert guarded.wait() == 0
    assert statistics.median(delays) < 50


def test_a_gateway_that_closes_its_pipes_is_guarded_on(place):
    guarded = place.run("--close-stdio", "--die", "v8", "--after-s", "0.5", "--deaths", "1")
    guarded.wait_ready(2)
    assert place.lives()[1].signal == 6
    assert guarded.stop() == 0


def test_our_own_reader_may_go_away_and_the_gateway_stays(place):
    out, into = os.pipe()
    guarded = place.run("--ticks", "--die", "2", "--after-s", "1", "--deaths", "1", stderr=into)
    os.close(into)
    wait_until(lambda: [x for x in place.lives() if x.ready_ms], "answer")
    os.close(out)
    wait_until(
        lambda: len(place.lives()) == 2 and place.lives()[0].ready_ms, "second life that answers"
    )
    assert place.history.lives.read_stderr(place.lives()[1].id).endswith(b"\n")
    pid = place.living()[0]
    assert guarded.stop() == 0
    assert not is_there(pid)


def test_the_gateway_inherits_no_descriptor_of_ours(place):
    told = place.root / "told"
    guarded = place.run("--tell", str(told))
    guarded.wait_ready()
    found = json.loads(told.read_text())
    assert [fd for fd in found["descriptors"] if fd > 2] in ([], [3])  # 3: its own look at them
    assert psutil.Process(guarded.pid).num_fds() < 30
    assert guarded.stop() == 0
