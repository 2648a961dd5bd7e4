"""Plugs: what sweep files name by a word, such as a kind of job or a network, from raysurf and other packages.

A package adds one by an entry point with the word as its name, in the group ``raysurf.`` plus one of ``GROUPS``:

    [project.entry-points."raysurf.schedules"]
    polynomial = "my_package.polynomial:Polynomial"

Plugs are imported at first use; importing this imports none.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from typing import Any

from raysurf import own_code
from raysurf.errors import Fault, PlugWarning, SpecError, UnknownNameError

PREFIX = "raysurf."


@dataclass(frozen=True)
class Group:
    """Plugs of one sort.

    Args:
        what: What they are, for errors.
        contract: ``module:class`` that they subclass; empty for plain functions.
        own: raysurf's own, ``module:name`` by name.
    """

    what: str
    contract: str
    own: dict[str, str]


GROUPS = {
    "jobs": Group(
        "kind of job",
        "raysurf.jobs.job:Job",
        {
            "sgd": "raysurf.jobs.sgd:SGD",
            "swa": "raysurf.jobs.swa:SWA",
            "swag": "raysurf.jobs.swa:SWAG",
            "fge": "raysurf.jobs.fge:FGE",
            "curve": "raysurf.jobs.curve:Curve",
            "path": "raysurf.jobs.path:Path",
            "variational": "raysurf.jobs.variational:Variational",
            "profile": "raysurf.jobs.profile:Profile",
            "plane": "raysurf.jobs.plane:Plane",
            "rays": "raysurf.jobs.rays:Rays",
            "predict": "raysurf.jobs.predict:Predict",
            "noise": "raysurf.jobs.noise:NoiseOf",
            "regions": "raysurf.jobs.noise:Regions",
            "weights": "raysurf.jobs.weights:Weights",
        },
    ),
    "places": Group(
        "place in weight space",
        "raysurf.values:Node",
        {
            "line": "raysurf.jobs.geometry:Line",
            "chain": "raysurf.jobs.geometry:Chain",
            "point": "raysurf.jobs.sources:PointOf",
        },
    ),
    "schedules": Group(
        "schedule",
        "raysurf.training.schedules:Schedule",
        {
            "constant": "raysurf.training.schedules:Constant",
            "plateau_linear": "raysurf.training.schedules:PlateauLinear",
            "cyclic": "raysurf.training.schedules:Cyclic",
            "triangle": "raysurf.training.schedules:Triangle",
            "linear": "raysurf.training.schedules:Linear",
            "cosine": "raysurf.training.schedules:Cosine",
            "cosine_cycles": "raysurf.training.schedules:CosineCycles",
            "warm_up": "raysurf.training.schedules:WarmUp",
        },
    ),
    "objectives": Group(
        "objective",
        "raysurf.training.objectives.spec:ObjectiveSpec",
        {
            "cross_entropy": "raysurf.training.objectives.spec:CrossEntropy",
            "block_float": "raysurf.training.objectives.spec:BlockFloat",
            "consistency": "raysurf.training.objectives.spec:Consistency",
        },
    ),
    "noise": Group(
        "noise",
        "raysurf.stochastic.spec:Noise",
        {
            "dropout": "raysurf.stochastic.spec:Dropout",
            "gaussian_dropout": "raysurf.stochastic.spec:GaussianDropout",
            "variational_dropout": "raysurf.stochastic.spec:VariationalDropout",
            "variance": "raysurf.stochastic.spec:VarianceNoise",
        },
    ),
    "initial": Group(
        "initial deviation",
        "raysurf.jobs.initial:InitialSigma",
        {
            "uniform": "raysurf.jobs.initial:UniformSigma",
            "constant": "raysurf.jobs.initial:ConstantSigma",
            "kaiming": "raysurf.jobs.initial:KaimingSigma",
            "from_means": "raysurf.jobs.initial:SigmaFromMeans",
            "from_variational": "raysurf.jobs.initial:SigmaFromNoise",
        },
    ),
    "samplers": Group(
        "sampler",
        "raysurf.sweep.search:Sampler",
        {
            "tpe": "raysurf.sweep.samplers:TPE",
            "random": "raysurf.sweep.samplers:Random",
            "grid": "raysurf.sweep.samplers:Grid",
            "cmaes": "raysurf.sweep.samplers:CmaEs",
            "gp": "raysurf.sweep.samplers:GP",
            "nsga2": "raysurf.sweep.samplers:NSGA2",
            "pbt": "raysurf.sweep.population:PBT",
        },
    ),
    "models": Group(
        "model",
        "",
        {
            "digits_conv": "raysurf.models.small:digits_conv",
            "lenet5": "raysurf.models.small:lenet5",
            "lenet5_bn": "raysurf.models.small:lenet5_bn",
            "toy_mlp": "raysurf.models.small:toy_mlp",
            "vgg_like": "raysurf.models.vgg:vgg_like",
            "vgg16": "raysurf.models.vgg:vgg16",
            "vgg16_bn": "raysurf.models.vgg:vgg16_bn",
            "densenet40_12": "raysurf.models.densenet:densenet40_12",
            "preresnet110": "raysurf.models.preresnet:preresnet110",
            "preresnet164": "raysurf.models.preresnet:preresnet164",
            "wrn28_10": "raysurf.models.wide_resnet:wrn28_10",
            "pyramidnet272": "raysurf.models.pyramidnet:pyramidnet272",
            "shakeshake26_2x64d": "raysurf.models.shakeshake:shakeshake26_2x64d",
            "cnn13": "raysurf.models.small:cnn13",
        },
    ),
    "data": Group(
        "data",
        "",
        {
            "digits": "raysurf.data.source:DIGITS",
            "toy_gaussians": "raysurf.data.source:TOY",
            "mnist": "raysurf.data.source:MNIST",
            "fashion_mnist": "raysurf.data.source:FASHION_MNIST",
            "cifar10": "raysurf.data.source:CIFAR10",
            "cifar100": "raysurf.data.source:CIFAR100",
            "cifar100_coarse": "raysurf.data.source:CIFAR100",
            "parquet": "raysurf.data.source:PARQUET",
            "folder": "raysurf.data.source:FOLDER",
            "imagenet": "raysurf.data.source:IMAGENET",
            "image_stream": "raysurf.data.source:IMAGE_STREAM",
        },
    ),
}


@dataclass(frozen=True)
class Plug:
    """A plug of another package: the entry point's target, and the package with its version."""

    target: str
    package: str


def names(group: str) -> tuple[str, ...]:
    """The plugs of a group by name, raysurf's own first; imports none."""
    return tuple(dict.fromkeys((*GROUPS[group].own, *_of_others().get(group, {}))))


def has(group: str, name: str) -> bool:
    """Whether a group has a plug of this name; imports none."""
    return name in GROUPS[group].own or name in _of_others().get(group, {})


def code_of(group: str, name: str) -> str | None:
    """``module:name`` of code outside raysurf: the name itself, or the target of a plug; None for raysurf's own."""
    if own_code.is_named_in(name):
        return name
    plugs = () if name in GROUPS[group].own else _of_others().get(group, {}).get(name, ())
    return plugs[0].target if plugs else None


def find(group: str, name: str) -> Any:
    """Import a plug.

    Raises:
        UnknownNameError: If there is none of this name; the nearest is suggested.
        SpecError: If its import fails, it breaks the contract of its group, or two packages have it.
    """
    if name in (own := GROUPS[group].own):
        return attribute(own[name])
    plugs = _of_others().get(group, {}).get(name)
    if not plugs:
        raise UnknownNameError(GROUPS[group].what, name, names(group))
    if len(plugs) > 1:
        packages = " and ".join(sorted(plug.package for plug in plugs))
        raise SpecError([Fault(group, f"{name!r}, which {packages} have", "one package with it; uninstall the other")])
    return _imported(group, name, plugs[0])


def every(group: str) -> Iterator[tuple[str, Any]]:
    """Names and plugs of a group, imported; one that fails is left out with a warning that names it."""
    yield from ((name, find(group, name)) for name in GROUPS[group].own)
    yield from of_others(group)


def of_others(group: str) -> Iterator[tuple[str, Any]]:
    """Names and plugs of a group from other packages, imported; see ``every``."""
    for name in names(group)[len(GROUPS[group].own) :]:
        try:
            yield name, find(group, name)
        except SpecError as error:
            warnings.warn(PlugWarning(f"left out {error.faults[0].got}"), stacklevel=2)


def _of_others() -> dict[str, dict[str, tuple[Plug, ...]]]:
    return _read(own_code.places())


@functools.lru_cache(maxsize=8)
def _read(path: tuple[str, ...]) -> dict[str, dict[str, tuple[Plug, ...]]]:
    """Plugs of the packages on a path, by group and name; those of one name are several if their targets differ."""
    groups: dict[str, dict[str, tuple[Plug, ...]]] = {}
    for package in distributions(path=list(path)):
        for entry in package.entry_points:
            group = entry.group.removeprefix(PREFIX)
            if group != entry.group and group in GROUPS:
                plugs = groups.setdefault(group, {}).setdefault(entry.name, ())
                target = entry.value.partition("[")[0].strip()
                if all(plug.target != target for plug in plugs):
                    groups[group][entry.name] = (*plugs, Plug(target, _named(package)))
    return groups


def _named(package: Distribution) -> str:
    is_described = package.read_text("METADATA") or package.read_text("PKG-INFO")
    return f"{package.name} {package.version}" if is_described else "a package without metadata"


def _imported(group: str, name: str, plug: Plug) -> Any:
    what = f"plug {name!r} of {plug.package} ({PREFIX}{group})"
    try:
        value = own_code.imported(plug.target, what)
    except SpecError as error:
        raise SpecError([Fault(group, f"{what}: {fault.got}", fault.expected) for fault in error.faults]) from error
    if contract := GROUPS[group].contract:
        parent = attribute(contract)
        if not (isinstance(value, type) and issubclass(value, parent)):
            raise SpecError([Fault(group, f"{what}: {plug.target}", f"a subclass of {parent.__name__}")])
        if (kind := value.kind) != name:  # type: ignore[attr-defined]
            raise SpecError([Fault(group, f"{what}: {plug.target} of kind {kind!r}", f"kind = {name!r} in it")])
    return value


def attribute(target: str) -> Any:
    """Import ``module:name``."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
