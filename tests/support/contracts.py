"""Contracts: what every plug of a sort promises. A class of tests subclasses one and gives the plug as a fixture."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import raysurf as rs
from raysurf.errors import SpecError
from raysurf.jobs.job import Job, to_tree
from raysurf.jobs.parse import parse_job
from raysurf.stochastic.layers import noise_mode
from raysurf.stochastic.spec import Noise
from raysurf.training.checkpoints import Place
from raysurf.training.loop import fit
from raysurf.training.objective import Objective
from raysurf.training.objectives.spec import ObjectiveSpec
from raysurf.training.schedules import Schedule, Span
from raysurf.training.workers import Workers
from raysurf.values import Node
from tests.support import training
from tests.support.execution import do, do_broken_off, same_outcome, stores_with_inputs

STEPS = 390
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), (3, 9)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=False), (2, 5, 5)),
}


def comes_back(node: Node, expected: type[Node]) -> None:
    """What a file would say of a node is the node again, as its bytes are; an unknown key is refused."""
    tree = to_tree(node)
    assert expected.model_validate(tree) == node == pickle.loads(pickle.dumps(node))
    assert to_tree(expected.model_validate(tree)) == tree
    with pytest.raises(SpecError, match="an unknown key"):
        type(node)(**{"no_such_field": 1})


class ScheduleContract:
    """Learning-rate schedules; the fixture ``schedule`` has rates of at most 0.1."""

    def test_it_comes_back_from_its_tree(self, schedule: Schedule) -> None:
        """A file may say it."""
        comes_back(schedule, Schedule)

    def test_rates_are_positive_and_finite(self, schedule: Schedule) -> None:
        """No step has a rate of zero, not even the first of a warm-up or the last of a line to zero."""
        span = Span(20 * STEPS, 3 * STEPS, STEPS)
        assert all(0 < schedule.rate(step, span) <= 0.1 for step in range(span.steps))

    def test_it_says_what_its_rates_depend_on(self, schedule: Schedule) -> None:
        """It depends on the length if and only if twice the length begins otherwise."""
        short, long = (Span(count * STEPS, 3 * STEPS, STEPS) for count in (20, 40))
        differ = any(schedule.rate(step, short) != schedule.rate(step, long) for step in range(short.steps))
        assert schedule.depends_on_length == differ


class ObjectiveContract:
    """Objectives; the fixture ``job`` is an SGD job that has one."""

    def trained(self, job: rs.SGD, keeper: training.Kept) -> Objective:
        """Its loss after three epochs, from the newest checkpoint if there is one."""
        network = training.OnData(job)
        recipe = training.recipe(3, streams=job.objective_spec.streams(network.data, 64))
        objective = job.objective_spec.build(network, recipe)
        fit(objective, network.data, recipe, Workers(), lambda end: None, checkpoints=keeper)
        return objective

    def test_it_comes_back_from_its_tree(self, job: rs.SGD) -> None:
        """A file may say it."""
        comes_back(job.objective_spec, ObjectiveSpec)

    def test_it_trains_its_network(self, job: rs.SGD) -> None:
        """Trainables are leaves, rates of their own are of trainables, and every parameter of the network changes."""
        keeper = training.Kept()
        objective = self.trained(job, keeper)
        first = {name: value.clone() for name, value in training.OnData(job).model.named_parameters()}
        assert all(value.is_leaf and value.requires_grad for value in objective.trainables.values())
        assert set(objective.own_rates) <= set(objective.trainables)
        assert all(not torch.equal(value, first[name]) for name, value in objective.model.named_parameters())

    @pytest.mark.parametrize("epoch", [1, 2])
    def test_resumed_run_takes_the_same_steps(self, job: rs.SGD, epoch: int) -> None:
        """Weights and buffers of a run that was broken off after an epoch are an unbroken one's, to the last bit."""
        keeper = training.Kept()
        whole = self.trained(job, keeper)
        for place in [place for place in keeper.states if place > Place(epoch)]:
            del keeper.states[place]
        again = self.trained(job, keeper)
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, again.model.state_dict()[name]), name


class JobContract:
    """Kinds of jobs; the fixture ``job`` is one."""

    def test_it_comes_back_from_its_tree(self, job: Job) -> None:
        """Its tree and its bytes are the job again, with the same id."""
        again = parse_job(job.tree)
        assert again == job and again.tree == job.tree
        assert again.id == job.id == pickle.loads(pickle.dumps(job)).id
        assert job.id.startswith(f"{job.kind}-")

    def test_seeds_share_a_group(self, job: Job) -> None:
        """Replicates have one group, and ids of their own where a seed was free."""
        seeded = [job.with_seed(seed) for seed in (3, 4)]
        assert {replicate.group for replicate in seeded} == {job.group}
        assert seeded[0].id == seeded[0].with_seed(4).id


class ResumedContract:
    """Kinds of jobs that go on from where they were broken off; the fixture ``job`` is one."""

    def test_broken_off_job_ends_with_the_same_rows(self, job: Job, tmp_path: Path) -> None:
        """Broken off at every epoch or point, and run again each time, it has rows and files of an unbroken one."""
        whole, broken = stores_with_inputs(job, tmp_path, 2)
        do(job, whole)
        assert len(do_broken_off(job, broken)) >= 2
        same_outcome(job, broken, whole)


def drawn(layer: nn.Module, inputs: torch.Tensor, count: int) -> torch.Tensor:
    """Answers of so many passes of a noisy layer, each with weights of its own: [passes, *outputs]."""
    passes = torch.func.vmap(lambda _: layer(inputs), randomness="different")(torch.zeros(count))
    assert isinstance(passes, torch.Tensor)
    return passes


class NoiseContract:
    """Noise of layers; the fixture ``noise`` is its spec."""

    def test_it_comes_back_from_its_tree(self, noise: Noise) -> None:
        """A file may say it."""
        comes_back(noise, Noise)

    @pytest.mark.parametrize("shape", LAYERS)
    def test_draws_have_the_mean_and_variance_of_the_weights(self, noise: Noise, shape: str) -> None:
        """Drawn outputs and drawn weights agree with op(x, mu) + b and op(x^2, sigma^2), over many draws."""
        torch.manual_seed(0)
        build, size = LAYERS[shape]
        layer = build()
        inputs = torch.randn(1, *size)
        made, count = noise.make(layer), 20_000
        torch.manual_seed(1)
        with torch.no_grad():
            mean = made.mean()
            spread = made.operation(inputs.square(), made.variance().expand(made.shape), None)
            middle = made.operation(inputs, torch.zeros(made.shape) if mean is None else mean, made.bias)
            draws = made(inputs.expand(count, *size)) if made.local else drawn(made, inputs, count).flatten(0, 1)
        deviation = spread.sqrt()
        assert torch.allclose(draws.mean(0), middle[0], atol=float(6 * deviation.max() / math.sqrt(len(draws))))
        assert torch.allclose(draws.var(0), spread[0], rtol=0.2, atol=1e-6)

    def test_modes_do_what_they_say(self, noise: Noise) -> None:
        """``mean`` is the layer itself or its bias, ``zero_mean`` has the bias for a mean, and modes are put back."""
        torch.manual_seed(0)
        layer = nn.Linear(6, 4)
        made, inputs = noise.make(layer), torch.randn(5, 6)
        bias = layer.bias.expand(5, 4)
        with noise_mode(made, "mean"):
            assert torch.equal(made(inputs), bias if made.mean() is None else layer(inputs))
        if "zero_mean" in made.MODES:
            with noise_mode(made, "zero_mean"), torch.no_grad():
                assert torch.allclose(drawn(made, inputs, 4000).mean(0), bias, atol=0.1)
        assert made.noise == "sample"
        assert not torch.equal(made(inputs), made(inputs))

    def test_its_parameters_are_the_layers(self, noise: Noise) -> None:
        """Those that say how much noise there is are trained with it, and its divergence is a number."""
        made = noise.make(nn.Linear(6, 4))
        assert set(made.noise_parameters) <= set(dict(made.named_parameters()))
        assert made.kl().shape == () and bool(made.kl().isfinite())
