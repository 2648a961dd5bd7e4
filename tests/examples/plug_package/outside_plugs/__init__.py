"""A package that raysurf knows nothing of: one plug of each sort, each a file."""
