"""Who may know what a store is made of: checked in the text of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import tailflip

PACKAGE = Path(tailflip.__file__).parent
ABOVE = ("cli", "supervise", "report", "install", "reconcile", "demo")
CALLS_THE_EXTENSION = {
    "flow/limits.py",  # its numbers, so that Python has no copy of them
    "stores/extension.py",
    "stores/tables.py",
    "stores/records.py",
    "stores/json/native.py",
    "stores/listing.py",
    "stores/mentions.py",
    "stores/policies.py",
    "stores/sqlite/survey.py",
    "stores/sqlite/units.py",
    "transcripts/native.py",
}
# The demo lays an installation of its own out, as the gateway would.
NAMES_A_STORE = {"demo/incident.py"}


def walk(*rooms):
    """Yield every node of the modules of some rooms, or of all, with the module's path."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if not rooms or name.split("/", maxsplit=1)[0] in rooms:
            for node in ast.walk(ast.parse(path.read_text())):
                yield name, node


def imports(node):
    """List what one node imports, as dotted names."""
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{each.name}" for each in node.names]
    return []


def test_only_these_modules_import_the_extension():
    found = {
        name
        for name, node in walk()
        if any(each.startswith("tailflip._native") for each in imports(node))
    }
    assert found == CALLS_THE_EXTENSION


def test_nothing_above_the_stores_knows_the_name_of_one():
    docs = {
        ast.get_docstring(node, clean=False)
        for _, node in walk(*ABOVE)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    }
    found = {
        name
        for name, node in walk(*ABOVE)
        if (isinstance(node, ast.Name) and node.id == "STORE_NAME")
        or (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "sessions.json" in node.value
            and node.value not in docs
        )
    }
    assert found == NAMES_A_STORE


def test_nothing_above_the_stores_opens_one():
    """Whoever wants its bytes asks an engine; a descriptor of one leaves the room nowhere."""
    openers = {"open", "read_bytes", "read_text", "open_regular", "read_regular"}
    found = []
    for name, node in walk(*ABOVE):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        verb = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        text = ast.unparse(node)
        if verb in openers and "store.path" in text:
            found.append(f"{name}:{node.lineno}")
    assert found == []
