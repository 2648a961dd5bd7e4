"""Widths: rays, and their mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from raysurf.report.pictures.axes import BLUE, VERMILION
from raysurf.report.pictures.width import read_rays, width_figure
from tests.support.measured_rows import Row, picture, points, rays, run_id

RUN = run_id("rays")


def loss(place: Row) -> float:
    return 0.1 + float((place.get("ray", 0) + 1) * place.get("distance", 0.0) ** 2)


def block(origin: str, first: int, value: Callable[[Row], float | None]) -> list[Row]:
    """The rows of one origin, whose points begin at a number."""
    return [row | {"point": row["point"] + first} for row in points(RUN, "ray", rays(origin, 3, 2.0), value)]


def rows(failed: bool = False) -> list[Row]:
    """Two origins with three rays each; one point of one ray may have failed."""
    far = {"ray": 1, "distance": 2.0}

    def fails(place: Row) -> float | None:
        return None if failed and far.items() <= place.items() else 2 * loss(place)

    return block("swa seed 0", 0, loss) + block("sgd seed 0", 31, fails)


def test_rays_and_means_are_what_was_measured() -> None:
    """Each ray begins at its origin; the mean over rays is exact at every distance."""
    swa, sgd = read_rays(reversed(rows()), RUN)
    assert (swa.label, sgd.label) == ("swa seed 0", "sgd seed 0")
    at = np.linspace(0, 2, 11)
    for ray in range(3):
        np.testing.assert_allclose(swa.lines["loss"][ray], np.stack([at, 0.1 + (ray + 1) * at**2], axis=1))
    np.testing.assert_allclose(swa.mean("loss"), np.stack([at, 0.1 + 2 * at**2], axis=1))
    np.testing.assert_allclose(sgd.mean("loss")[:, 1], 2 * (0.1 + 2 * at**2))


def test_a_failed_point_does_not_move_the_mean() -> None:
    """Where one ray has no value there is no mean, rather than one of the others alone."""
    _, sgd = read_rays(rows(failed=True), RUN)
    assert len(sgd.mean("loss")) == 10
    assert np.isnan(sgd.lines["loss"][1][-1, 1])


def test_origins_of_one_name_stay_apart() -> None:
    """Two weights that are called the same have each their own rays."""
    one, two = read_rays(block("swa seed 0", 0, loss) + block("swa seed 0", 31, lambda place: 5.0), RUN)
    np.testing.assert_allclose(one.mean("loss")[-1], [2.0, 8.1])
    np.testing.assert_allclose(two.mean("loss")[-1], [2.0, 5.0])


def test_rays_of_different_lengths_are_averaged_by_step() -> None:
    """Rays that are scaled to the filters differ in length; the mean is that of their steps."""
    shorter = block("swa seed 0", 0, loss)
    longer = [row | {"distance": row["distance"] * (1 + (row["ray"] or 0))} for row in shorter]
    (origin,) = read_rays(longer, RUN)
    np.testing.assert_allclose(origin.mean("loss")[-1], [4.0, 8.1])
    assert [line[-1, 0] for line in origin.lines["loss"]] == [2.0, 4.0, 6.0]


def test_a_ray_that_has_just_begun_does_not_end_the_others() -> None:
    """Steps that are not measured yet are missing in the mean only."""
    (origin,) = read_rays([row for row in block("swa seed 0", 0, loss) if row["point"] < 24], RUN)
    assert [int(np.isfinite(line[:, 1]).sum()) for line in origin.lines["loss"]] == [11, 11, 4]
    assert len(origin.mean("loss")) == 4


def test_an_origin_alone_is_a_point() -> None:
    """Before the first ray is measured there is the origin."""
    (only,) = read_rays([row for row in rows() if row.get("ray") is None and row["origin"] == "swa seed 0"], RUN)
    assert only.lines["loss"][0].tolist() == [[0.0, 0.1]]


def test_one_colour_an_origin_thin_rays_and_a_thick_mean() -> None:
    """Both panels have the rays thin and the means thick; axes say what they are."""
    figure = width_figure(picture(rows(), RUN))
    for panel in figure.axes:
        for colour in (BLUE, VERMILION):
            widths = [line.get_linewidth() for line in panel.lines if line.get_color() == colour]
            assert sorted(widths) == [0.7, 0.7, 0.7, 2.6]
        assert panel.get_xlabel() == "weight distance along random rays"
    assert [panel.get_ylabel() for panel in figure.axes] == [
        "digits train loss with L2 (nats/sample)",
        "digits test error (fraction)",
    ]
    assert figure.legends[0].get_texts()[0].get_text() == "swa seed 0 (mean of 3 rays)"
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[1].get_yscale() == "linear"
