"""Ray: trials, workers and the driver of a plan. The only room that imports ray."""
