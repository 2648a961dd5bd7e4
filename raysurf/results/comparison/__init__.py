"""Our metrics beside published ones."""
