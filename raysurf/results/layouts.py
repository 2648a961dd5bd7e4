"""The tables that ``compare`` knows, by the name that they are asked for."""

from __future__ import annotations

from raysurf.results.budget_layouts import BUDGETS_LAYOUT, PRETRAINED_LAYOUT
from raysurf.results.layout import Layout
from raysurf.results.noise_layouts import PARAMETERIZATIONS_LAYOUT, SCHEMES_LAYOUT

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "parameterizations": (PARAMETERIZATIONS_LAYOUT,),
    "schemes": (SCHEMES_LAYOUT,),
    "budgets": (BUDGETS_LAYOUT, PRETRAINED_LAYOUT),
}
