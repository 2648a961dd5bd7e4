"""Pictures, drawn from the result rows."""
