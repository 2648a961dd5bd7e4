"""Activations by class, as ridges."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import StepPatch

from raysurf.report.pictures.activations import HEIGHT, Ridge, activation_figure, moments_text, read_neurons
from raysurf.report.pictures.axes import BLUE, VERMILION
from tests.support.measured_rows import picture, run_id
from tests.support.noisy_rows import activations

VARIANCE, DROPOUT = run_id("noise", 1), run_id("noise", 2)
ROWS = [
    *activations(VARIANCE, 43, lambda label: (0.0, 1.0 + label)),
    *activations(VARIANCE, 58, lambda label: (0.0, 11.0 - label)),
    *activations(DROPOUT, 43, lambda label: (label, 0.5)),
]


def outlines(panel: Axes) -> list[StepPatch]:
    return [patch for patch in panel.patches if isinstance(patch, StepPatch) and not patch.get_fill()]


def test_densities_are_those_of_the_bins() -> None:
    """Rows in any order give a histogram a class, whose density over the bins' widths is the share."""
    neurons = read_neurons(reversed(ROWS), VARIANCE)
    assert list(neurons) == [("dense1", 43), ("dense1", 58)]
    ridges = neurons["dense1", 43]
    assert [ridge.label for ridge in ridges] == list(range(10))
    for ridge in ridges:
        np.testing.assert_allclose((ridge.density * np.diff(ridge.edges)).sum(), 1.0, atol=1e-3)
    assert ridges[0].edges[0] == -40.0
    widths = [np.ptp(ridge.extent(0.5)) for ridge in ridges]
    np.testing.assert_allclose(widths, [np.sqrt(8 * np.log(2)) * ridge.std for ridge in ridges], atol=80 / 60)


def test_bins_that_are_left_out_are_empty() -> None:
    """A job may leave out bins without draws; the histogram is zero there, and as wide as the bins that it has."""
    bins = [row for row in ROWS[:60] if row["share"] > 0.2 or row["low"] == ROWS[0]["low"]]
    (ridge,) = read_neurons(bins, VARIANCE)["dense1", 43]
    assert len(ridge.edges) == len(ridge.density) + 1
    assert ridge.density[1] == 0.0
    low, high = ridge.extent(0.01)
    assert -2.0 < low < high < 2.0


def test_runs_side_by_side() -> None:
    """Runs are columns with their labels and colours, neurons rows; one outline and one tick at the mean a class."""
    labels = ["variance network", "dropout"]
    figure = activation_figure(picture(ROWS, VARIANCE, DROPOUT, labels=labels, data="mnist"))
    above, beside, below, missing = figure.axes
    assert (above.get_title(), beside.get_title(), below.get_title()) == ("variance network", "dropout", "")
    assert above.get_xlabel() == beside.get_xlabel() == "activation of neuron 43 of dense1"
    assert below.get_xlabel() == "activation of neuron 58 of dense1"
    assert above.get_ylabel() == "mnist class\n(density over its peak)"
    for panel, colour, means in ((above, BLUE, [0.0] * 10), (beside, VERMILION, list(range(10)))):
        assert len(outlines(panel)) == 10
        assert [text.get_text() for text in panel.get_yticklabels()] == [str(label) for label in range(10)]
        assert [line.get_xdata()[0] for line in panel.lines] == means
        assert {patch.get_edgecolor() for patch in outlines(panel)} == {to_rgba(colour)}
    assert [text.get_text() for text in missing.texts] == ["no rows"]


def test_widths_can_be_compared() -> None:
    """Each ridge reaches the same height over its own line, whatever its width, and its moments stand beside it."""
    figure = activation_figure(picture(ROWS, VARIANCE, labels=["a"]))
    for place, patch in enumerate(outlines(figure.axes[0])):
        values, _, _ = patch.get_data()
        np.testing.assert_allclose([values.min(), values.max()], [-place, HEIGHT - place], atol=1e-3)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[:4] == ["0.0", "± 1.0", "0.0", "± 2.0"]
    assert figure.get_suptitle() == "t, a"


def test_many_neurons_of_one_run_go_on_in_the_next_row() -> None:
    """Four stand side by side; what is left of the last row is empty."""
    rows = [row for neuron in range(6) for row in activations(VARIANCE, neuron, lambda label: (0.0, 1.0), 3)]
    figure = activation_figure(picture(rows, VARIANCE))
    assert [bool(outlines(panel)) for panel in figure.axes] == [True] * 6 + [False] * 2
    assert [panel.axison for panel in figure.axes] == [True] * 6 + [False] * 2


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        (-3.371, 0.5612, ("\N{MINUS SIGN}3.37", "0.56")),
        (-0.04, 27.3, ("0", "27")),
        (123.4, 1234.0, ("100", "1200")),
        (-0.1, 9.96, ("0", "10")),
        (0.5, 0.0, ("0.500", "0.000")),
    ],
)
def test_moments_are_written_to_the_same_place(mean: float, std: float, said: tuple[str, str]) -> None:
    """The deviation has two digits, and the mean no digit that is beyond them; zero has no sign."""
    assert moments_text(Ridge(0, np.array([0.0, 1.0]), np.array([1.0]), mean, std)) == said
