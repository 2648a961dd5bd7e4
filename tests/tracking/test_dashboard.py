"""The workspace and the report of a sweep, as they arrive at W&B."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.wandb_process import command
from tests.support.wandb_server import ENTITY, WandbServer


def panels(view: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Panels of a workspace by section."""
    banks = view["spec"]["section"]["panelBankConfig"]["sections"]
    return {bank["name"]: bank["panels"] for bank in banks if bank["panels"]}


def test_dashboard_of_a_sweep(offline: Path) -> None:
    """Schemes, budgets, search and surfaces each have their panels; a second call changes the same two views."""
    with WandbServer() as server:
        for _ in range(2):
            done = command(server.environment, "dashboard", "rates", "--results", str(offline))
            assert done.returncode == 0, done.stderr
            assert [line.split()[0] for line in done.stdout.splitlines()] == ["workspace", "report"]
            assert f"/{ENTITY}/raysurf" in done.stdout
    assert server.unknown == []
    workspace, report = server.views.values()
    assert (workspace["type"], report["type"]) == ("project-view", "runs")
    assert workspace["displayName"] == report["displayName"] == "raysurf rates"
    sections = panels(workspace)
    assert list(sections) == ["Prediction schemes", "Budgets", "Search", "Surfaces", "Training"]
    bars = sections["Prediction schemes"][0]["config"]
    assert bars["metrics"] == ["average/test_accuracy", "final/test_accuracy", "last/test_accuracy"]
    assert (bars["groupBy"], bars["groupAgg"], bars["groupArea"]) == ("arm.value", "mean", "stddev")
    assert sections["Budgets"][0]["config"]["groupBy"] == "budget.value"
    search = sections["Search"]
    assert [panel["viewType"] for panel in search] == [
        "Parallel Coordinates Plot",
        "Parameter Importance",
        "Scatter Plot",
    ]
    columns = [column["accessor"] for column in search[0]["config"]["columns"]]
    assert columns == ["config:param/schedule/lr.value", "summary:objective"]
    assert search[2]["config"]["showMinYAxisLine"] is True
    assert "picture/profile" in json.dumps(sections["Surfaces"])
    assert "line/train_loss" in json.dumps(sections["Surfaces"])
    said = json.dumps(report["spec"])
    for name in sections:
        assert name in said
    (only,) = workspace["spec"]["section"]["runSets"][0]["filters"]["filters"]
    assert (only["key"], only["value"]) == ({"section": "config", "name": "sweep"}, "rates")


def test_dashboard_says_why_it_cannot(offline: Path) -> None:
    """Nobody logged in, or a sweep that is not there: one line, exit code 2, nothing sent."""
    with WandbServer() as server:
        alone = command({"WANDB_BASE_URL": server.url}, "dashboard", "rates", "--results", str(offline))
        wrong = command(server.environment, "dashboard", "rate", "--results", str(offline))
    assert (alone.returncode, wrong.returncode) == (2, 2)
    assert alone.stderr.startswith("error: W&B: got nobody is logged in")
    assert "did you mean 'rates'?" in wrong.stderr
    assert server.operations == []
