"""Name the unit tests of what changed since `main`, or in the last commit: `make quick` runs them.

A changed module brings the test file of its name and every unit test that imports it.
"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python"
UNIT = ROOT / "tests" / "unit"


def ask_git(*argv: str) -> list[str]:
    """Run git, and split what it prints; nothing where it fails."""
    done = subprocess.run(["git", *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.split("\n") if done.returncode == 0 else []


def list_changed() -> set[Path]:
    """List files that differ from where this branch left `main`, or from the commit before."""
    [head, *_] = ask_git("rev-parse", "HEAD") or [""]
    bases = [
        base for name in ("origin/main", "main") for base in ask_git("merge-base", name, "HEAD")
    ]
    base = next((each for each in bases if each and each != head), "HEAD~1")
    names = {
        *ask_git("diff", "--name-only", "--diff-filter=d", base),
        *ask_git("ls-files", "--others", "--exclude-standard"),
    }
    return {ROOT / name for name in names if name}


def name_module(path: Path) -> str:
    """Name a file of the package as an import does."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def list_imports(path: Path) -> set[str]:
    """List what a test imports, modules and names out of modules alike."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{each.name}" for each in node.names)
    return found


def choose_tests(changed: set[Path]) -> list[Path]:
    """Choose the unit tests of a change; all of them where a helper of theirs changed."""
    tests = sorted(UNIT.rglob("test_*.py"))
    if any(path.parent.name == "support" or path.name == "conftest.py" for path in changed):
        return tests
    modules = {name_module(p) for p in changed if p.suffix == ".py" and p.is_relative_to(PACKAGE)}
    return [test for test in tests if test in changed or modules & list_imports(test)]


if __name__ == "__main__":
    for test in choose_tests(list_changed()):
        print(test.relative_to(ROOT))
