"""What may be shown: secrets masked, text from outside on one line."""
