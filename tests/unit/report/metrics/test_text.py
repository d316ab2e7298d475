"""The text that Prometheus reads, as its own parser reads it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailflip.report.metrics.families import FAMILIES, Sample
from tailflip.report.metrics.text import write_metrics

INFO = "tailflip_gateway_info"


def read(text: str) -> dict[str, dict[str, object]]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.items())] = sample.value
    return found


@pytest.mark.parametrize(
    "value",
    ["plain", 'a "quoted" one', "back\\slash", "two\nlines", 'x"} 1\nevil{a="', "Ünï→☃", ""],
)
def test_a_label_is_read_as_it_was(value):
    assert read(write_metrics([Sample(INFO, 1, {"gateway": value})])) == {
        (INFO, ("gateway", value)): 1
    }


def test_a_label_that_is_no_utf8_or_endless_is_made_to_fit():
    text = write_metrics([Sample(INFO, 1, {"gateway": "\udcff" + "x" * 5_000})])
    ((_, (_, value)),) = read(text)
    assert value == "?" + "x" * 199


@pytest.mark.parametrize("number", [0.0, 1.0, 0.25, 1769990400.123, 4345298944.0, -3.0, 1e15])
def test_a_number_is_read_as_it_was(number):
    (found,) = read(write_metrics([Sample(INFO, number, {})])).values()
    assert found == pytest.approx(number, abs=1e-6)


def test_a_family_is_told_once_with_its_kind_whatever_the_order():
    name, other = "tailflip_findings", "tailflip_gateway_up"
    samples = [Sample(name, 1, {"code": "a"}), Sample(other, 1, {}), Sample(name, 2, {"code": "b"})]
    lines = write_metrics(samples).splitlines()
    assert lines == [
        f"# HELP {other} {FAMILIES[other].meaning}",
        f"# TYPE {other} gauge",
        f"{other} 1",
        f"# HELP {name} {FAMILIES[name].meaning}",
        f"# TYPE {name} gauge",
        f'{name}{{code="a"}} 1',
        f'{name}{{code="b"}} 2',
    ]


def test_a_name_that_nobody_declared_is_refused():
    with pytest.raises(KeyError, match="tailflip_made_up"):
        write_metrics([Sample("tailflip_made_up", 1, {})])
