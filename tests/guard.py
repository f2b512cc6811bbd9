"""Recognises plain identifiers, digests and secrets, which must never be shown, in any text.

Made-up people have addresses at domains that end in `.example` and device ids that begin with `5eed`; made-up secrets
hold the marker `s3cr3t`, and Treasure Data's key is the emulator's. Anything of 64 hex digits is a digest.
"""

import base64
import re

_MARKER = "s3cr3t"


def base64_forms(text: str) -> set[str]:
    """Return the base64 forms of `text` within a longer text, at its three possible offsets."""
    shown = set()
    for before, begin in enumerate((0, 2, 3)):
        encoded = base64.b64encode(b"\0" * before + text.encode()).decode()
        shown.add(encoded[begin : (before + len(text)) * 8 // 6])
    return shown


_FORBIDDEN = {
    "an e-mail address": re.compile(r"[^\s@\"'<>()]+@[^\s@\"'<>()]*\.example\b", re.IGNORECASE),
    "a device id": re.compile(r"\b5eed[0-9a-f]{4}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
    "a digest": re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])"),
    "a secret": re.compile(r"s3cr3t|\d+(?:/|%2F|\\/)(?:0123456789){2}", re.IGNORECASE),
    "an escaped secret": re.compile(
        "|".join("".join(escape.format(ord(c)) for c in _MARKER) for escape in ("%{:02x}", r"\\u{:04x}", "&#{};")),
        re.IGNORECASE,
    ),
    "a secret in base64": re.compile("|".join(map(re.escape, base64_forms(_MARKER) | base64_forms("0123456789" * 2)))),
}


def find_leaks(text: str) -> list[str]:
    """Return a description of each forbidden value in `text`, without the value."""
    return [f"{what} ({len(hits)} times)" for what, pattern in _FORBIDDEN.items() if (hits := pattern.findall(text))]


def check(text: str, where: str) -> None:
    """Raise AssertionError when `text` of `where` contains a forbidden value."""
    assert find_leaks(text) == [], f"{where} shows {', '.join(find_leaks(text))}"


def check_inert(text: str, where: str) -> None:
    """Raise AssertionError when `text` of `where` contains a template that digdag would evaluate."""
    before, template, after = text.partition("${")
    assert not template, f"{where} holds a template: {before[-80:]}{template}{after[:80]}"
