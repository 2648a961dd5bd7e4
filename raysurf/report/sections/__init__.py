"""The sections of the report of a sweep, one a file; each is HTML from rows, and empty if they have nothing for it."""
