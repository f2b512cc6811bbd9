"""From the values of a result to digests on disk, and the plan of what is sent."""
