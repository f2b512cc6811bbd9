"""Read `result_settings` into one frozen value, or report every problem at once."""
