"""What a disk holds after the power failed: what was synced for sure, of the rest some.

A model of a file system that promises no more than POSIX: the bytes of a file are on the
medium after fsync of the file, a name after fsync of its directory, and no order is kept
between the two. From the effects of one undisturbed run it makes, for every k, the trees
that a power cut after the k-th effect may leave.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel import Effect

Tree = Mapping[str, bytes | None]  # path below the root → bytes; None is a directory


@dataclass
class _File:
    """A file's bytes as written and as synced; `torn`: the last write only half there."""

    data: bytearray
    synced: bytes
    torn: bytes


@dataclass
class Medium:
    """The tree as processes see it, and as the medium has it."""

    root: str
    seen: dict[str, _File | None] = field(default_factory=dict)
    kept: dict[str, _File | None] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Medium:
        """Take a tree in which everything is synced."""
        medium = cls(str(root))
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            data = path.read_bytes() if path.is_file() else None
            file = None if data is None else _File(bytearray(data), data, data)
            medium.seen[name] = medium.kept[name] = file
        return medium

    def name(self, path: str) -> str:
        return path.removeprefix(self.root).strip("/")

    def apply(self, effect: Effect) -> None:  # noqa: C901 - a table of calls
        """Let one effect happen."""
        name = self.name(effect.path)
        if effect.path.endswith(" (deleted)") or not effect.path.startswith(self.root):
            return
        file = self.seen.get(name)
        match effect.name:
            case "create":
                if name not in self.seen:
                    self.seen[name] = _File(bytearray(), b"", b"")
            case "write":
                _write(_is_file(file, name), effect.offset, effect.data)
            case "truncate":
                data = _is_file(file, name).data
                _is_file(file, name).torn = bytes(data)
                data[effect.offset :] = b"\0" * max(0, effect.offset - len(data))
            case "fsync":
                self._sync(name)
            case "mkdir":
                self.seen.setdefault(name, None)
            case "rename":
                self._rename(name, self.name(effect.path2))
            case "unlink" | "rmdir":
                self.seen.pop(name, None)
            case "mode":
                pass
            case other:
                raise AssertionError(f"no model of {other} of {effect.path}")

    def _sync(self, name: str) -> None:
        file = self.seen.get(name)
        if isinstance(file, _File):
            file.synced = file.torn = bytes(file.data)
            return
        for tree in (self.kept, self.seen):
            for child in [n for n in tree if str(PurePath(n).parent) == (name or ".")]:
                if child in self.seen:
                    self.kept[child] = self.seen[child]
                else:
                    _drop(self.kept, child)

    def _rename(self, old: str, new: str) -> None:
        if old in self.seen:
            for name in [n for n in self.seen if n == old or n.startswith(f"{old}/")]:
                self.seen[new + name.removeprefix(old)] = self.seen.pop(name)

    def images(self) -> Iterator[tuple[str, Tree]]:
        """Yield what the medium may hold if the power fails now."""
        yield "all is kept", {n: f and bytes(f.data) for n, f in self.seen.items()}
        yield "only what was synced", {n: f and f.synced for n, f in self.kept.items()}
        yield "names without their bytes", {n: f and f.synced for n, f in self.seen.items()}
        yield "bytes without their names", {n: f and bytes(f.data) for n, f in self.kept.items()}
        yield "the last write torn", {n: f and f.torn for n, f in self.seen.items()}


def _is_file(file: _File | None, name: str) -> _File:
    assert file is not None, f"not a file that we know: {name}"
    return file


def _write(file: _File, offset: int, data: bytes) -> None:
    file.torn = bytes(file.data)
    if len(file.data) < offset:
        file.data.extend(b"\0" * (offset - len(file.data)))
    file.data[offset : offset + len(data)] = data
    half = len(data) // 2
    torn = bytearray(file.torn.ljust(offset, b"\0"))
    torn[offset : offset + half] = data[:half]
    file.torn = bytes(torn)


def _drop(tree: dict[str, _File | None], name: str) -> None:
    for each in [n for n in tree if n == name or n.startswith(f"{name}/")]:
        del tree[each]


def find_images(medium: Medium, effects: Sequence[Effect]) -> Iterator[tuple[int, str, Tree]]:
    """Yield each different tree that a power cut can leave: after which effect, how, and it."""
    known: set[int] = set()
    for number in range(len(effects) + 1):
        if number:
            medium.apply(effects[number - 1])
        for how, tree in medium.images():
            whole = {n: d for n, d in tree.items() if _has_parents(tree, n)}
            mark = hash(frozenset(whole.items()))
            if mark not in known:
                known.add(mark)
                yield number, how, whole


def _has_parents(tree: Tree, name: str) -> bool:
    return all(str(p) == "." or tree.get(str(p), b"") is None for p in PurePath(name).parents)


def put_tree(root: Path, tree: Tree) -> None:
    """Make a folder hold this tree and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name in sorted(tree):
        data, path = tree[name], root / name
        if data is None:
            path.mkdir(mode=0o700)
        else:
            path.write_bytes(data)
            path.chmod(0o600)
