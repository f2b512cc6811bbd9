"""Counts in the JSON of a response."""

import re


def parse_whole_number(value: object) -> int | None:
    """Return `value`, a number or text of digits from JSON, as int. None if it is not a whole number up to 10^15."""
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value) else value
    # Below 2^53, so that a float holds every number exactly.
    return number if type(number) is int and 0 <= number <= 10**15 else None
