"""The manual page: what people look for in one, and nothing that is not so."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from support.verbs import list_verbs
from tailflip.cli.app import build
from tailflip.cli.exit_codes import ALSO, MEANINGS
from tailflip.config.catalog import list_settings
from tools import write_man

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "tailflip"
SECTIONS = [
    *("NAME", "SYNOPSIS", "DESCRIPTION", "VERBS", "EXIT STATUS", "ENVIRONMENT", "FILES"),
    *("EXAMPLES", "SEE ALSO"),
]
# From one process of tailflip to another, and of its tests.
OWN = {"TAILFLIP_LIFE", "TAILFLIP_FUZZ_SECONDS", "TAILFLIP_SYSTEMD_CACHE"}


def read_sections() -> dict[str, str]:
    parts = re.split(r"^\.SH (.*)$", write_man.write_page(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_it_has_the_sections_that_people_look_for():
    """There was no example, no variable and no way on."""
    sections = read_sections()
    assert list(sections) == SECTIONS
    assert all(text.strip() for text in sections.values())


def test_it_is_current():
    assert write_man.PATH.read_text() == write_man.write_page(), "run `make man`"


def test_it_names_every_verb_and_every_code():
    sections = read_sections()
    for verb in list_verbs():
        assert f".SS {write_man.quote(verb)}\n" in sections["VERBS"]
    for code in MEANINGS:
        assert f".B {code}\n" in sections["EXIT STATUS"]
    for verb, codes in ALSO.items():
        if codes:
            numbers = ", ".join(map(str, codes))
            assert f".B {write_man.quote(verb)}\n{numbers}\n" in sections["EXIT STATUS"]


def test_every_variable_of_ours_is_told():
    used = set()
    for path in PACKAGE.rglob("*.py"):
        used |= set(re.findall(r'"(TAILFLIP_[A-Z]+(?:_[A-Z]+)*)"', path.read_text()))
    used -= {setting.variable for setting in list_settings()}
    told = {name for name, _ in write_man.ENVIRONMENT}
    assert used - OWN <= told
    for name in told - {"TAILFLIP_SECTION_SETTING", "NODE_OPTIONS", "NO_COLOR, FORCE_COLOR"}:
        assert any(name in path.read_text() for path in PACKAGE.rglob("*.py")), name


@pytest.mark.parametrize("line", [c for _, commands in write_man.EXAMPLES for c in commands])
def test_an_example_is_taken_by_the_command_line(line):
    words = line.split()
    if words[0] != "tailflip":
        return
    root = typer.main.get_command(build())
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    name, command, rest = root.resolve_command(root.make_context("tailflip", own), own)
    if hasattr(command, "commands"):
        name, command, rest = command.resolve_command(
            command.make_context(name, list(rest), resilient_parsing=True), rest
        )
    command.make_context(name, list(rest))


def test_every_page_that_it_names_is_there():
    for page in re.findall(r"(?:docs/)?[\w-]+\.md", " ".join(write_man.SEE_ALSO)):
        assert (ROOT / page).exists()


def test_it_is_roff_without_a_mistake():
    groff = shutil.which("groff") or pytest.skip("no groff here")
    ran = subprocess.run(
        [groff, "-man", "-ww", "-z", "-Tutf8"],
        input=write_man.write_page().encode(),
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
