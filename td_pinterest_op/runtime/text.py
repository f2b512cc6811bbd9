"""Numbers with their nouns, for messages and pages."""


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 record", "2,000 records". `plural`: by default, the noun with an "s"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
