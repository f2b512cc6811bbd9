"""A value that does not print itself, and a mask for text that comes from elsewhere."""

from __future__ import annotations

import re

# Every credential of this process, for `mask`. A shorter value would hide ordinary words.
_known: set[str] = set()
_SHORTEST = 6

# What could be a person: an e-mail address, a device id, an MD5, SHA-1 or SHA-256.
_PERSON = re.compile(
    r"[^\s@'\"]{1,256}@[^\s@'\"]{1,256}\.[^\s@'\"]{1,64}"
    r"|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
    r"|[0-9A-Fa-f]{32,}"
)


class Secret:
    """A credential. Shown as `***` wherever it is printed, formatted or logged; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= _SHORTEST:
            _known.add(value)

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not to be pickled")


def mask(text: str) -> str:
    """`text` without any known credential, and without anything that looks like an identifier of a person."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, "***")
    return _PERSON.sub("<hidden>", text)
