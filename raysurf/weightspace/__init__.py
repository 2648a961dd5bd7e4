"""Points, curves and averages: pure functions over weights; nothing here knows of jobs."""
