"""How long `slim` takes for a huge transcript, beside `wc -l` of it and the sync of what it writes.

Each kind in a process of its own, so that its peak is its own. The goal is what reading and
syncing cost whoever does it; the archive is compressed on top of that.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
from measure import MB

CHILD = """
import json, os, sys, time
from pathlib import Path
from tailflip import _native

def read_peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

path, folder = sys.argv[1:]
fd, control = os.open(path, os.O_RDONLY), _native.Control()
out, kept = (os.open(f"{folder}/{n}", os.O_RDWR | os.O_CREAT | os.O_TRUNC) for n in "ab")
bare = read_peak()
times = [time.monotonic()]
done = json.loads(_native.transcript_slim(fd, out, kept, "x", 0, control))
times.append(time.monotonic())
os.fsync(kept), os.fsync(out)
times.append(time.monotonic())
_native.transcript_unslim(out, done["bytes_after"], -1, kept, fd, "x", control)
times.append(time.monotonic())
spans = [after - before for before, after in zip(times, times[1:])]
print(json.dumps([*spans, (read_peak() - bare) / 1024, done["bytes_after"], done["archive_bytes"]]))
"""


def write(path: Path, size_bytes: int, kind: str) -> None:
    dice = random.Random(1)
    picture = base64.b64encode(dice.randbytes(975_000)).decode()
    blocks = {
        "images": ("user", {"type": "image", "data": picture, "mimeType": "image/png"}),
        "tool results": ("toolResult", {"type": "text", "text": "line 12345 of output\n" * 20_000}),
        "text": ("user", {"type": "text", "text": "tell me more about it " * 60}),
    }
    role, block = blocks[kind]
    number = 0
    with path.open("w") as out:
        out.write('{"type":"session","version":3,"id":"s"}\n')
        while out.tell() < size_bytes:
            for speaker, content in (("user", []), (role, [block]), ("assistant", [])):
                number += 1
                said = {"role": speaker, "content": content}
                record = {"type": "message", "id": str(number), "parentId": str(number - 1)}
                out.write(json.dumps({**record, "message": said}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=300)
    args = parser.parse_args()
    rows = []
    for kind in ("images", "tool results", "text"):
        with tempfile.TemporaryDirectory(prefix="tailflip-slim-") as folder:
            path = Path(folder) / "s.jsonl"
            write(path, args.size_mb * MB, kind)
            began = time.monotonic()
            subprocess.run(["wc", "-l", str(path)], stdout=subprocess.DEVNULL, check=True)
            count_s = time.monotonic() - began
            argv = [sys.executable, "-c", CHILD, str(path), folder]
            ran = subprocess.run(argv, capture_output=True, text=True, check=True)
            slim_s, sync_s, verify_s, peak_mib, after, kept = json.loads(ran.stdout)
            spans = (count_s, slim_s, sync_s, verify_s)
            rows.append(
                [kind, *(f"{each:.2f}" for each in spans), f"{peak_mib:.1f}"]
                + [f"{each / MB:.1f}" for each in (path.stat().st_size, after, kept)]
            )
    head = ["transcript of", "wc -l, s", "slim, s", "sync, s", "verify, s", "added MiB"]
    print(measure.machine() + ".\n")
    print(measure.table([*head, "MB", "after", "archive"], rows))


if __name__ == "__main__":
    main()
