"""What must never be seen: how to recognise a plain identifier, a digest or a secret in any text.

Made-up people have addresses at domains that end in `.example` and device ids that begin with `5eed`; made-up secrets
hold the marker `s3cr3t`, and Treasure Data's key is the emulator's. Anything of 64 hex digits is a digest.
"""

from __future__ import annotations

import re

_FORBIDDEN = {
    "an e-mail address": re.compile(r"[^\s@\"'<>()]+@[^\s@\"'<>()]*\.example\b", re.IGNORECASE),
    "a device id": re.compile(r"\b5eed[0-9a-f]{4}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
    "a digest": re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])"),
    "a secret": re.compile(r"s3cr3t|\d+/(?:0123456789){4}", re.IGNORECASE),
}


def leaks(text: str) -> list[str]:
    """What `text` shows that it must not; a short description of each, without the thing itself."""
    return [f"{what} ({len(found)} times)" for what, pattern in _FORBIDDEN.items() if (found := pattern.findall(text))]


def check(text: str, where: str) -> None:
    """Raise AssertionError when `text`, found in `where`, shows anything that it must not."""
    assert [] == leaks(text), f"{where} shows {', '.join(leaks(text))}"
