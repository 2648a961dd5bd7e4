"""The table that notebooks show while a run goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster.events import Event, RunProgressed
from tests.support.cases import tiny_sgd


def test_table_follows_a_run(tmp_path: Path) -> None:
    """Stages, counts, the best and failures with their reason; what is at work while it is; nothing needs IPython."""
    table, seen = rs.LiveTable(), list[str]()

    def listen(event: Event) -> None:
        table(event)
        if isinstance(event, RunProgressed):
            seen.append(table._repr_html_())

    search = rs.Search(metric="validation/nll", trials=2, seed=0)
    tree = tiny_sgd(epochs=1).with_holes(lr=rs.Each((0.1, 1e9)), batch_size=rs.Int(32, 64))
    assert repr(table) == "nothing has begun"
    rs.run(rs.Sweep(tree, search, name="digits"), str(tmp_path), executor="inline", listener=listen)
    assert any("<div>trial 0 sgd 1/1</div>" in page for page in seen)
    page = table._repr_html_()
    assert "<tr><td>digits trials</td><td>2</td><td>2</td><td>4</td>" in re.sub(r" style=[^>]*", "", page)
    assert "best validation/nll" in page
    assert "failed: DivergedError: the loss is not finite" in page
    assert "sgd 1/1" not in page
    assert repr(table).startswith("digits trials: 2 done, 2 failed, of 4, best ")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_ray_leaves_the_cell_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where Ray takes the process for a notebook, its own reporter neither clears the cell nor shows a table in it."""
    from ray.tune import progress_reporter

    monkeypatch.setattr(progress_reporter, "IS_NOTEBOOK", True)
    assert rs.run(rs.Sweep(tiny_sgd(epochs=1), name="quiet"), str(tmp_path)).failed == 0
    assert capsys.readouterr().out == ""
