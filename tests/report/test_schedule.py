"""Pictures of learning rates: from rows of ``epochs``, and of lines that are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysurf.report.draw import draw, pictures_of_sweep
from raysurf.report.pictures.axes import BLUE
from raysurf.report.pictures.schedule import MAX_LINES, RateLine, read_rates, schedule_figure
from tests.support.measured_rows import run, run_id, store

ONE, TWO, SWA = run_id("sgd", 1), run_id("sgd", 2), run_id("swa", 3)


def rows(run_id: str, rates: list[float], weights: str = "iterate") -> list[dict[str, Any]]:
    """Rows of ``epochs``, the last first."""
    epochs = [
        {"run_id": run_id, "epoch": epoch, "weights": weights, "lr": lr, "epoch_s": 1.0}
        for epoch, lr in enumerate(rates, start=1)
    ]
    return epochs[::-1]


def line(
    panel: str = "sgd", label: str = "", members: tuple[float, ...] = (), seams: tuple[float, ...] = ()
) -> RateLine:
    return RateLine(panel, label, np.arange(8) / 2, 0.1 - np.arange(8) / 100, np.array(members), seams)


def test_rates_of_a_run_in_order() -> None:
    """One rate an epoch, though average and iterate each have a row of it; other runs are not looked at."""
    every = rows(SWA, [0.3, 0.2]) + rows(SWA, [0.3, 0.2], "average") + rows(ONE, [0.9])
    epochs, rates = read_rates(every, SWA)
    assert (epochs.tolist(), rates.tolist()) == ([1.0, 2.0], [0.3, 0.2])


def test_members_stand_at_the_rate_before_them() -> None:
    """A dot is at the rate of the last step before weights are taken, not of the first after."""
    np.testing.assert_allclose(line(members=(1.0, 4.0)).at_members(), [0.09, 0.03])


def test_a_panel_a_kind() -> None:
    """Lines of a kind share a panel, and a line alone in one needs no entry in the legend."""
    lines = [line(), line("sgd → swa", "lr = 0.1", (2.0,), (1.5,)), line("sgd → swa", "lr = 0.2")]
    figure = schedule_figure(lines, title="t", x_text="epochs")
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("sgd", "sgd\n→ swa")
    assert [drawn.get_color() for drawn in first.lines] == [BLUE]
    seam, early, dots, late = second.lines
    assert seam.get_linestyle() == ":"
    np.testing.assert_allclose(seam.get_xdata(), [1.5, 1.5])
    np.testing.assert_allclose(np.stack([dots.get_xdata(), dots.get_ydata()]).ravel(), [2.0, 0.07])
    assert early.get_color() == dots.get_color() != late.get_color()
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["swa: lr = 0.1", "swa: lr = 0.2", "weights are taken"]
    assert first.get_ylim()[0] == second.get_ylim()[0] == 0.0
    assert first.get_ylabel() == "learning rate"
    assert second.get_xlabel() == "epochs"


@pytest.mark.parametrize("num", [1, 2, 4, 9])
def test_any_number_of_panels(num: int) -> None:
    """Panels that are not used are empty, and the picture can be drawn without a warning."""
    figure = schedule_figure([line(str(i)) for i in range(num)], title="t", x_text="epochs")
    assert sum(bool(panel.lines) for panel in figure.axes) == num
    assert not figure.legends
    figure.draw_without_rendering()


def test_too_many_lines_are_told() -> None:
    """Beyond the colours and styles that can be told apart, lines are left out and the title says so."""
    figure = schedule_figure([line(label=str(i)) for i in range(MAX_LINES + 3)], title="t", x_text="epochs")
    assert len(figure.axes[0].lines) == MAX_LINES
    assert len({(drawn.get_color(), drawn.get_linestyle()) for drawn in figure.axes[0].lines}) == MAX_LINES
    assert figure.get_suptitle() == f"t (the first {MAX_LINES} of {MAX_LINES + 3})"


def test_from_the_store(tmp_path: Path) -> None:
    """Runs are labelled by what tells them apart, seeds of one setting are one line, and rows stand on the page."""
    third = run_id("sgd", 4)
    runs = [run(ONE, seed=0), run(TWO, seed=1), run(third, seed=0, arm="sgd schedule=constant"), run(SWA)]
    every = rows(ONE, [0.1, 0.05]) + rows(TWO, [0.1, 0.05]) + rows(third, [0.1, 0.1]) + rows(SWA, [0.3, 0.2])
    results = store(tmp_path / "results", runs, epochs=every)
    draw(results, "schedule", str(tmp_path / "a.svg"))
    text = (tmp_path / "a.svg").read_text()
    for said in ("Learning rates: vgg16 on cifar10", "sgd: 2 runs", "sgd: schedule=constant", "epochs of the run"):
        assert f"<!-- {said} -->" in text
    draw(results, "schedule", str(tmp_path / "a.html"), run_ids=[SWA])
    page = (tmp_path / "a.html").read_text()
    assert "the 2 rows that are drawn" in page
    assert '<td class="number">0.3</td>' in page


def test_runs_of_several_lengths_are_told_apart_by_them(tmp_path: Path) -> None:
    """Where runs of one setting differ in length or in rates, that is what is said of them, and not a seed."""
    third = run_id("sgd", 4)
    runs = [run(ONE, seed=0), run(TWO, seed=1), run(third, seed=2)]
    every = rows(ONE, [0.1, 0.05]) + rows(TWO, [0.1, 0.05, 0.02]) + rows(third, [0.2, 0.05])
    draw(store(tmp_path / "results", runs, epochs=every), "schedule", str(tmp_path / "a.svg"))
    text = (tmp_path / "a.svg").read_text()
    for said in ("sgd: 2 epochs, rates up to 0.1", "sgd: 3 epochs", "sgd: 2 epochs, rates up to 0.2"):
        assert f"<!-- {said} -->" in text
    assert "seed" not in text


def test_no_sweep_ends_with_it(tmp_path: Path) -> None:
    """It is drawn when asked for, and not at the end of every sweep that trains."""
    results = store(tmp_path / "results", [run(ONE)], epochs=rows(ONE, [0.1, 0.05]))
    assert pictures_of_sweep(results, "study", str(tmp_path)) == []
