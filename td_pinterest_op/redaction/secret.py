"""Secrets that do not print themselves, and text from elsewhere that is safe to show: masked, on one line, no template.

The mask recognises a credential plain, URL-encoded, escaped as in JSON, and in base64. A pair of credentials, as in
Basic authorisation, is a `Secret` of its own.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

# digdag's limit in bytes; only the beginning of a longer secret is recognised.
LONGEST_SECRET = 16 * 1024
_LONGEST_QUOTED_TEXT = 100  # characters of a name in a message
# In characters: a longer text is cut at a space before that.
LONGEST_MASKED_TEXT = 100_000

# In characters: shorter credentials occur in every message, and those of up to five are masked as whole words only.
_SHORTEST_MASKED_SECRET = 3
_LONGEST_WHOLE_WORD_SECRET = 5

# What could be a person: a word with an `@`, a device id, an MD5, SHA-1 or SHA-256.
_MASKABLE_WORD_PATTERN = re.compile(r"[^\s'\"]+")
_AT_SIGN_PATTERN = re.compile(r"@|%(?:25)*40|\\u0040|&#(?:0*64|[xX]0*40);|&commat;")
_DEVICE_OR_DIGEST_PATTERN = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32,}")
# Phone numbers and keys, for example. Not digits of a name (customers_20260101), a position (line 1:8) or a time.
_LONG_NUMBER_PATTERN = re.compile(r"(?<!\w)(?!\d{4}-\d\d-\d\d[T ]\d\d:)\+?\(?\d(?:(?:/|[\s()+.-]{0,3})\d){6,}(?![\d_])")

_secret_forms: set[str] = set()


class Secret:
    """A credential that is shown as `***` wherever it is printed, formatted or logged. Only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        _secret_forms.update(build_secret_forms(value))

    def reveal(self) -> str:
        """Return the credential as plain text, for the request that needs it."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of a hash, which identify the secret without revealing it."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def build_secret_forms(value: str) -> set[str]:
    """Return the forms in which a credential may stand in a text: plain, URL-encoded, as in JSON, and in base64."""
    value = value[:LONGEST_SECRET]
    data = value.encode("utf-8", "surrogatepass")
    encoded = (quote(data, safe=""), quote_plus(data))
    escaped = json.dumps(value)[1:-1]
    forms = (
        value,
        *encoded,
        *(re.sub("%..", lambda escape: escape[0].lower(), each) for each in encoded),
        escaped,
        escaped.replace("/", r"\/"),
        base64.b64encode(data).decode(),
    )
    return {form.rstrip("=") for form in forms if len(form) >= _SHORTEST_MASKED_SECRET}


def mask_sensitive_data(text: str) -> str:
    """Return `text` with `***` for credentials, and `<hidden>` for likely e-mail addresses, device ids and digests."""
    if len(text) > LONGEST_MASKED_TEXT:
        text = text[:LONGEST_MASKED_TEXT].rpartition(" ")[0] + " …"
    # The longest first: a credential may contain another.
    for form in sorted(_secret_forms, key=len, reverse=True):
        if len(form) > _LONGEST_WHOLE_WORD_SECRET:
            text = text.replace(form, "***")
        elif form in text:
            text = re.sub(f"(?<![0-9A-Za-z]){re.escape(form)}(?![0-9A-Za-z])", "***", text)
    return _DEVICE_OR_DIGEST_PATTERN.sub("<hidden>", _MASKABLE_WORD_PATTERN.sub(_hide_if_email, text))


def mask_long_numbers_too(text: str) -> str:
    """Return `text` as `mask_sensitive_data` does, also without long numbers, such as phone numbers."""
    return _LONG_NUMBER_PATTERN.sub("<hidden>", mask_sensitive_data(text))


def defuse_templates(value: Any) -> Any:
    """Return JSON data with `${` changed to `$ {` in all texts, so that digdag does not evaluate them as templates.

    Source: digdag-core, agent/ConfigEvalEngine.java: digdag evaluates all parameters of a task, even values that other
    tasks stored, and `error.message`. digdag-plugin-utils, UserSecretTemplate.java: `http>` then fills in secrets.
    """
    return replace_in_texts(value, "${", "$ {", in_keys=True)


def replace_in_texts(value: Any, old: str, new: str, *, in_keys: bool = False) -> Any:
    """Return JSON data with `new` in place of `old` in its texts, and in its keys if `in_keys`."""
    if isinstance(value, str):
        return value.replace(old, new)
    change = partial(replace_in_texts, old=old, new=new, in_keys=in_keys)
    if isinstance(value, Mapping):
        return {change(key) if in_keys else key: change(member) for key, member in value.items()}
    return list(map(change, value)) if isinstance(value, (list, tuple)) else value


def escape_control_characters(text: str) -> str:
    """Return `text` with control and invisible characters escaped: it moves no cursor and hides no other text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escape_for_message(text: str) -> str:
    """Return `text` with control characters escaped and `${` changed: it forges no log line and no template."""
    return str(defuse_templates(escape_control_characters(text)))


def escape_and_quote(text: str) -> str:
    """Return a text in quotation marks for a message: escaped, and cut if it is long."""
    return f'"{escape_for_message(text[:_LONGEST_QUOTED_TEXT])}{"…" if len(text) > _LONGEST_QUOTED_TEXT else ""}"'


def mask_and_escape(text: str, *, longest: int = 80) -> str:
    """Return `text` masked and escaped, on one line, cut to `longest` characters."""
    # Before it is cut, since half of an identifier would not be recognised.
    line = escape_for_message(mask_sensitive_data(text))
    return line if len(line) <= longest else f"{line[:longest]}…"


def _hide_if_email(word: re.Match[str]) -> str:
    """Return the matched word, or "<hidden>" if it looks like an e-mail address (an `@`, later a full stop)."""
    text = word[0]
    at = _AT_SIGN_PATTERN.search(text, 1)
    return "<hidden>" if at and text.rfind(".", at.end() + 1, len(text) - 1) > 0 else text
