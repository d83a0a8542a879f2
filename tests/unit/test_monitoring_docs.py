"""The dashboard, the alerting rules and the table of metrics name what ``/metrics`` has."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_runner_base.server import metrics

pytestmark = pytest.mark.unit

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
OURS = re.compile(r"\bai_runner_\w+")
SUFFIXES = ("_bucket", "_sum", "_count")


def declared() -> dict[str, set[str]]:
    """Return the labels of each metric as the collector declares them, by the name that is exposed."""
    found = {}
    for call in ast.walk(ast.parse(Path(metrics.__file__).read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "").endswith("MetricFamily"):
            assert isinstance(call.func, ast.Name)
            name = ast.literal_eval(call.args[0])
            labels = [set(ast.literal_eval(k.value)) for k in call.keywords if k.arg == "labels"]
            total = "_total" if call.func.id == "CounterMetricFamily" else ""
            found[f"{name}{total}"] = labels[0] if labels else set()
    return found


def queries() -> Iterator[str]:
    """Yield every query of both files."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable.get("definition", "") for variable in dashboard["templating"]["list"])
    yield from re.split(r"\n\s+- alert:", (FOLDER / "alerts.yml").read_text())[1:]


def base_name(name: str) -> str:
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def test_every_query_names_metrics_that_exist() -> None:
    known = set(declared())
    named = {base_name(name) for query in queries() for name in OURS.findall(query)}
    assert named
    assert named <= known


def test_every_selector_uses_labels_that_the_metric_has() -> None:
    known = declared()
    scrape = {"instance", "job", "le"}
    selectors = [pair for query in queries() for pair in re.findall(r"(ai_runner_\w+)\{([^}]*)\}", query)]
    assert selectors
    for name, selector in selectors:
        labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', selector))
        assert labels <= known[base_name(name)] | scrape, name


def test_the_table_has_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert {name: set(re.findall(r"\w+", labels)) for name, labels in rows} == declared()
