"""Data sets: one a file, found by name, held in memory as whole tensors or streamed from files."""
