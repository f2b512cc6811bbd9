"""Values of a query's result → unique digests in temporary files, and the plan of what is sent."""
