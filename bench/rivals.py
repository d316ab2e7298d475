"""What else people clean a session store with: the same job, as short as one would write it.

    python bench/rivals.py NAME STORE NEW_STORE

Each writes a new store without the single cron runs (`:run:` in the key), except
`incident`, which is the rule of the script that ended the incident: everything of the
last 36 hours goes, whatever it is. None of them archives, verifies, syncs or locks;
that is what they are, and what their times are for. `msgspec-safe` is the exception: the
fastest of them, with the duties that tailflip has, so that like is compared with like.
`NODE_SAVE` drops nothing: it is what the store costs the gateway at each change of an entry.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

_JQ = 'with_entries(select(.key | contains(":run:") | not))'
_NODE = """
const fs = require("fs");
const store = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
for (const key of Object.keys(store)) if (key.includes(":run:")) delete store[key];
fs.writeFileSync(process.argv[2], JSON.stringify(store, null, 2));
"""
# One locked update of 2026.3.28's `updateSessionStore`, without its deep copies.
_NODE_SAVE = """
const fs = require("fs");
const store = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
store[Object.keys(store)[0]].updatedAt = Date.now();
const partial = `${process.argv[2]}.tmp`;
fs.writeFileSync(partial, JSON.stringify(store, null, 2));
fs.renameSync(partial, process.argv[2]);
"""
_NOISE_MS = 36 * 3_600_000


def _is_run(key: str) -> bool:
    return ":run:" in key


def use_json(source: Path, target: Path) -> None:
    store = json.loads(source.read_text(encoding="utf-8"))
    kept = {key: entry for key, entry in store.items() if not _is_run(key)}
    target.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")


def use_incident(source: Path, target: Path) -> None:
    began_ms = time.time() * 1000 - _NOISE_MS
    with source.open(encoding="utf-8") as file:
        store = json.load(file)
    kept = {key: entry for key, entry in store.items() if entry["updatedAt"] < began_ms}
    with target.open("w", encoding="utf-8") as file:
        json.dump(kept, file, indent=2)


def use_orjson(source: Path, target: Path) -> None:
    import orjson  # noqa: PLC0415 - each rival pays for its own import only

    store = orjson.loads(source.read_bytes())
    kept = {key: entry for key, entry in store.items() if not _is_run(key)}
    target.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))


def use_msgspec(source: Path, target: Path) -> None:
    import msgspec  # noqa: PLC0415

    store = msgspec.json.decode(source.read_bytes(), type=dict[str, msgspec.Raw])
    kept = (
        f"\n  {json.dumps(key, ensure_ascii=False)}: ".encode() + bytes(entry)
        for key, entry in store.items()
        if not _is_run(key)
    )
    target.write_bytes(b"{" + b",".join(kept) + b"\n}")


def use_msgspec_safe(source: Path, target: Path) -> None:
    """Archive what goes, sync both files, and read both back in full."""
    import msgspec  # noqa: PLC0415
    import zstandard  # noqa: PLC0415

    store = msgspec.json.decode(source.read_bytes(), type=dict[str, msgspec.Raw])
    archive = target.with_name("archive.zst")
    gone = 0
    pack = zstandard.ZstdCompressor(level=1, write_checksum=True)
    with archive.open("wb") as file, pack.stream_writer(file, closefd=False) as out:
        for key, entry in store.items():
            if _is_run(key):
                gone += out.write(json.dumps({"key": key, "bytes": len(bytes(entry))}).encode())
                gone += out.write(bytes(entry))
    kept = {key: entry for key, entry in store.items() if not _is_run(key)}
    target.write_bytes(msgspec.json.encode(kept))
    for path in (archive, target):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    again = msgspec.json.decode(target.read_bytes(), type=dict[str, msgspec.Raw])
    with archive.open("rb") as file:
        for piece in zstandard.ZstdDecompressor().read_to_iter(file):
            gone -= len(piece)
    if gone or again.keys() != kept.keys() or any(again[k] != kept[k] for k in kept):
        sys.exit("what was written is not what was meant")


def use_ijson(source: Path, target: Path) -> None:
    import ijson  # noqa: PLC0415

    with source.open("rb") as file, target.open("w", encoding="utf-8") as out:
        before = "{\n  "
        for key, entry in ijson.kvitems(file, "", use_float=True):
            if not _is_run(key):
                text = json.dumps(entry, indent=2, ensure_ascii=False).replace("\n", "\n  ")
                out.write(f"{before}{json.dumps(key, ensure_ascii=False)}: {text}")
                before = ",\n  "
        out.write("\n}")


_IN_PYTHON = {
    "json": use_json,
    "incident": use_incident,
    "orjson": use_orjson,
    "msgspec": use_msgspec,
    "msgspec-safe": use_msgspec_safe,
    "ijson": use_ijson,
}
_NEEDS = {
    "orjson": ("orjson",),
    "msgspec": ("msgspec",),
    "msgspec-safe": ("msgspec", "zstandard"),
    "ijson": ("ijson",),
}
NODE_SAVE = "node, as the gateway saves"
_IN_NODE = {"node": _NODE, NODE_SAVE: _NODE_SAVE}
NAMES = (*_IN_PYTHON, "jq", *_IN_NODE)


def find_argv(name: str, source: Path, target: Path) -> list[str] | None:
    """Return the command of a rival, or None when it is not on this machine."""
    if name in _IN_PYTHON:
        if any(find_spec(module) is None for module in _NEEDS.get(name, ())):
            return None
        return [sys.executable, __file__, name, str(source), str(target)]
    program = shutil.which("node" if name in _IN_NODE else name)
    if program is None:
        return None
    if name == "jq":
        return ["sh", "-c", 'exec "$0" "$1" "$2" >"$3"', program, _JQ, str(source), str(target)]
    return [program, "-e", _IN_NODE[name], str(source), str(target)]


if __name__ == "__main__":
    _IN_PYTHON[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
