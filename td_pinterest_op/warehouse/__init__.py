"""The SQL that the workflows run in the user's own warehouse. It knows nothing of Pinterest."""
