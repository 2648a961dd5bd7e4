"""raysurf: sweeps over neural-network loss surfaces on a Ray cluster.

Public names are imported when they are first used, so that ``import raysurf`` costs nothing and
``raysurf.results`` needs neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysurf import results as results
    from raysurf.cluster.launch import run as run
    from raysurf.cluster.live_table import LiveTable as LiveTable
    from raysurf.data.spec import DataSpec as DataSpec
    from raysurf.errors import RaysurfError as RaysurfError
    from raysurf.jobs.curve import Curve as Curve
    from raysurf.jobs.fge import FGE as FGE
    from raysurf.jobs.geometry import Chain as Chain
    from raysurf.jobs.geometry import Line as Line
    from raysurf.jobs.geometry import PointOf as PointOf
    from raysurf.jobs.initial import ConstantSigma as ConstantSigma
    from raysurf.jobs.initial import KaimingSigma as KaimingSigma
    from raysurf.jobs.initial import SigmaFromMeans as SigmaFromMeans
    from raysurf.jobs.initial import SigmaFromNoise as SigmaFromNoise
    from raysurf.jobs.initial import UniformSigma as UniformSigma
    from raysurf.jobs.noise import NoiseOf as NoiseOf
    from raysurf.jobs.noise import Regions as Regions
    from raysurf.jobs.parse import parse_job as parse_job
    from raysurf.jobs.path import Cycle as Cycle
    from raysurf.jobs.path import Path as Path
    from raysurf.jobs.plane import Plane as Plane
    from raysurf.jobs.predict import Predict as Predict
    from raysurf.jobs.profile import Profile as Profile
    from raysurf.jobs.rays import Rays as Rays
    from raysurf.jobs.sgd import SGD as SGD
    from raysurf.jobs.swa import SWA as SWA
    from raysurf.jobs.swa import SWAG as SWAG
    from raysurf.jobs.variational import Variational as Variational
    from raysurf.jobs.weights import Weights as Weights
    from raysurf.models.spec import ModelSpec as ModelSpec
    from raysurf.stochastic.spec import Dropout as Dropout
    from raysurf.stochastic.spec import GaussianDropout as GaussianDropout
    from raysurf.stochastic.spec import VarianceNoise as VarianceNoise
    from raysurf.stochastic.spec import VariationalDropout as VariationalDropout
    from raysurf.sweep.document import load as load
    from raysurf.sweep.search import Budget as Budget
    from raysurf.sweep.search import Search as Search
    from raysurf.sweep.search import Stopping as Stopping
    from raysurf.sweep.space import Choice as Choice
    from raysurf.sweep.space import Each as Each
    from raysurf.sweep.space import Float as Float
    from raysurf.sweep.space import Int as Int
    from raysurf.sweep.sweep import Failures as Failures
    from raysurf.sweep.sweep import Resources as Resources
    from raysurf.sweep.sweep import Sweep as Sweep
    from raysurf.training.average import Average as Average
    from raysurf.training.objectives.spec import BlockFloat as BlockFloat
    from raysurf.training.objectives.spec import Consistency as Consistency
    from raysurf.training.objectives.spec import CrossEntropy as CrossEntropy
    from raysurf.training.schedules import Constant as Constant
    from raysurf.training.schedules import Cosine as Cosine
    from raysurf.training.schedules import CosineCycles as CosineCycles
    from raysurf.training.schedules import Cyclic as Cyclic
    from raysurf.training.schedules import Linear as Linear
    from raysurf.training.schedules import PlateauLinear as PlateauLinear
    from raysurf.training.schedules import Triangle as Triangle
    from raysurf.training.schedules import WarmUp as WarmUp

# Public names by the module that has them.
HOMES = {
    "raysurf.cluster.launch": ("run",),
    "raysurf.cluster.live_table": ("LiveTable",),
    "raysurf.data.spec": ("DataSpec",),
    "raysurf.errors": ("RaysurfError",),
    "raysurf.jobs.curve": ("Curve",),
    "raysurf.jobs.fge": ("FGE",),
    "raysurf.jobs.geometry": ("Chain", "Line", "PointOf"),
    "raysurf.jobs.initial": ("ConstantSigma", "KaimingSigma", "SigmaFromMeans", "SigmaFromNoise", "UniformSigma"),
    "raysurf.jobs.path": ("Cycle", "Path"),
    "raysurf.jobs.plane": ("Plane",),
    "raysurf.jobs.predict": ("Predict",),
    "raysurf.jobs.profile": ("Profile",),
    "raysurf.jobs.rays": ("Rays",),
    "raysurf.jobs.noise": ("NoiseOf", "Regions"),
    "raysurf.jobs.parse": ("parse_job",),
    "raysurf.jobs.sgd": ("SGD",),
    "raysurf.jobs.swa": ("SWA", "SWAG"),
    "raysurf.jobs.variational": ("Variational",),
    "raysurf.jobs.weights": ("Weights",),
    "raysurf.models.spec": ("ModelSpec",),
    "raysurf.stochastic.spec": ("Dropout", "GaussianDropout", "VarianceNoise", "VariationalDropout"),
    "raysurf.sweep.document": ("load",),
    "raysurf.sweep.space": ("Choice", "Each", "Float", "Int"),
    "raysurf.sweep.search": ("Budget", "Search", "Stopping"),
    "raysurf.sweep.sweep": ("Failures", "Resources", "Sweep"),
    "raysurf.training.average": ("Average",),
    "raysurf.training.objectives.spec": ("BlockFloat", "Consistency", "CrossEntropy"),
    "raysurf.training.schedules": (
        "Constant",
        "Cosine",
        "CosineCycles",
        "Cyclic",
        "Linear",
        "PlateauLinear",
        "Triangle",
        "WarmUp",
    ),
}
_HOME = {name: home for home, names in HOMES.items() for name in names}

__all__ = sorted([*_HOME, "results"])


def __getattr__(name: str) -> Any:
    if name == "results":
        return importlib.import_module("raysurf.results")
    if name in _HOME:
        try:
            return getattr(importlib.import_module(_HOME[name]), name)
        except ModuleNotFoundError as error:
            from raysurf.packages import missing

            raise missing(error, f"raysurf.{name}") or error from error
    raise AttributeError(f"module 'raysurf' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
