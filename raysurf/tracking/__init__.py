"""W&B, drawn from the result rows."""
