"""Text that is safe to show: secrets masked, names from outside escaped."""
