"""Dashboard and alert rules in deploy/monitoring: metrics that exist, read by Grafana's model and Prometheus' tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "monitoring"
METRIC = re.compile(r"\b((?:buildbot_amqp|worker_agent)_[a-z_]+)")


def shown() -> set[str]:
    """Names of all metrics in the two collectors' sources, as Prometheus shows them."""
    names = set()
    for file, prefix in (
        ("master_bridge/buildbot/fleet/metrics.py", "buildbot_amqp_"),
        ("worker_agent/reporting/metrics.py", "worker_agent_"),
        ("worker_agent/reporting/telling.py", "worker_agent_"),
    ):
        text = (ROOT / file).read_text()
        found = re.findall(r'"([a-z_]+)"(?=,|:)', text) + re.findall(r"(?:\{PREFIX\}|worker_agent_)([a-z_]+)", text)
        for name in found:
            names |= {prefix + name + suffix for suffix in ("", "_total", "_bucket", "_sum", "_count")}
    return names


def shown_expressions() -> Iterator[str]:
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def expressions() -> Iterator[str]:
    yield from shown_expressions()
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])


def test_every_metric_that_is_asked_for_exists() -> None:
    """A renamed metric would leave an empty panel, or an alert that never fires."""
    known = shown()
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(asked) > 15
    assert not asked - known


def not_understood(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """Where what was read lacks or changes what was written; defaults that were added are left out."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from not_understood(value, read[key], f"{path}/{key}") if key in read else [f"{path}/{key}"]
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for place, (mine, theirs) in enumerate(zip(written, read, strict=True)):
            yield from not_understood(mine, theirs, f"{path}/{place}")
    elif written != read:
        yield path


with_grafana = pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's model needs Python 3.11")


def as_grafana_reads(dashboard: dict[str, Any]) -> Any:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # there is none for Python 3.10
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


@with_grafana
def test_grafana_understands_every_field_of_the_dashboard() -> None:
    """Its own model of a dashboard (kept by Grafana's makers) reads ours, and gives back all that stands in it."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    assert list(not_understood(dashboard, as_grafana_reads(dashboard))) == []


@with_grafana
def test_a_field_that_grafana_does_not_know_is_noticed() -> None:
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    dashboard["panels"][1]["gridPosition"] = dashboard["panels"][1].pop("gridPos")
    dashboard["panels"][2]["targets"][0]["expression"] = "up"
    found = list(not_understood(dashboard, as_grafana_reads(dashboard)))
    assert found == ["/panels/1/gridPosition", "/panels/2/targets/0/expression"]


def test_the_dashboard_is_well_laid_out() -> None:
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


def check_rules(file: Path) -> None:
    """Prometheus' own tool (Debian: `apt-get install prometheus`) reads every expression in `file`."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is missing: apt-get install --no-install-recommends prometheus"
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_promtool_accepts_the_rules() -> None:
    check_rules(FOLDER / "alerts.yml")


@pytest.mark.long
def test_promtool_accepts_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    """Its expressions as recording rules, with a value for Grafana's own variable."""
    rules = [
        {"record": f"shown:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(shown_expressions())
    ]
    assert len(rules) >= 9
    file = tmp_path / "shown.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    check_rules(file)
