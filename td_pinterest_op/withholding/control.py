"""Who is in the control group: a stable random share of the people, the same in every audience and on every day."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from td_pinterest_op.settings.control import Control

_NUMBER_BYTES = 4
_SHARES = 10_000


def in_control(control: Control, keys: Iterable[bytes]) -> list[bool]:
    """For each key whether its person is in the group.

    The number of a person is the first eight hex digits of SHA-256 (salt, a line feed, the key). `control.sql` computes
    the same.
    """
    salted = sha256(control.salt.encode() + b"\n")
    share = control.of_ten_thousand
    is_in_group = []
    for key in keys:
        of_key = salted.copy()
        of_key.update(key)
        is_in_group.append(int.from_bytes(of_key.digest()[:_NUMBER_BYTES], "big") % _SHARES < share)
    return is_in_group


def key_of(value: object) -> bytes:
    """The key in a column: text as it is, the digits of a whole number."""
    return value if isinstance(value, bytes) else str(value).encode()
