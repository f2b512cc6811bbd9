"""The fast way through a block and the slow way through each value give the same answers, whatever the values."""

from __future__ import annotations

import hashlib
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.records.identifiers import IdentifierType, Reason, digest_block, digest_or_reason

HEX = "0123456789abcdefABCDEF"
EDGES = st.text(" \t\r\n\x0b\x1c\x85\u00a0\u200b\ufeff\u3000,", max_size=2)
LABELS = st.text("abzAZ019-_.@, \n\x00\x7f\u00e9\u0130\u00df\u200b\u2028", max_size=6)

emails = st.builds("{}@{}.{}".format, LABELS, LABELS, LABELS)
long_emails = st.builds(
    lambda local, labels, end: "a" * local + "@" + ".".join("b" * length for length in labels) + end,
    st.integers(0, 260),
    st.lists(st.integers(0, 66), max_size=6),
    st.sampled_from(["", ".", ".c", "\u00e9"]),
)
uuids = st.uuids().map(str)
hashes = st.sampled_from([31, 32, 40, 63, 64, 65]).flatmap(lambda size: st.text(HEX, min_size=size, max_size=size))
known = st.sampled_from(["", "null", "NULL", "test@example.com", "00000000-0000-0000-0000-000000000000", "a@b.cc"])
hashes_of_known = known.map(lambda text: hashlib.sha256(text.encode()).hexdigest())
texts = st.one_of(
    emails, long_emails, uuids, uuids.map(str.upper), hashes, known, hashes_of_known, st.text(max_size=20)
)
padded = st.builds("{}{}{}".format, EDGES, texts, EDGES)
spoilt = st.builds(lambda text, junk: text.encode() + junk, texts, st.binary(max_size=3))
others = st.one_of(
    st.none(), st.integers(), st.floats(), st.booleans(), st.lists(st.binary(), max_size=1), st.text(max_size=5)
)
values = st.one_of(texts.map(str.encode), padded.map(str.encode), spoilt, st.binary(max_size=30), others)
# Blocks mostly of one sort, as columns are, so that each fast way is taken as well as left.
blocks = st.one_of(
    st.lists(values, max_size=30),
    st.lists(st.one_of(hashes.map(str.encode), values), max_size=30),
    st.lists(st.one_of(st.emails().map(str.encode), st.emails().map(str.encode), values), max_size=30),
    st.lists(st.one_of(uuids.map(str.encode), uuids.map(str.encode), values), max_size=30),
)
kinds = st.sampled_from(IdentifierType)


@given(kinds, blocks)
@settings(max_examples=400)
def test_a_block_gives_what_its_values_give_one_by_one(kind: IdentifierType, block: list[object]) -> None:
    answers = [digest_or_reason(kind, value) for value in block]
    result = digest_block(kind, block)
    assert sorted(answer for answer in answers if not isinstance(answer, Reason)) == sorted(result.digests)
    assert [(row, answer) for row, answer in enumerate(answers) if isinstance(answer, Reason)] == result.rejected


@given(kinds, values)
@settings(max_examples=1000)
def test_a_digest_comes_only_from_something_valid(kind: IdentifierType, value: object) -> None:
    result = digest_block(kind, [value])
    assert len(result.digests) + len(result.rejected) == 1
    assert all(digest in acceptable(kind, value) for digest in result.digests)


def acceptable(kind: IdentifierType, value: object) -> set[bytes]:
    """The digest a value may have, worked out by other means than the program's: it trims by Unicode category."""
    assert isinstance(value, bytes)
    text = value.decode()
    while text and invisible(text[0]):
        text = text[1:]
    while text and invisible(text[-1]):
        text = text[:-1]
    if len(text) == 64 and set(text) <= set(HEX):
        return {bytes.fromhex(text)}
    normal = text.upper() if kind is IdentifierType.IDFA else text.lower()
    assert not any(invisible(char) or char == "," or unicodedata.category(char) == "Cc" for char in normal)
    assert email(normal) if kind is IdentifierType.EMAIL else device_id(normal)
    return {hashlib.sha256(normal.encode()).digest()}


def invisible(char: str) -> bool:
    return char.isspace() or char in "\u180e\ufeff" or ("\u200b" <= char <= "\u206f" and not char.isprintable())


def email(text: str) -> bool:
    local, domain = text.split("@")
    return bool(local) and len(domain.split(".")) >= 2 and "" not in domain.split(".") and len(text.encode()) <= 254


def device_id(text: str) -> bool:
    groups = text.split("-")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and set(text) <= set(HEX + "-")
