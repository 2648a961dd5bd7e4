"""Every kind that may stand in a file, by name. Importing it imports no torch."""

from __future__ import annotations

from raysurf.jobs.curve import Curve
from raysurf.jobs.fge import FGE
from raysurf.jobs.geometry import Chain, Line, PointOf
from raysurf.jobs.initial import ConstantSigma, KaimingSigma, SigmaFromMeans, SigmaFromNoise, UniformSigma
from raysurf.jobs.job import Job
from raysurf.jobs.noise import NoiseOf, Regions
from raysurf.jobs.path import Path
from raysurf.jobs.plane import Plane
from raysurf.jobs.predict import Predict
from raysurf.jobs.profile import Profile
from raysurf.jobs.rays import Rays
from raysurf.jobs.sgd import SGD
from raysurf.jobs.swa import SWA, SWAG
from raysurf.jobs.variational import Variational
from raysurf.jobs.weights import Weights
from raysurf.stochastic.spec import Dropout, GaussianDropout, VarianceNoise, VariationalDropout
from raysurf.training.objectives.spec import BlockFloat, Consistency, CrossEntropy
from raysurf.training.schedules import Constant, Cosine, CosineCycles, Cyclic, Linear, PlateauLinear, Triangle, WarmUp
from raysurf.values import Node

_JOBS = (SGD, SWA, SWAG, FGE, Curve, Path, Variational, Profile, Plane, Rays, Predict, NoiseOf, Regions, Weights)
_PLACES = (Line, Chain, PointOf)
_SCHEDULES = (Constant, PlateauLinear, Cyclic, Triangle, Linear, Cosine, CosineCycles, WarmUp)
_OBJECTIVES = (CrossEntropy, BlockFloat, Consistency)
_NOISES = (Dropout, GaussianDropout, VariationalDropout, VarianceNoise)
_INITIAL = (UniformSigma, ConstantSigma, KaimingSigma, SigmaFromMeans, SigmaFromNoise)
NODES: tuple[type[Node], ...] = (*_JOBS, *_PLACES, *_SCHEDULES, *_OBJECTIVES, *_NOISES, *_INITIAL)
JOBS: dict[str, type[Job]] = {node.kind: node for node in _JOBS}


def kinds(expected: type[Node] | tuple[type[Node], ...]) -> dict[str, type[Node]]:
    """The kinds that may stand where one of some classes is expected, by name; a name may serve in several places."""
    return {node.kind: node for node in NODES if issubclass(node, expected)}
