"""The fast way through a block and the slow way through each value give the same answers, whatever the values."""

from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.identifiers.identifier_types import TYPES, IdentifierType
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn
from td_pinterest_op.records.digests import compute_identifier, compute_identifiers
from tests.campaigns import examples
from tests.exporting import digest

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
hashes_of_known = known.map(digest)
phones = st.from_regex(r"\A\+(1[2-9]\d{9}|49\d{5,11}|44[1-9]\d{9}|[1-9]\d{3,14})\Z")
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
    st.lists(st.one_of(phones.map(str.encode), values), max_size=30),
)


@given(st.sampled_from([*TYPES.values()]), blocks)
@settings(max_examples=examples(400))
def test_a_block_gives_what_its_values_give_one_by_one(type_: IdentifierType, block: list[object]) -> None:
    answers = [compute_identifier(type_, value) for value in block]
    result = compute_identifiers(IdentifierColumn(name="", type=type_, position=0), block)
    assert result.identifiers == [b"" if isinstance(answer, Reason) else answer for answer in answers]
    assert result.rejected == [(row, answer) for row, answer in enumerate(answers) if isinstance(answer, Reason)]
