"""How many weights an average or an ensemble is of: what is promised is what is taken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import raysurf as rs
from raysurf.data.registry import load
from raysurf.data.source import num_training
from raysurf.errors import SpecError
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from tests.support.cases import tiny_sgd
from tests.support.execution import do


def start(batch_size: int, **data: object) -> rs.SGD:
    """A network trained on 300 digits, or on other data."""
    spec = {"name": "digits", "share": 0.3} | data
    return tiny_sgd(data=rs.DataSpec(**spec), batch_size=batch_size, epochs=1)  # type: ignore[arg-type]


def parquet_start(folder: Path) -> rs.SGD:
    """A network of a set whose size only its file tells: 60 grey images, three steps of 20 an epoch."""
    rows = []
    for number in range(60):
        buffer = io.BytesIO()
        Image.fromarray(np.full((8, 8), number * 4, np.uint8)).save(buffer, "PNG")
        rows.append(buffer.getvalue())
    path = str(folder / "images.parquet")
    pq.write_table(pa.table({"image": rows, "label": [number % 2 for number in range(60)]}), path)
    return start(20, name="parquet", share=1.0, train=path, test=path, validation=0)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "digits"},
        {"name": "digits", "share": 0.3},
        {"name": "digits", "share": 0.0001},
        {"name": "digits", "share": 0.77, "validation": 11, "labelled": 50},
        {"name": "toy_gaussians", "share": 0.123},
    ],
)
def test_sizes_are_those_of_the_data(data: dict[str, object]) -> None:
    """The number of training examples that is known without reading is the number that is read."""
    spec = rs.DataSpec(**data)  # type: ignore[arg-type]
    assert num_training(spec) == len(load(spec).train)


@pytest.mark.parametrize(
    ("batch_size", "epochs", "cycle_epochs", "by_epochs", "members"),
    [(20, 7, 0.5, 14, 13), (23, 3, 0.5, 6, 7), (23, 3, 1.0, 3, 3)],
)
def test_fge_promises_the_members_that_it_keeps(
    batch_size: int, epochs: int, cycle_epochs: float, by_epochs: int, members: int, tmp_path: Path
) -> None:
    """Half of 15 steps are a cycle of 8, and half of 13 one of 6: fewer and more members than the epochs alone say."""
    store = Store(str(tmp_path))
    fge = rs.FGE(start=start(batch_size), epochs=epochs, lr=0.02, cycle_epochs=cycle_epochs, evaluate_every=epochs)
    assert (int(epochs / cycle_epochs + 0.5), fge.num_members) == (by_epochs, members)
    do(fge, store)
    kept = [Path(path).stem for path in store.list(f"jobs/{fge.id}") if "/member" in path]
    assert sorted(kept) == sorted(set(fge.point_names) - {"average"})
    assert len(kept) == members
    metrics = do(rs.Predict(weights=fge), store)
    assert metrics == do(rs.Predict(weights=fge, members=tuple(range(1, members + 1))), store)
    with pytest.raises(ValueError, match=f"num_samples {members + 1} is more than the {members} members of fge"):
        rs.Predict(weights=fge, num_samples=members + 1)


def test_a_single_member_has_no_covariance(tmp_path: Path) -> None:
    """Cycles of 2 of 3 steps end once an epoch: SWAG says so when it is written, and SWA is content."""
    three_steps = start(100)
    with pytest.raises(ValueError, match="fewer than 2 members from epoch 0 in epochs 1 of 3 steps"):
        rs.SWAG(start=three_steps, epochs=1, lr=0.05, cycle_epochs=0.5)
    with pytest.raises(ValueError, match=r"fewer than 2 members .* by cycle_steps 2;"):
        rs.SWAG(start=three_steps, epochs=1, lr=0.05, cycle_steps=2)
    assert rs.SWA(start=three_steps, epochs=1, lr=0.05, cycle_epochs=0.5).members_in(3) == 1
    both = rs.SWAG(start=three_steps, epochs=1, lr=0.05, cycle_steps=2, include_start=True, rank=2, num_samples=2)
    assert 0 < do(both, Store(str(tmp_path)))["test/nll"] < 3


def test_data_of_unknown_size_are_counted_before_training(tmp_path: Path) -> None:
    """Where only a file tells how many steps an epoch has, the job says the number of members before it trains."""
    base, store = parquet_start(tmp_path), Store(str(tmp_path / "r"))
    for job, said in (
        (rs.SWAG(start=base, epochs=1, lr=0.05, cycle_epochs=0.5), "swag: got fewer than 2 members .* of 3 steps"),
        (rs.SWA(start=base, epochs=1, lr=0.05, cycle_steps=4), "cycle_steps 4 is beyond epochs 1 of 3 steps"),
        (
            rs.FGE(start=base, epochs=4, lr=0.05, cycle_epochs=0.5),
            "fge: got 6 members, of cycles of 2 steps where an epoch has 3, and not the 8 .* cycle_epochs: 0.666667",
        ),
    ):
        with pytest.raises(SpecError, match=said):
            do(job, store)
        assert not read_rows(store, "epochs", job.id)
    assert rs.FGE(start=base, epochs=4, lr=0.05, cycle_epochs=0.666667).num_members == 6


def test_members_are_drawn_where_they_are_taken() -> None:
    """The epochs of the planned picture are those of the steps."""
    (fge,) = rs.FGE(start=start(20), epochs=7, lr=0.02, cycle_epochs=0.5).stages
    assert (fge.first_member, fge.member_epochs, fge.cycle_epochs) == pytest.approx((4 / 15, 8 / 15, 8 / 15))
    (swa,) = rs.SWA(start=start(20), epochs=7, lr=0.02, cycle_steps=30, average_from=1).stages
    assert (swa.first_member, swa.member_epochs, swa.cycle_epochs) == pytest.approx((3, 2, 2))
