"""Result tables: what is written, and how it is read. Needs neither torch nor Ray."""

from raysurf.results.api import Results, open
from raysurf.store.schemas import SCHEMAS

__all__ = ["SCHEMAS", "Results", "open"]
