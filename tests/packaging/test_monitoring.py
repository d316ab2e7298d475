"""The rules and the board ask for metrics that there are, and the rules fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tailflip.flow.findings import Code
from tailflip.flow.lives import BreakerState, Cause
from tailflip.report.metrics.families import FAMILIES, OWN, SUMMARY

ROOT = Path(__file__).parents[2]
RULES = ROOT / "monitoring" / "alerts.yml"
BOARD = ROOT / "monitoring" / "grafana.json"
OF_KUBERNETES = ROOT / "packaging" / "kubernetes" / "monitoring"
PAGE = ROOT / "docs" / "metrics.md"
PROMTOOL = shutil.which("promtool")
VALUES = {
    "cause": {each.value for each in Cause},
    "code": {each.value for each in Code},
    "state": {each.value for each in BreakerState},
    "severity": {"error", "warning"},
}


def read_rules():
    return yaml.safe_load(RULES.read_text())["groups"][0]["rules"]


def list_expressions():
    rules = [(rule["alert"], rule["expr"]) for rule in read_rules()]
    board = json.loads(BOARD.read_text())
    panels = [
        (panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]
    ]
    asked = [(each["name"], each["query"]) for each in board["templating"]["list"]]
    return [*rules, *panels, *asked]


@pytest.mark.parametrize(("who", "expression"), list_expressions(), ids=lambda each: each[:30])
def test_every_name_and_label_that_is_asked_for_is_there(who, expression):
    for name, braces in re.findall(r"(tailflip_\w+)(?:\{([^}]*)\})?", expression):
        family = FAMILIES.get(re.sub("_(sum|count)$", "", name) if name not in FAMILIES else name)
        assert family is not None, name
        assert (family.kind == SUMMARY) == (name != family.name), name
        labels = {*family.labels, *(() if family.name in OWN else ("gateway",))}
        for label, told in re.findall(r'(\w+)[!=~]+"([^"]*)"', braces):
            assert label in labels, (name, label)
            if label in VALUES:
                assert set(told.split("|")) <= VALUES[label], (name, told)
    assert "tailflip_" in expression or who == "datasource"


def test_every_rule_is_told_to_people():
    page = PAGE.read_text()
    for rule in read_rules():
        assert re.search(rf"^### {rule['alert']}$", page, re.MULTILINE), rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/metrics.md#{rule['alert'].lower()}"
        labels = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert labels <= {"gateway", "code", "kind", "which", "collector", "destination"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_metric_is_told_to_people():
    rows = re.findall(
        r"^\| `(tailflip_\w+)` \| (\w+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE
    )
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == {name: (each.kind, set(each.labels)) for name, each in FAMILIES.items()}


def test_the_rules_of_kubernetes_are_the_same_word_for_word():
    rules = yaml.safe_load((OF_KUBERNETES / "rules.yaml").read_text())
    assert rules["spec"] == yaml.safe_load(RULES.read_text())


def test_kubernetes_asks_where_the_pod_answers():
    component = yaml.safe_load((OF_KUBERNETES / "kustomization.yaml").read_text())
    patches = yaml.safe_load(component["patches"][0]["patch"])
    (container,) = [each["value"] for each in patches if each["path"].endswith("containers/-")]
    (volume,) = [each["value"] for each in patches if each["path"].endswith("volumes/-")]
    monitor = yaml.safe_load((OF_KUBERNETES / "podmonitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in {each["name"] for each in container["ports"]}
    assert endpoint["authorization"]["credentials"]["name"] == volume["secret"]["secretName"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    port = container["ports"][0]["containerPort"]
    assert env["TAILFLIP_SERVE_LISTEN"].endswith(f":{port}")
    assert env["TAILFLIP_SERVE_TOKEN_FILE"] == f"/etc/tailflip/{'token'}"
    assert "TAILFLIP_SERVE_HOSTS" in env


def test_the_board_is_one_that_grafana_takes():
    board = json.loads(BOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert {target["refId"] for target in panel["targets"]}
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is in Debian's prometheus")
def test_promtool_has_nothing_to_say_about_the_rules(tmp_path):
    done = subprocess.run(
        [PROMTOOL, "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Which series make which alert, after how long.
FIRES = {
    "TailflipGatewayDown": ('tailflip_gateway_up{gateway="g"}', "0x30", "5m"),
    "TailflipStartsStopped": ('tailflip_breaker_state{gateway="g",state="open"}', "1x30", "1m"),
    "TailflipDataAtRisk": (
        'tailflip_findings{gateway="g",code="store-too-big",severity="error"}', "1x30", "1m",
    ),
    "TailflipDiskFull": ('tailflip_filesystem_avail_bytes{gateway="g",which="tmp"}', "1x30", "5m"),
    "TailflipGuardGone": ('tailflip_guard_up{gateway="g"}', "1x5 0x30", "20m"),
    "TailflipDiesAgain": (
        'tailflip_gateway_deaths_total{gateway="g",cause="hang"}', "0x10 1x5 2x5 3x5 4x30", "40m",
    ),
    "TailflipHeapAhead": (
        'tailflip_gateway_forecast_heap_bytes{gateway="g"}', "95x30", "20m",
        'tailflip_gateway_heap_limit_bytes{gateway="g"}', "100x30",
    ),
    "TailflipHangs": (
        'tailflip_gateway_missed_answers{gateway="g"}', "0x5 1 2 3 4 5x30", "15m",
        'tailflip_gateway_ready{gateway="g"}', "1x60",
    ),
    "TailflipAlertsFail": (
        'tailflip_alerts_pending{gateway="g",destination="phone"}', "1x90", "80m",
    ),
    "TailflipHeartbeatFails": (
        'tailflip_heartbeat_last_success_timestamp_seconds{gateway="g"}', "0x60", "40m",
    ),
    "TailflipActionFailed": (
        'tailflip_action_failures_total{gateway="g",kind="compact"}', "0x5 1x30", "20m",
    ),
    "TailflipBlind": ('tailflip_scrape_collector_success{collector="counters"}', "0x30", "20m"),
    "TailflipSilent": ("tailflip_something_else", "1x30", "20m"),
}  # fmt: skip
RESTS = {
    "TailflipGatewayDown": (
        'tailflip_gateway_up{gateway="g"}', "0x30", "20m",
        'tailflip_maintenance_active{gateway="g"}', "1x30",
    ),
    "TailflipHeapAhead": (
        'tailflip_gateway_forecast_heap_bytes{gateway="g"}', "80x30", "20m",
        'tailflip_gateway_heap_limit_bytes{gateway="g"}', "100x30",
    ),
    "TailflipHangs": (
        'tailflip_gateway_missed_answers{gateway="g"}', "5x30", "15m",
        'tailflip_gateway_ready{gateway="g"}', "0x60",
    ),
    "TailflipAlertsFail": (
        'tailflip_alerts_pending{gateway="g",destination="phone"}', "1x30 0 1x60", "80m",
    ),
    "TailflipGuardGone": ('tailflip_guard_up{gateway="g"}', "0x30", "20m"),
    "TailflipDiesAgain": (
        'tailflip_gateway_deaths_total{gateway="g",cause="asked-stop"}', "0x5 1x5 3x5 9x30", "40m",
    ),
    "TailflipSilent": ("tailflip_build_info", "1x30", "20m"),
}  # fmt: skip


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is in Debian's prometheus")
def test_the_rules_fire_when_they_should_and_rest_when_not(tmp_path):
    """Prometheus itself judges made-up series."""
    cases = [(each, True) for each in FIRES.items()] + [(each, False) for each in RESTS.items()]
    tests = []
    for (alert, (series, values, at, *beside)), fires in cases:
        labels = dict(re.findall(r'(\w+)="([^"]*)"', series))
        rule = next(each for each in read_rules() if each["alert"] == alert)
        if alert == "TailflipDiesAgain":
            labels.pop("cause")
        summary = re.sub(
            r"\{\{ \$labels\.(\w+) \}\}", lambda found, known=labels: known[found[1]],
            rule["annotations"]["summary"],
        )  # fmt: skip
        annotations = rule["annotations"] | {"summary": summary}
        alerts = [{"exp_labels": labels | rule["labels"], "exp_annotations": annotations}]
        tests.append(
            {
                "interval": "1m",
                "input_series": [
                    {"series": each, "values": those}
                    for each, those in zip(
                        (series, *beside[::2]), (values, *beside[1::2]), strict=True
                    )
                ],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": alert, "exp_alerts": alerts if fires else []}
                ],
            }
        )
    path = tmp_path / "rules_test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
