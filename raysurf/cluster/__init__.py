"""Ray: trials, workers and the driver of a plan. The only room that imports ray."""

from raysurf.cluster.ray_cluster import prepare

# Ray reads its settings when it is imported, and whatever of this room comes first may import it.
prepare()
