"""Every kind that may stand in a file, by name. Importing it imports no torch."""

from __future__ import annotations

from raysurf.jobs.curve import Curve
from raysurf.jobs.job import Job, Line
from raysurf.jobs.predict import Predict
from raysurf.jobs.profile import Profile
from raysurf.jobs.sgd import SGD
from raysurf.jobs.swa import SWA
from raysurf.jobs.weights import Weights
from raysurf.training.schedules import Constant, Cyclic, PlateauLinear
from raysurf.values import Node

KINDS: dict[str, type[Node]] = {
    node.kind: node for node in (SGD, SWA, Curve, Profile, Predict, Weights, Line, Constant, PlateauLinear, Cyclic)
}
JOBS: dict[str, type[Job]] = {kind: node for kind, node in KINDS.items() if issubclass(node, Job)}
