"""Choosing configurations and baselines, and the section that says what is done about failures."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.errors import SpecError
from raysurf.sweep.plan import Only, make_plan, part_of
from tests.support.cases import tiny_sgd


@pytest.mark.parametrize(
    ("texts", "fits"),
    [
        ((), True),
        (("arm=lr=0.1",), True),
        (("arm=lr=0.1 momentum=0.9",), True),
        (("arm=sgd *=0.9",), True),
        (("arm=lr=0",), False),
        (("arm=sgd",), True),
        (("arm=lr=0.2", "arm=momentum=0.9"), True),
        (("arm=lr=0.1", "kind=swa"), False),
        (("sweep=s*", "trial=4", "trial=3"), True),
        (("trial=2",), False),
    ],
)
def test_keys_and_texts(texts: tuple[str, ...], fits: bool) -> None:
    """Of one key any text may fit, of several keys all must; ``arm`` fits whole words of it, or a pattern."""
    assert Only.parse(texts).fits("study", "sgd lr=0.1 momentum=0.9", "sgd", 3) == fits


def test_chosen_configurations_keep_their_numbers() -> None:
    """Arms of a search are chosen with all their trials, numbered as without the choice; the plan counts them alone."""
    job = rs.SWA(start=tiny_sgd(seed=0), epochs=1, lr=0.1).with_holes(
        {"start.lr": rs.Each((0.1, 0.2, 0.3)), "lr": rs.Float(0.01, 0.1)}
    )
    search = rs.Search(metric="validation/nll", trials=4)
    sweep = rs.Sweep(job, search, name="s", baselines=(tiny_sgd(epochs=9),))
    only = Only.parse(["arm=start.lr=0.2"])
    assert part_of(sweep, only).numbers == {4, 5, 6, 7}
    assert part_of(sweep, Only()).numbers == set(range(12))
    (plan,) = make_plan([sweep], [], {"s": 1}, only).sweeps
    assert (plan.trials, plan.trials_done) == (4, 1)
    assert [(planned.job.id, planned.role) for planned in plan.jobs] == [(tiny_sgd(seed=0, lr=0.2).id, "input")]
    (plan,) = make_plan([sweep], [], {}, Only.parse(["kind=sgd"])).sweeps
    assert (plan.trials, [planned.role for planned in plan.jobs]) == (0, ["baseline"])


def test_failures_are_a_section_of_a_file(tmp_path: Path) -> None:
    """``failures:`` is read and checked, is no part of what the trials are, and is told of by its own names."""
    text = "job: {kind: sgd, model: digits_conv, data: digits, epochs: 1}\n"
    path = tmp_path / "a.yaml"
    path.write_text(text)
    (plain,) = rs.load(path)
    assert plain.failures == rs.Failures(retries=2, max_failed_share=1.0, time_limit_s=None)
    path.write_text(f"{text}failures: {{retries: 0, max_failed_share: 0.5, time_limit_s: 60.0}}\n")
    (sweep,) = rs.load(path)
    assert sweep.failures == rs.Failures(retries=0, max_failed_share=0.5, time_limit_s=60.0)
    assert sweep.digest == plain.digest
    path.write_text(f"{text}failures: {{retry: 1, max_failed_share: 2.0}}\n")
    with pytest.raises(
        SpecError, match=r"(?s)a.yaml:2: .*max_failed_share: got 2.0; .*a.yaml:2: .*did you mean 'retries'"
    ):
        rs.load(path)
