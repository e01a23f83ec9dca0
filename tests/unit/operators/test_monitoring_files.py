"""Dashboard and alert rules in deploy/monitoring: metrics that exist, the structure that their readers need."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "monitoring"
METRIC = re.compile(r"\b((?:buildbot_amqp|worker_agent)_[a-z_]+)")


def shown() -> set[str]:
    """Names of all metrics in the two collectors' sources, as Prometheus shows them."""
    names = set()
    for file, prefix in (
        ("master_bridge/buildbot/metrics.py", "buildbot_amqp_"),
        ("worker_agent/metrics.py", "worker_agent_"),
        ("worker_agent/telling.py", "worker_agent_"),
    ):
        text = (ROOT / file).read_text()
        found = re.findall(r'"([a-z_]+)"(?=,|:)', text) + re.findall(r"(?:\{PREFIX\}|worker_agent_)([a-z_]+)", text)
        for name in found:
            names |= {prefix + name + suffix for suffix in ("", "_total", "_bucket", "_sum", "_count")}
    return names


def expressions() -> Iterator[str]:
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])


def test_every_metric_that_is_asked_for_exists() -> None:
    """A renamed metric would leave an empty panel, or an alert that never fires."""
    known = shown()
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(asked) > 15
    assert not asked - known


def test_the_dashboard_has_the_structure_that_grafana_reads() -> None:
    """Ids are unique, panels do not overlap, every target names its query, the source is a variable."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    assert dashboard["schemaVersion"] >= 36
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 9
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


def test_every_alert_says_what_to_do() -> None:
    """A severity, a summary and a description; names are unique."""
    rules = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


@pytest.mark.long
def test_promtool_accepts_the_rules() -> None:
    """Prometheus' own tool (Debian: `apt-get install prometheus`) reads every expression."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is missing: apt-get install --no-install-recommends prometheus"
    done = subprocess.run([promtool, "check", "rules", FOLDER / "alerts.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
