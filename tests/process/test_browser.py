"""The page in a real browser: nothing is refused by its policy, nothing is asked elsewhere.

Debian's chromium-headless-shell or chromium; without one of them these tests are skipped.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from support.serving import OWN, make_environment, serving
from support.several_gateways import Gateways
from support.shown_month import CANARIES, put_hostile_jobs, record_month
from tailflip.base import clock

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0")
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(params=["month", "empty"])
def root(request, tmp_path, monkeypatch):
    gateways = Gateways(tmp_path, monkeypatch)
    gateways.now_ms = clock.now_ms()
    history = gateways.fill()
    put_hostile_jobs(tmp_path / "openclaw")
    if request.param == "month":
        record_month(history, gateways.now_ms)
    return tmp_path


def open_page(at, root, *flags):
    """Open the link as a person does; returns the document and what the browser complained of."""
    link = subprocess.run(
        [*OWN, "page"], env=make_environment(root, TAILFLIP_SERVE_LISTEN=f"127.0.0.1:{at.port}"),
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    profile = f"--user-data-dir={root / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, *flags, link],
        env=make_environment(root), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout, re.findall(r"CONSOLE.*|.*[Vv]iolat.*|.*Refused.*", done.stderr)


def test_the_page_is_shown_and_its_policy_refuses_nothing_of_it(root):
    with serving(root) as at:
        document, complaints = open_page(at, root, "--dump-dom")
    assert complaints == []
    assert "Read only. Nothing here changes anything." in document
    assert "<svg" in document
    assert "<script" not in document
    assert CANARIES["job"] not in document


@pytest.mark.parametrize(("width", "flags"), [(360, [DARK]), (800, []), (1400, [DARK])], ids=str)
def test_it_is_drawn_at_every_width_by_day_and_by_night(root, width, flags):
    picture = root / "page.png"
    with serving(root) as at:
        _, complaints = open_page(
            at, root, *flags, f"--window-size={width},1600", f"--screenshot={picture}"
        )
    assert complaints == []
    assert picture.stat().st_size > 10_000


def test_the_policy_does_refuse_what_is_not_of_the_page(root):
    """Or the tests above would find nothing whatever the page did."""
    with serving(root) as at:
        _, headers, body = at.ask("/")
    spoilt = root / "spoilt.html"
    policy = headers["Content-Security-Policy"].replace("; frame-ancestors 'none'", "")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    evil = "<script>document.title='x'</script><img src='http://127.0.0.1:1/x.png'>"
    text = body.decode().replace("<head>", f"<head>{meta}").replace("</main>", f"{evil}</main>")
    spoilt.write_text(text)
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={root / 'profile'}", "--dump-dom", spoilt.as_uri()],
        env=make_environment(root), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    complaints = re.findall(r"CONSOLE.*", done.stderr)
    assert len(complaints) >= 2, done.stderr
