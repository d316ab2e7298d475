"""`tailflip metrics`: on standard output, and in the file that node_exporter reads."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.stores import FaultyDisk
from tailflip.base.errors import IoFailed
from tailflip.cli.metrics import write_file


def test_it_prints_what_prometheus_reads(place):
    place.fill(10_000)
    code, out, err = place.run("metrics")
    assert (code, err) == (0, "")
    assert out.startswith("# HELP tailflip_build_info ")
    assert f'tailflip_gateway_up{{gateway="{place.state}"}} 0\n' in out


def test_a_damaged_ledger_is_told_in_the_metrics_and_is_no_failure(place):
    place.fill(10_000)
    place.home.mkdir()
    (place.home / "ledger.sqlite").write_bytes(b"x" * 9_000)
    code, out, _ = place.run("metrics")
    assert code == 0
    assert 'tailflip_scrape_collector_success{collector="counters"} 0\n' in out


def test_a_folder_that_is_no_gateways_is_refused(place):
    code, out, err = place.run("metrics", "--state-dir", str(place.root / "nowhere"))
    assert (code, out) == (73, "")
    assert "no state directory" in err


def test_a_text_file_is_whole_and_readable_by_the_exporter(place):
    place.fill(10_000)
    folder = place.root / "textfile"
    folder.mkdir()
    old = os.umask(0o077)
    try:
        for _ in range(2):
            code, out, err = place.run("metrics", "--textfile", str(folder))
            assert (code, out, err) == (0, "", "")
    finally:
        os.umask(old)
    (path,) = folder.iterdir()
    assert path.name == "tailflip.prom"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_text().startswith("# HELP tailflip_build_info ")


def test_a_folder_that_is_not_there_is_not_made(place):
    place.fill(10_000)
    code, _, err = place.run("metrics", "--textfile", str(place.root / "nowhere"))
    assert code == 73
    assert "no such folder" in err
    assert not (place.root / "nowhere").exists()


def test_failed_at_any_effect_a_reader_has_the_whole_old_or_new_file(tmp_path):
    old, new = b"old\n" * 1_000, b"new\n" * 1_000
    counted = FaultyDisk()
    write_file(tmp_path, old, counted)
    for n in range(1, len(counted.effects) + 1):
        with pytest.raises(IoFailed):
            write_file(tmp_path, new, FaultyDisk(n, error=errno.EIO))
        assert (tmp_path / "tailflip.prom").read_bytes() == old
    write_file(tmp_path, new, FaultyDisk())
    assert [each.name for each in tmp_path.iterdir()] == ["tailflip.prom"]
