"""The checks of `td-pinterest doctor`."""
