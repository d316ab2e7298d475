"""Who may have effects on a disk, and who may import the large libraries.

Each rule names the modules that may, with the reason where it is not plain. A module that begins
to do so, or has stopped, fails here: the list is then to be thought about, not only to be changed.
Programs, signals and clocks: see `test_banned_names`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import tailflip

PACKAGE = Path(tailflip.__file__).parent
# Functions and methods that create, change, rename or delete what others see.
OF_OS = frozenset(
    "rename replace renames link symlink unlink remove removedirs rmdir mkdir makedirs mkfifo "  # noqa: SIM905
    "mknod chmod chown lchown fchmod fchown truncate ftruncate utime setxattr removexattr write "
    "pwrite writev sendfile copy_file_range fsync fdatasync".split()
)
OF_SHUTIL = frozenset("copy copy2 copyfile copyfileobj copytree move rmtree chown".split())  # noqa: SIM905
OF_PATH = frozenset(
    "write_text write_bytes touch mkdir rmdir unlink rename chmod lchmod symlink_to "  # noqa: SIM905
    "hardlink_to".split()
)
OPENS_TO_WRITE = frozenset(["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"])
# What a `Disk` is called where it is used: its methods are the seam.
SEAMS = frozenset({"disk"})

EFFECTS = {
    "base/durable.py": "the seam itself",
    "base/platform_calls.py": "fsync as each system has it; called by the seam alone",
    "base/outlet.py": "writes to standard error, which is no file of ours",
    "base/state_dir.py": "the note in a lock that is held, for people; a lost one costs nothing",
    "alerts/background.py": "its own place in the order in which the kernel kills",
    "alerts/unrecorded.py": "names the way in which it opens the file whose time is its note",
    "alerts/sending/child.py": "/dev/null in the place of output, which could hold an address",
    "cli/__init__.py": "/dev/null in the place of a pipe that nobody reads",
    "__main__.py": "/dev/null in the place of standard streams that are closed",
    "cli/demo.py": "a scratch directory of its own",
    "demo/incident.py": "the incident in a scratch directory",
    "install/manager.py": "a copy of units in a temporary folder, for systemd's own checker",
    "observe/records/database.py": "a copy of a database in a temporary folder, to be read",
    "stores/sqlite/drafting.py": "a file without a name, for a record that is large",
    "stores/sqlite/projection.py": "a file without a name, which our own tables read",
    "stores/restore.py": "empties a new file of its own that the seam made",
    "observe/gateway/processes.py": "names the way in which others have opened a file",
    "supervise/process/stderr.py": "a FIFO: nothing of it is to outlive a power cut",
    "supervise/housekeeping.py": "the FIFOs of supervisors that are gone",
    "install/record.py": "the mode of a new file of its own that the seam made",
}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def list_effects(path: Path) -> list[str]:
    """Name the calls that change what others see, in the order of the file."""
    found = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in OF_OS | OPENS_TO_WRITE:
                found.append(f"os.{node.attr}")
            elif node.value.id == "shutil" and node.attr in OF_SHUTIL:
                found.append(f"shutil.{node.attr}")
        if isinstance(node, ast.Attribute) and node.attr in OF_PATH and not _is_seam(node.value):
            found.append(f"Path.{node.attr}")
        if isinstance(node, ast.Call) and _opens_to_write(node):
            found.append("open")
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "shutil"}:
            found += [f"from {node.module} import {each.name}" for each in node.names]
    return found


def _is_seam(value: ast.expr) -> bool:
    name = value.id if isinstance(value, ast.Name) else getattr(value, "attr", "")
    return name in SEAMS or name == "os"


def _opens_to_write(node: ast.Call) -> bool:
    called = ast.unparse(node.func)
    if called in {"open", "os.fdopen", "io.open"}:
        place = 1
    elif called.endswith(".open") and called != "os.open":
        place = 0
    else:
        return False
    modes = [*node.args[place : place + 1], *(k.value for k in node.keywords if k.arg == "mode")]
    said = [each.value for each in modes if isinstance(each, ast.Constant)]
    return any(set(str(mode)) & set("wax+") for mode in said)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_effects_on_a_disk_go_through_the_seam():
    found = {
        name(path): effects for path in PACKAGE.rglob("*.py") if (effects := list_effects(path))
    }
    assert found.keys() - EFFECTS.keys() == set(), found
    assert EFFECTS.keys() - found.keys() == set(), "these need no exception any more"


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.rename('a', 'b')",
        "import os as o\nfrom os import unlink",
        "from pathlib import Path\nPath('a').write_text('')",
        "def f(path):\n    path.unlink(missing_ok=True)",
        "import os\nos.open('a', os.O_RDWR)",
        "open('a', 'w')",
        "def f(path):\n    path.open('ab')",
        "import shutil\nshutil.rmtree('a')",
    ],
)
def test_the_rule_sees(tmp_path, text):
    (tmp_path / "module.py").write_text(text)
    assert list_effects(tmp_path / "module.py")


@pytest.mark.parametrize(
    "text",
    [
        "def f(disk, path):\n    disk.unlink(path)",
        "def f(self, path):\n    self.workspace.disk.rename(path, path)",
        "open('a')",
        "def f(path):\n    path.open('rb')",
        "import os\nos.open('a', os.O_RDONLY)",
    ],
)
def test_the_rule_passes_by(tmp_path, text):
    (tmp_path / "module.py").write_text(text)
    assert list_effects(tmp_path / "module.py") == []


# Who may import what, by rooms and modules; lazily counts too.
IMPORTS = {
    "psutil": ("observe/gateway/", "supervise/"),
    "watchdog": ("observe/host/changes.py",),
    "json5": ("observe/json5config.py",),
    "websockets": ("reconcile/write/rpc.py",),
    "sqlite3": (
        "base/durable.py",  # commits, and names the file of an error
        "ledger/",
        "observe/agents.py",
        "observe/records/",
        "reclaim/references.py",  # names the error of a record that cannot be read
        "reconcile/write/rows.py",
        "reconcile/write/task_ledger.py",
        "stores/draft.py",  # names what failed
        "stores/sqlite/",
    ),
    "tailflip._native": (
        "flow/limits.py",
        "stores/extension.py",
        "stores/json/",
        "stores/listing.py",
        "stores/mentions.py",
        "stores/policies.py",
        "stores/records.py",
        "stores/sqlite/",
        "stores/tables.py",
        "transcripts/native.py",
    ),
}


def list_imports(path: Path) -> set[str]:
    """Every module that a file imports when it runs, wherever in it; not for types alone."""
    found = set()
    tree = parse(path)
    for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


@pytest.mark.parametrize("library", IMPORTS)
def test_only_these_import(library):
    allowed = IMPORTS[library]
    users = {
        name(path)
        for path in PACKAGE.rglob("*.py")
        if any(each == library or each.startswith(f"{library}.") for each in list_imports(path))
    }
    assert {user for user in users if not user.startswith(allowed)} == set()
    unused = [each for each in allowed if not any(user.startswith(each) for user in users)]
    assert unused == [], "these need no exception any more"


def test_only_one_module_asks_which_system_this_is():
    asks = {
        name(path)
        for path in PACKAGE.rglob("*.py")
        if {"sys.platform", "os.uname", "platform.system"} & {
            ast.unparse(node) for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute)
        }
    }  # fmt: skip
    assert asks == {"base/platform_calls.py"}
