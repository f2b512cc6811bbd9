"""What happens to each row: identifiers that are sent one by one, and rows with several keys."""

import json
from contextlib import closing

import pytest

from td_pinterest_op.identifiers.identifier_types import TYPES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn
from td_pinterest_op.records.readers import IdentifierRecordReader, RowRecordReader
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.stats import Stats
from tests.exporting import digest

DEVICE = "0123abcd-89ef-4cde-8f01-23456789abcd"
ALL = ("email", "maid", "phone", "external_id")
BOTH = ("email", "phone")


def in_bytes(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(in_bytes, value))
    return value.encode() if isinstance(value, str) else value


def read_rows(types: tuple[str, ...], *rows: tuple[object, ...]) -> tuple[Stats, list[dict[str, str]]]:
    """The counts and the records of a result."""
    columns = [
        IdentifierColumn(
            name=type_, type=TYPES[type_], position=at, is_array=isinstance(rows[0][at], tuple), default_country="US"
        )
        for at, type_ in enumerate(types)
    ]
    values = [[in_bytes(value) for value in column] for column in zip(*rows, strict=True)]
    stats = Stats(action="", ad_account_id="1", dry_run=False)
    with closing(RowRecordReader(columns=columns, stats=stats)) as reader:
        prepared = reader.read([values], progress=lambda _: None)
        bodies = [b"{%s}" % b"".join(batch.iterate_json_field()) for batch in prepared.read_batches(10_000)]
    return stats, [record for body in bodies for record in json.loads(body)["records_v2"]]


@pytest.mark.parametrize(
    ("types", "row", "record"),
    [
        (
            ALL,
            (" Ann@Lee.org", DEVICE.upper(), "(202) 555-0143", " A-17 "),
            {
                "email": digest("ann@lee.org"),
                "maid": digest(DEVICE),
                "hashed_phone_number": digest("12025550143"),
                "external_id": "A-17",
            },
        ),
        (ALL, ("ann@lee.org", None, None, None), {"email": digest("ann@lee.org")}),
        (ALL, (None, None, None, 'é "17"\\'), None),
        (ALL, (None, None, None, 'é"17"\\'), {"external_id": 'é"17"\\'}),
        (("external_id",), ("x" * 256,), {"external_id": "x" * 256}),
        (("idfa", "email"), (DEVICE, "n/a"), {"maid": digest(DEVICE.upper())}),
        (
            BOTH,
            (digest("ann@lee.org").upper(), digest("12025550143")),
            {"email": digest("ann@lee.org"), "hashed_phone_number": digest("12025550143")},
        ),
    ],
)
def test_a_row_is_one_record_of_all_its_keys(
    types: tuple[str, ...], row: tuple[object, ...], record: dict[str, str] | None
) -> None:
    _, records = read_rows(types, row)
    assert records == [record] * (record is not None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, None), Reason.NULL),
        (("", None), Reason.EMPTY),
        ((None, "12345"), Reason.NOT_A_PHONE_NUMBER),
        (("ann", "12345"), Reason.NOT_AN_EMAIL),
        ((7, "12345"), Reason.NOT_A_STRING),
    ],
)
def test_row_without_a_valid_key_has_the_first_reason_that_is_not_null(
    row: tuple[object, object], reason: Reason
) -> None:
    stats, records = read_rows(BOTH, ("a@lee.org", None), row, ("b@lee.org", None))
    assert (len(records), stats.first_invalid) == (2, [2])
    assert (stats.invalid_by_reason, stats.invalid_keys_by_reason) == ({reason.value: 1}, {})


@pytest.mark.parametrize(
    ("external_id", "reason"),
    [
        ("x" * 257, Reason.TOO_LONG),
        ("a b", Reason.CONTAINS_SEPARATOR),
        ("a,b", Reason.CONTAINS_SEPARATOR),
        ("null", Reason.PLACEHOLDER),
        (17, Reason.NOT_A_STRING),
    ],
)
def test_an_external_id_is_text_of_at_most_256_characters_in_one_piece(external_id: object, reason: Reason) -> None:
    stats, _ = read_rows(("external_id",), (external_id,))
    assert stats.invalid_by_reason == {reason.value: 1}


# -- arrays


@pytest.mark.parametrize(("emails", "devices", "is_valid"), [(40, 25, True), (1_000, 0, True), (1_001, 0, False)])
def test_a_row_with_more_than_a_thousand_combinations_is_invalid(emails: int, devices: int, is_valid: bool) -> None:
    row = (
        (*(f"p{number}@lee.org" for number in range(emails)), "p1@lee.org", "n/a"),
        tuple(f"5eed0123-4567-89ab-cdef-{number:012d}" for number in range(devices)),
    )
    stats, records = read_rows(("email", "maid"), row)
    assert stats.invalid_by_reason == ({} if is_valid else {"too_many_combinations": 1})
    assert len(records) == (1_000 if is_valid else 0)
    assert stats.invalid_keys_by_reason == ({"placeholder": 1} if is_valid else {})


@pytest.mark.parametrize("array", [None, (), (None,), (None, None)])
def test_array_without_elements_is_null(array: object) -> None:
    stats, _ = read_rows(("email",), (("a@lee.org",),), (array,))
    assert (stats.invalid_by_reason, stats.first_invalid) == ({"null": 1}, [2])


def test_invalid_elements_are_dropped_and_counted() -> None:
    stats, records = read_rows(BOTH, (("a@lee.org", "n/a", ""), None), (("ann",), None))
    assert records == [{"email": digest("a@lee.org")}]
    assert stats.invalid_by_reason == {"not_an_email": 1}
    assert stats.invalid_keys_by_reason == {"placeholder": 1, "empty": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'["a@lee.org", null, "b@lee.org"]', ["a@lee.org", "b@lee.org"]),
        (b"[]", []),
        (b"[1", []),
        (b"[" * 100_000, []),
        (rb'["a@lee.org", "b\ud800@lee.org"]', ["a@lee.org"]),
        (b'["a@lee.org", "b\xed\xa0\x80@lee.org"]', ["a@lee.org"]),
        (b"a@lee.org", ["a@lee.org"]),
    ],
)
def test_array_as_json_is_parsed(value: bytes, expected: list[str]) -> None:
    _, records = read_rows(("email",), (("x@lee.org",),), (value,))
    assert sorted(record["email"] for record in records) == sorted(map(digest, ["x@lee.org", *expected]))


def read_identifiers(blocks: list[list[list[object]]], *columns: IdentifierColumn) -> Stats:
    """The counts of a result whose identifiers are sent one by one."""
    stats = Stats(action="", ad_account_id="1", dry_run=False)
    with closing(IdentifierRecordReader(columns=columns, stats=stats, spool=Spool())) as reader:
        reader.read(blocks, progress=lambda _: None)
    return stats


@pytest.mark.parametrize("rows_a_block", [1, 4, 100])
def test_reader_keeps_the_first_ten_invalid_rows(rows_a_block: int) -> None:
    values: list[object] = [b"nobody" if row % 2 else b"a@b.example" for row in range(1, 101)]
    blocks = [[values[start : start + rows_a_block]] for start in range(0, 100, rows_a_block)]
    stats = read_identifiers(blocks, IdentifierColumn(name="email", type=TYPES["email"], position=0))
    assert stats.first_invalid == list(range(1, 20, 2))


def test_every_value_of_several_columns_counts_and_nulls_only_in_empty_rows() -> None:
    columns = [IdentifierColumn(name=str(position), type=TYPES["email"], position=position) for position in (2, 0)]
    a = b"a@lee.org"
    b = b"b@lee.org"
    c = b"c@lee.org"
    block: list[list[object]] = [[a, b, None, None, None], [7] * 5, [c, None, c, None, b"n/a"]]
    stats = read_identifiers([block], *columns)
    assert (stats.read, stats.valid, stats.unique, stats.duplicate) == (5, 4, 3, 1)
    assert (stats.invalid_by_reason, stats.first_invalid) == ({"null": 1, "placeholder": 1}, [4, 5])
