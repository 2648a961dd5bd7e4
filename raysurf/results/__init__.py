"""Result tables: what is written, and how it is read. Needs neither torch nor Ray."""

from raysurf.results.query import Results, open
from raysurf.results.schemas import SCHEMAS

__all__ = ["SCHEMAS", "Results", "open"]
