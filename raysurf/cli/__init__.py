"""The commands: one a file, each one call and a print."""
