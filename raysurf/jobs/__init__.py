"""One kind of job a file: its spec beside its run."""
