"""Pictures of noisy networks, from a store to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysurf.report.draw import draw, pictures_of_sweep
from raysurf.results.api import Results
from tests.support.measured_rows import run, run_id, store
from tests.support.noisy_rows import DROPOUT, VARIANCE, activations, inputs, prediction, schemes

SEEDS = [run_id("variational", number) for number in (1, 2)]
DROPPED, FEW, ACTIVE, PASSIVE, TOY = (
    run_id(kind, number) for kind, number in (("predict", 1), ("fge", 1), ("noise", 1), ("noise", 2), ("regions", 1))
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two seeds of a variance network, dropout, an ensemble of two, activations of two networks, and a toy network."""
    runs = [
        *(
            run(name, VARIANCE | {"seed": seed}, seed=seed, model="lenet5_bn", data="mnist")
            for seed, name in enumerate(SEEDS)
        ),
        run(DROPPED, {"kind": "predict", "weights": DROPOUT}, model="lenet5_bn", data="mnist"),
        run(FEW, sweep="few"),
        run(ACTIVE, {"kind": "noise", "weights": VARIANCE, "layer": "dense1", "neurons": [43]}, group="noise-1"),
        run(PASSIVE, {"kind": "noise", "weights": DROPOUT, "layer": "dense1", "neurons": [43]}, group="noise-2"),
        run(TOY, {"kind": "regions", "weights": VARIANCE}, data="blobs"),
    ]
    predictions = [row for name in SEEDS for row in schemes(name, 0.101, 0.959, 0.993, zero_mean=0.99)]
    predictions += schemes(DROPPED, 0.99, 0.98, 0.992)
    predictions += [prediction(FEW, "ensemble", count, 0.9, 0.3, weights="members") for count in (1, 2)]
    drawn = activations(ACTIVE, 43, lambda label: (0.0, 1.0 + label))
    drawn += activations(PASSIVE, 43, lambda label: (label, 1.0))
    toy = inputs(
        TOY, lambda x, y: int(x > 0), lambda label: ((0.0, 0.0), (1.0 + label, 1.0)), examples=[{"x": 0.5, "y": 0.5}]
    )
    root = tmp_path_factory.mktemp("store")
    return store(root, runs, predictions=predictions, activations=drawn, inputs=toy)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "schemes",
            (
                "Prediction schemes: lenet5_bn on mnist",
                "mnist test error (fraction)",
                "ensemble of K samples",
                "control: means set to zero",
                "variance network",
                "(mean and range of 2 seeds)",
                "dropout",
            ),
        ),
        ("activations", ("Activations by class: vgg16 on cifar10", "variance network", "dropout", "mean ± std")),
        ("toy", ("Two-dimensional inputs: vgg16 on blobs, variance network", "(e) mean weights, test accuracy 0")),
    ],
)
def test_every_kind(results: Results, kind: str, said: tuple[str, ...], tmp_path: Path) -> None:
    """A picture is drawn from the store alone; the SVG's own notes of its text say what is in it."""
    draw(results, kind, str(tmp_path / "a.svg"), sweeps=["study"])
    text = (tmp_path / "a.svg").read_text()
    assert [words for words in said if f"<!-- {words} -->" not in text and words not in text] == []


@pytest.mark.parametrize(
    ("kind", "rows", "header"),
    [
        ("schemes", "rows that are drawn", "num_samples"),
        (
            "activations",
            "the first 1000 of the 1200 rows that are drawn (all of them: raysurf table activations)",
            "share",
        ),
        ("toy", "the 82 rows that are drawn", "output_std"),
    ],
)
def test_pages_have_the_rows_of_their_table(
    results: Results, kind: str, rows: str, header: str, tmp_path: Path
) -> None:
    """The page has the columns of the table that the picture is drawn from, and says how to get at all of it."""
    draw(results, kind, str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text()
    assert rows in text
    assert f">{header}</th>" in text
    assert "validation" not in text


def test_pictures_of_a_sweep(results: Results, tmp_path: Path) -> None:
    """A sweep gets every kind that it has rows for; schemes only where a run has three numbers of samples."""
    written = pictures_of_sweep(results, "study", str(tmp_path))
    assert [Path(path).name for path in written] == ["study-schemes.png", "study-activations.png", "study-toy.png"]
    assert pictures_of_sweep(results, "few", str(tmp_path)) == []
    draw(results, "schemes", str(tmp_path / "few.png"), sweeps=["few"])
