"""Numbers with their nouns, for messages and pages; numbers and ids from JSON."""

import re


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 record", "2,000 records". `plural`: by default, the noun with an "s"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def parse_id(value: object) -> str | None:
    """Return an id in a service's JSON (digits, as text or as a number) as text, or None for anything else.

    Ids become part of paths, of SQL and of patterns: they are checked where responses are read, and nowhere else.
    """
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and re.fullmatch("[0-9]{1,40}", text) else None


def parse_whole_number(value: object) -> int | None:
    """Return `value`, a number or text of digits from JSON, as int. None if it is not a whole number up to 10^15."""
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value) else value
    # Below 2^53, so that a float holds every number exactly.
    return number if type(number) is int and 0 <= number <= 10**15 else None
