"""A network on two-dimensional inputs."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from raysurf.report.pictures.toy import (
    FLAT,
    STRENGTHS,
    InputPlane,
    colour_of,
    input_figure,
    marker_of,
    read_inputs,
    shaded,
    strength_of,
)
from tests.support.measured_rows import Row, picture, run_id
from tests.support.noisy_rows import inputs

RUN = run_id("regions", 1)
EXAMPLES = [{"x": x, "y": y} for x in (-1.5, -0.5, 0.5, 1.5) for y in (-1.0, 1.0)]


def quadrant(x: float, y: float) -> int:
    return int(x > 0) + 2 * int(y > 0)


def rows(examples: list[Row] = EXAMPLES) -> list[Row]:
    """Four classes that the deviations alone tell apart."""
    stds = [(0.5, 0.5), (5.0, 0.5), (0.5, 4.0), (5.0, 4.0)]
    return inputs(RUN, quadrant, lambda label: ((0.01 * label, 0.0), stds[label]), examples=examples)


def drawn(points: list[Row], data: str = "blobs", *labels: str) -> Figure:
    runs = [run_id("regions", 1 + number) for number in range(len(labels) or 1)]
    every = [row | {"run_id": run} for run in runs for row in points]
    return input_figure(picture(every, *runs, labels=labels or ["a"], data=data))


def places(panel: Axes) -> list[list[float]]:
    """Where the examples stand, class by class."""
    return [place for collection in panel.collections for place in np.asarray(collection.get_offsets()).tolist()]


def test_rows_in_any_order_are_a_grid_and_examples() -> None:
    """The grid is in the order of its coordinates, examples in that of their numbers, of the asked run alone."""
    others = [row | {"run_id": "regions-2", "answer": 9} for row in rows()]
    plane = read_inputs([*reversed(rows()), *others], RUN, "a")
    np.testing.assert_allclose(plane.regions.x, np.linspace(-2, 2, 9))
    assert plane.regions.answer[0, 0] == 0
    assert plane.regions.answer[-1, 0] == 2
    assert plane.regions.answer[0, -1] == 1
    assert plane.regions.extent == (-2.25, 2.25, -2.25, 2.25)
    assert plane.examples.at.tolist() == [[e["x"], e["y"]] for e in EXAMPLES]
    assert plane.examples.accuracy(plane.examples.answer) == 1.0
    assert plane.classes == [0, 1, 2, 3]


def test_five_panels_and_a_key() -> None:
    """Examples, means, deviations and both kinds of regions, a collection a class in each, and what axes they have."""
    figure = drawn(rows())
    data_set, means, stds, ensemble, mean_weights, *_ = figure.axes
    for panel in (data_set, means, stds, ensemble, mean_weights):
        assert len(panel.collections) == 4
    assert sorted(places(data_set)) == sorted([e["x"], e["y"]] for e in EXAMPLES)
    assert places(stds)[0] == [0.5, 0.5]
    assert data_set.get_title() == "(a) blobs test examples"
    assert means.get_title() == "(b) means over noise, dense2"
    assert ensemble.get_title() == "(d) ensemble, test accuracy 1"
    assert mean_weights.get_title() == "(e) mean weights, test accuracy 0.25"
    assert (ensemble.get_xlabel(), ensemble.get_ylabel()) == ("first input", "second input")
    assert (means.get_xlabel(), stds.get_ylabel()) == ("mean of output 0", "std of output 1")
    assert figure.get_suptitle() == "t, a"


def test_means_that_coincide_beside_their_noise_are_seen_to() -> None:
    """The axes of the means are as wide as the noise, however near they are; those of deviations begin at zero."""
    _, means, stds, *_ = drawn(rows()).axes
    low, high = means.get_xlim()
    assert high - low >= 10.0
    assert stds.get_xlim()[0] == pytest.approx(-0.2)
    spread = [row | {"output_mean": [30.0 * row["answer"], 0.0]} for row in rows()]
    low, high = drawn(spread).axes[1].get_xlim()
    assert low < 0.0 < 90.0 < high


def test_colour_is_the_answer_and_lightness_the_confidence() -> None:
    """A region has its class's colour, the stronger the surer; mean weights, which give no confidence, are flat."""
    points = [row | {"confidence": 1.0 if row["y"] > 0 else 0.25} for row in rows()]
    ensemble, mean_weights = drawn(points).axes[3:5]
    (image,), (flat,) = ensemble.images, mean_weights.images
    strong = np.array(to_rgb(colour_of(3)))
    np.testing.assert_allclose(image.get_array()[-1, -1, :3], 1 - STRENGTHS[1] * (1 - strong))
    faint = np.array(to_rgb(colour_of(1)))
    np.testing.assert_allclose(image.get_array()[0, -1, :3], 1 - STRENGTHS[0] * (1 - faint))
    np.testing.assert_allclose(
        flat.get_array()[..., :3], np.tile(1 - FLAT * (1 - np.array(to_rgb(colour_of(0)))), (9, 9, 1))
    )


def test_deviations_that_are_far_apart_have_plain_logarithmic_axes() -> None:
    """Both axes are logarithmic then, and their numbers need no formulae, which reports do without."""
    stds = [row | {"output_std": [1.0, 1.0] if number % 7 else [50.0, 50.0]} for number, row in enumerate(rows())]
    figure = drawn(stds)
    figure.draw_without_rendering()
    panel = figure.axes[2]
    assert panel.get_xscale() == panel.get_yscale() == "log"
    said = [text.get_text() for text in (*panel.get_xticklabels(), *panel.get_yticklabels())]
    assert "1" in said and not any("$" in text for text in said)


def test_shades() -> None:
    """A guess is faint, certainty strong; no answer is nothing at all."""
    np.testing.assert_allclose(strength_of(np.array([0.1, 0.25, 1.0]), 4), [STRENGTHS[0], STRENGTHS[0], STRENGTHS[1]])
    image = shaded(np.array([[-1, 5]]), np.array([[np.nan, 1.0]]), [2, 5])
    np.testing.assert_allclose(image, [[[0, 0, 0, 0], [*to_rgb(colour_of(1)), 1]]])


def test_classes_have_looks_of_their_own() -> None:
    """Where colours come again, markers differ."""
    assert len({(colour_of(number), marker_of(number)) for number in range(20)}) == 20


def test_several_runs_are_blocks() -> None:
    """Each run has its own panels under its own label."""
    figure = drawn(rows(), "blobs", "dropout", "variance network")
    assert [block.get_suptitle() for block in figure.subfigs] == ["dropout", "variance network"]
    assert figure.get_suptitle() == "t"


@pytest.mark.parametrize("origin", ["grid", "test", "none"])
def test_what_is_missing_is_left_out(origin: str) -> None:
    """Without examples, or without a grid, what there is is drawn."""
    figure = drawn([row for row in rows() if row["origin"] == origin], "")
    figure.draw_without_rendering()
    assert len(figure.axes[3].images) == (origin == "grid")
    assert len(places(figure.axes[0])) == (len(EXAMPLES) if origin == "test" else 0)


def test_holes_of_a_grid_are_transparent() -> None:
    """A node without a row, as while the job runs, is no answer."""
    plane: InputPlane = read_inputs(rows()[5:], RUN, "a")
    assert plane.regions.answer[0, :5].tolist() == [-1] * 5
    assert plane.classes == [0, 1, 2, 3]


def test_training_examples_where_there_are_no_others() -> None:
    """Examples of train stand in for those of test, and the titles say so."""
    points = [row | {"origin": "train"} if row["origin"] == "test" else row for row in rows()]
    figure = drawn(points)
    assert figure.axes[0].get_title() == "(a) blobs train examples"
    assert figure.axes[3].get_title() == "(d) ensemble, train accuracy 1"


def test_a_layer_of_one_output() -> None:
    """It is drawn along one axis, and the other says why it is empty."""
    points = [row | {"output_mean": [0.0], "output_std": [1.0]} for row in rows()]
    means = drawn(points).axes[1]
    assert (means.get_xlabel(), means.get_ylabel()) == ("mean of output 0", "(one output only)")
