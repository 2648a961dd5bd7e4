"""Every kind that may stand in a file, by name. Importing it imports no torch."""

from __future__ import annotations

from raysurf.jobs.curve import Curve
from raysurf.jobs.fge import FGE
from raysurf.jobs.geometry import Chain, Line, PointOf
from raysurf.jobs.job import Job
from raysurf.jobs.path import Path
from raysurf.jobs.plane import Plane
from raysurf.jobs.predict import Predict
from raysurf.jobs.profile import Profile
from raysurf.jobs.rays import Rays
from raysurf.jobs.sgd import SGD
from raysurf.jobs.swa import SWA
from raysurf.jobs.weights import Weights
from raysurf.training.schedules import Constant, Cyclic, PlateauLinear, Triangle
from raysurf.values import Node

_JOBS = (SGD, SWA, FGE, Curve, Path, Profile, Plane, Rays, Predict, Weights)
_PLACES = (Line, Chain, PointOf)
_SCHEDULES = (Constant, PlateauLinear, Cyclic, Triangle)
KINDS: dict[str, type[Node]] = {node.kind: node for node in (*_JOBS, *_PLACES, *_SCHEDULES)}
JOBS: dict[str, type[Job]] = {kind: node for kind, node in KINDS.items() if issubclass(node, Job)}
