"""What the observability profile shows exists: each metric on the dashboard, each role scraped."""

import importlib
import json
import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from contracts import load_topology

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "observability"
SERVICES = sorted(load_topology().services)
# In PromQL: what is a name and neither a label, nor a function, nor a keyword.
NAME = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b(?!\s*\()")


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "grafana/dashboards/bookstore.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_dashboard_shows_metrics_that_the_code_has() -> None:
    for name in SERVICES:
        if (ROOT / "services" / name / "pyproject.toml").exists():
            importlib.import_module(f"{name}_service.app")
    known = {sample for metric in REGISTRY.collect() for sample in _samples(metric.name)}
    shown = {name for text in expressions() for name in NAME.findall(text)}
    assert shown
    assert shown - known == set()


def _samples(name: str) -> set[str]:
    return {name, *(f"{name}_{kind}" for kind in ("total", "bucket", "sum", "count"))}


def test_prometheus_scrapes_every_role_of_every_service() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    names = {name for found in job["dns_sd_configs"] for name in found["names"]}
    assert names == {f"{name}-{role}" for name in SERVICES for role in ("web", "worker")}
