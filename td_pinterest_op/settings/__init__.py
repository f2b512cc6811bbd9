"""`result_settings`: one frozen value, or every problem at once."""
