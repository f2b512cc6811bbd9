"""From the rows of a result to digests on disk, and the plan of what is sent."""
