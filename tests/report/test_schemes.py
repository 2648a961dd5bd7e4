"""Prediction schemes: what is read, and what stands in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raysurf.report.pictures.axes import BLUE, OKABE_ITO, VERMILION
from raysurf.report.pictures.schemes import LOOKS, colours, read_schemes, scheme_figure
from raysurf.report.runs import MeasuredRun
from tests.support.measured_rows import Row, picture, run_id
from tests.support.noisy_rows import COUNTS, prediction, schemes

ONE, TWO = run_id("variational", 1), run_id("variational", 2)


def setting(number: int = 1, **controls: float) -> list[Row]:
    return schemes(run_id("variational", number), 0.101, 0.959, 0.993, **controls)


def drawn(rows: list[Row], *runs: str | MeasuredRun) -> Figure:
    return scheme_figure(picture(rows, *(runs or (ONE,)), data="mnist"))


def lines(panel: Axes, colour: str, marker: str) -> list[Line2D]:
    return [line for line in panel.lines if line.get_color() == colour and line.get_marker() == marker]


def test_rows_of_test_in_order() -> None:
    """Rows in any order give errors by number of samples, of the asked run and the test split alone."""
    rows = [*reversed(schemes(ONE, 0.1, 0.9, 0.98)), *schemes(TWO, 0.5, 0.5, 0.5)]
    steps = read_schemes(rows, [ONE], "a").steps
    assert set(steps) == {"deterministic", "stochastic", "ensemble"}
    np.testing.assert_array_equal(steps["ensemble"].num_samples, COUNTS)
    np.testing.assert_allclose(steps["ensemble"].values["error"][0], [0.02 + 0.08 / count for count in COUNTS])
    np.testing.assert_allclose(steps["deterministic"].values["error"], [[0.9]])


def test_the_weights_of_the_ensemble_are_meant() -> None:
    """Where a scheme was measured for several weights, those that have an ensemble come before others."""
    rows = [
        prediction(ONE, "deterministic", 1, 0.5, 1.0, weights="last"),
        prediction(ONE, "deterministic", 1, 0.8, 1.0, weights="final"),
        prediction(ONE, "ensemble", 2, 0.9, 1.0, weights="final"),
    ]
    np.testing.assert_allclose(read_schemes(rows, [ONE], "a").steps["deterministic"].values["error"], [[0.2]])
    np.testing.assert_allclose(
        read_schemes([rows[0], rows[2]], [ONE], "a").steps["deterministic"].values["error"], [[0.5]]
    )
    samples = prediction(ONE, "ensemble", 2, 0.9, 1.0, weights="samples")
    average = prediction(ONE, "deterministic", 1, 0.7, 1.0, weights="average")
    step = read_schemes([rows[0], average, samples], [ONE], "a").steps["deterministic"]
    np.testing.assert_allclose(step.values["error"], [[0.3]])


def test_replicates_share_their_numbers_of_samples() -> None:
    """A number of samples that one seed lacks is left out, and a scheme that it lacks as well."""
    rows = schemes(ONE, 0.1, 0.9, 0.98, zero_mean=0.9) + schemes(TWO, 0.1, 0.9, 0.96, counts=(1, 10, 1000))
    curves = read_schemes(rows, [ONE, TWO], "a")
    assert curves.num_runs == 2
    assert "zero_mean" not in curves.steps
    assert curves.steps["ensemble"].num_samples.tolist() == [1, 10]
    np.testing.assert_allclose(curves.steps["ensemble"].values["error"][:, 1], [0.028, 0.046])


def test_what_stands_on_the_axes() -> None:
    """Axes say data set, metric and unit; samples are on a log axis at round numbers, the legend names each scheme."""
    figure = drawn(setting(zero_mean=0.99, permuted=0.1))
    error, nll = figure.axes
    assert (error.get_ylabel(), nll.get_ylabel()) == ("mnist test error (fraction)", "mnist test NLL (nats/sample)")
    for panel in figure.axes:
        assert (panel.get_xlabel(), panel.get_xscale()) == ("number of samples K", "log")
        assert panel.get_xticks().tolist() == list(COUNTS)
        (line,) = lines(panel, BLUE, "o")
        assert np.asarray(line.get_xdata()).tolist() == list(COUNTS)
        assert len(lines(panel, BLUE, "D")) == len(lines(panel, BLUE, "s")) == len(lines(panel, BLUE, "x")) == 1
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["variational", " ", *(look.text for look in LOOKS.values())]


def test_chance_and_a_good_ensemble_are_both_readable() -> None:
    """Mean weights are a line across; values far apart are on a log axis, and both numbers stand beside the lines."""
    figure = drawn(setting())
    for panel in figure.axes:
        assert panel.get_yscale() == "log"
        (across,) = lines(panel, BLUE, "")
        assert np.asarray(across.get_xdata()).tolist() == [1.0, 100.0]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.00734", "0.899"]
    assert [text.get_fontweight() for text in figure.axes[0].texts] == ["bold", "normal"]


@pytest.mark.parametrize(
    ("deterministic", "many", "scale"), [(0.94, 0.95, "linear"), (0.1, 0.99, "log"), (0.1, 1.0, "symlog")]
)
def test_the_scale_is_that_of_the_values(deterministic: float, many: float, scale: str) -> None:
    """Errors that are near each other are on a linear axis, and no error at all can be drawn too."""
    rows = [prediction(ONE, "deterministic", 1, deterministic, 1.0), prediction(ONE, "ensemble", 2, 0.93, 1.0)]
    rows.append(prediction(ONE, "ensemble", 10, many, 1.0))
    figure = drawn(rows)
    assert figure.axes[0].get_yscale() == scale
    assert figure.axes[1].get_yscale() == "linear"
    figure.draw_without_rendering()


def test_seeds_are_a_mean_with_their_range() -> None:
    """Replicates are one line, their mean, in a band from the lowest to the highest; the legend counts them."""
    rows = schemes(ONE, 0.1, 0.9, 0.98) + schemes(TWO, 0.2, 0.9, 0.96)
    spec = {"kind": "variational", "noise": [{"kind": "dropout"}]}
    figure = drawn(rows, *(MeasuredRun(name, group="g", spec=spec) for name in (ONE, TWO)))
    panel = figure.axes[0]
    (line,) = lines(panel, BLUE, "o")
    np.testing.assert_allclose(line.get_ydata()[-1], 0.03 + 0.07 / 100)
    bands = [collection for collection in panel.collections if isinstance(collection, FillBetweenPolyCollection)]
    heights = [np.asarray(band.get_paths()[0].vertices)[:, 1] for band in bands]
    assert any(np.allclose((height.min(), height.max()), (0.8, 0.9)) for height in heights)
    assert figure.legends[0].get_texts()[0].get_text() == "dropout\n(mean and range of 2 seeds)"


def test_a_colour_a_setting() -> None:
    """Every setting has a colour of its own, however many there are; numbers are written where they are few."""
    figure = drawn(setting() + setting(2), ONE, TWO)
    assert len(lines(figure.axes[0], VERMILION, "o")) == 1
    assert len(figure.axes[0].texts) == 4
    runs = [run_id("variational", number) for number in range(30)]
    rows = [row for number in range(30) for row in setting(number)]
    assert not drawn(rows, *runs[:5]).axes[0].texts
    assert colours(7) == list(OKABE_ITO)
    assert len(set(colours(30))) == 30
    assert drawn(rows, *runs).get_figheight() > 6


def test_margins_tell_near_values_apart() -> None:
    """Two ensembles that differ in their fourth digit are written with four."""
    figure = drawn(schemes(ONE, 0.1, 0.0188, 0.0188) + schemes(TWO, 0.1, 0.0188, 0.0186), ONE, TWO)
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    assert sorted(bold) == ["0.9812", "0.9814"]


def test_a_setting_without_rows_does_not_stop_the_others() -> None:
    """A run that has no prediction yet is in the legend alone."""
    figure = drawn(setting(), TWO, ONE)
    assert len(lines(figure.axes[0], VERMILION, "o")) == 1
    assert figure.legends[0].get_texts()[0].get_text() == f"variational, {TWO}"
    drawn([], TWO).draw_without_rendering()
