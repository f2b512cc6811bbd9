"""Numbers: with their nouns, for messages and pages, and from JSON."""

import re


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 record", "2,000 records". `plural`: by default, the noun with an "s"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def parse_whole_number(value: object) -> int | None:
    """Return `value`, a number or text of digits from JSON, as int. None if it is not a whole number up to 10^15."""
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value) else value
    # Below 2^53, so that a float holds every number exactly.
    return number if type(number) is int and 0 <= number <= 10**15 else None
