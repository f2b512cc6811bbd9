"""Finds credentials in plain text in a file: values that are known here, and lines that set one.

Text in UTF-16 or UTF-32 is read like any other. An archive is not opened.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.redaction.secret import LONGEST_SECRET, Secret, build_secret_forms

# In bytes. A value that lies across the end of a part lies within the next one.
_PART = 8 * 1024 * 1024
_OVERLAP = 8 * LONGEST_SECRET
_SHORTEST_KNOWN_VALUE = 8  # characters: a shorter one may occur in any text
# Pinterest's tokens and Treasure Data's keys.
_TOKEN_PATTERNS = (re.compile(rb"pin[ar][._][\w.-]{20,}"), re.compile(rb"[0-9]/[0-9a-f]{40}\b"))
# In text in small letters, since a search that ignores case takes ten times as long.
_ASSIGNMENT_PATTERN = re.compile(
    rb"""
    (?P<name>client[_.-]?secret | (?:refresh|access)[_.-]?token | td[_.-]?api[_.-]?key)
    [\\"'`\]]* [ \t]*
    (?: : [ \t]* (?:[|>][+-]?)? (?:\r?\n[ \t]+ | [ \t]*)  (?:[!&]\S*[ \t]+)*  # YAML may continue on the next line
      | [:=]?=>? [ \t]*  (?P<equals>) )
    (?P<quotes>[\\"'`]+)?
    (?P<value>[^\s"'`\\${}<>()\[\],;#&|:]{6,})
    # After a colon and a value without quotes, a further word makes it a sentence.
    (?= (?(quotes) ["'`\\] | (?: [,;&|})\]"`\\] | '(?!\w) | [ \t]*(?:\#|[\r\n]|\Z) | (?(equals)[ \t]|(?!)) ) ) )
    """,
    re.VERBOSE,
)
# Credentials have digits, or at least many characters, unlike most words of a text.
_SHORTEST_VALUE_WITHOUT_DIGIT = 12
# What only stands for a value, such as `your_client_secret`.
_PLACEHOLDER_PATTERN = re.compile(rb"your|secret|token|key|required|optional|string|x{4}|\*")
# In code, a value without quotes is a variable.
_CODE_SUFFIXES = (".py", ".rb", ".js", ".sql")
# Of `digdag secrets --local`: each is a file that contains the value only.
_SECRET_FILE_NAMES = frozenset(SECRETS_BY_VARIABLE.values()) - {"pinterest.client_id"}


def build_known_values(secrets: Iterable[Secret]) -> list[bytes]:
    """Return the forms of secrets for which `find_plain_credential` looks."""
    known = set()
    for secret in secrets:
        value = secret.reveal()[:LONGEST_SECRET]
        if len(value) >= _SHORTEST_KNOWN_VALUE:
            known |= {form.encode() for form in build_secret_forms(value)} | _build_inner_base64_forms(value.encode())
    return sorted(known)


def _build_inner_base64_forms(value: bytes) -> set[bytes]:
    """Return what is the same in the base64 of each longer text that contains the value, at its three offsets."""
    forms = set()
    for before, first in enumerate((0, 2, 3)):
        encoded = base64.b64encode(b"\0" * before + value)[first : (before + len(value)) * 8 // 6]
        forms |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def find_plain_credential(path: Path, known_values: Iterable[bytes]) -> str | None:
    """Return which credential a file contains, in words, or None. Raises OSError if it cannot be read."""
    if path.name in _SECRET_FILE_NAMES and path.read_bytes().strip():
        return f"it contains the secret {path.name}"
    for part in _read_parts(path):
        # In ASCII characters of UTF-16 and UTF-32, the other bytes are null.
        text = part.replace(b"\0", b"")
        unbroken = b"".join(text.split())  # base64 is often wrapped
        if any(value in text or value in unbroken for value in known_values):
            return "it contains one of your credentials"
        if any(pattern.search(text) for pattern in _TOKEN_PATTERNS):
            return "it contains a token of Pinterest or a key of Treasure Data"
        for found in _ASSIGNMENT_PATTERN.finditer(text.lower()):
            is_variable = path.suffix in _CODE_SUFFIXES and not found["quotes"]
            if not is_variable and _is_credential(found["value"]):
                return f"it sets {found['name'].decode()} to a plain value"
    return None


def _is_credential(value: bytes) -> bool:
    if re.search(rb"\d", value):
        return True
    return len(value) >= _SHORTEST_VALUE_WITHOUT_DIGIT and not _PLACEHOLDER_PATTERN.search(value)


def _read_parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        before = b""
        while part := file.read(_PART):
            yield before + part
            before = part[-_OVERLAP:]
