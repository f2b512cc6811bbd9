"""`td-pinterest doctor`: checks everything that an export needs."""
