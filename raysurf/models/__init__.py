"""Networks: one architecture a file, found by name or by dotted path."""
