"""Writes metrics in the text format of Prometheus, version 0.0.4.

prometheus-client would do the same for 3.8 MiB: the tests hold this to its parser, and to promtool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.report.metrics.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.report.metrics.families import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_MOST_CHARS = 200  # of a label's value


def write_metrics(samples: Iterable[Sample]) -> str:
    """Write samples by family, each with its help; a family without a sample is left out."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, family in FAMILIES.items():
        found = by_name.pop(name, ())
        if found:
            lines.append(f"# HELP {name} {family.meaning.translate(_IN_HELP)}")
            lines.append(f"# TYPE {name} {family.kind}")
            lines += map(_write_sample, found)
    if by_name:
        raise KeyError(f"no such metric: {sorted(by_name)}")
    return "".join(f"{line}\n" for line in lines)


def _write_sample(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_write_label(value)}"' for name, value in sample.labels.items())
    shown = f"{{{labels}}}" if labels else ""
    return f"{sample.name}{sample.suffix}{shown} {_write_number(sample.value)}"


def _write_label(value: str) -> str:
    """Write a label's value; bytes that are no UTF-8 are replaced."""
    text = value.encode("utf-8", "replace").decode("utf-8")[:_MOST_CHARS]
    return text.translate(_IN_LABEL)


def _write_number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
