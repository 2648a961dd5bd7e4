"""What to run: files with holes, how the holes are filled, and the plan."""
