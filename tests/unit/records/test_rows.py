"""Rows with several keys: what happens to each row, and how it is sent."""

import hashlib
import json
from collections import Counter

import pytest

from td_pinterest_op.identifiers.identifier_types import TYPES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column, find_row_columns
from td_pinterest_op.records.digests import read_column_identifiers
from td_pinterest_op.records.rows import EncodedRows, RecordLayout, encode_rows
from td_pinterest_op.treasure_data.job import Job

DEVICE = "0123abcd-89ef-4cde-8f01-23456789abcd"
ALL = ("email", "maid", "phone", "external_id")
BOTH = ("email", "phone")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def in_bytes(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(in_bytes, value))
    return value.encode() if isinstance(value, str) else value


def encoded(types: tuple[str, ...], *of_rows: tuple[object, ...], country: str | None = "US") -> EncodedRows:
    columns = [
        Column(name=type_, type=TYPES[type_], position=position, is_array=isinstance(of_rows[0][position], tuple))
        for position, type_ in enumerate(types)
    ]
    values = [[in_bytes(value) for value in column] for column in zip(*of_rows, strict=True)]
    by_column = [read_column_identifiers(column, values, default_country=country) for column in columns]
    return encode_rows(by_column, count=len(of_rows))


def sent(rows: list[tuple[RecordLayout, bytes]]) -> list[dict[str, str]]:
    return [json.loads(layout.format_for_request(row)) for layout, row in rows]


def rows_of(block: EncodedRows) -> list[tuple[RecordLayout, bytes]]:
    rows = [
        (position, layout, record)
        for layout, group in block.groups.items()
        for position, record in zip(*group, strict=True)
    ]
    return [(layout, record) for _, layout, record in sorted(rows)]


@pytest.mark.parametrize(
    ("types", "row", "record"),
    [
        (
            ALL,
            (" Ann@Lee.org", DEVICE.upper(), "(202) 555-0143", " A-17 "),
            {
                "email": sha("ann@lee.org"),
                "maid": sha(DEVICE),
                "hashed_phone_number": sha("12025550143"),
                "external_id": "A-17",
            },
        ),
        (ALL, ("ann@lee.org", None, None, None), {"email": sha("ann@lee.org")}),
        (ALL, (None, None, None, 'é "17"\\'), None),
        (ALL, (None, None, None, 'é"17"\\'), {"external_id": 'é"17"\\'}),
        (("external_id",), ("x" * 256,), {"external_id": "x" * 256}),
        (("idfa", "email"), (DEVICE, "n/a"), {"maid": sha(DEVICE.upper())}),
        (
            BOTH,
            (sha("ann@lee.org").upper(), sha("12025550143")),
            {"email": sha("ann@lee.org"), "hashed_phone_number": sha("12025550143")},
        ),
    ],
)
def test_a_row_is_one_record_of_all_its_keys(
    types: tuple[str, ...], row: tuple[object, ...], record: dict[str, str] | None
) -> None:
    assert [record] * (record is not None) == sent(rows_of(encoded(types, row)))


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
    block = encoded(BOTH, ("a@lee.org", None), row, ("b@lee.org", None))
    assert (2, [(1, reason)], Counter()) == (len(rows_of(block)), block.rejected, block.rejected_keys)


def test_invalid_keys_of_valid_rows_are_counted_by_reason() -> None:
    block = encoded(BOTH, ("a@lee.org", "12345"), ("b@lee.org", None), ("n/a", "2025550143"), ("c@lee.org", "12345"))
    assert (4, []) == (len(rows_of(block)), block.rejected)
    assert Counter({Reason.NOT_A_PHONE_NUMBER: 2, Reason.PLACEHOLDER: 1}) == block.rejected_keys


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
    assert [(0, reason)] == encoded(("external_id",), (external_id,)).rejected


def test_rows_keep_their_keys_in_every_combination() -> None:
    people = [
        tuple(value if present >> bit & 1 else None for bit, value in enumerate(of_one))
        for number in range(3)
        for present in range(1, 16)
        for of_one in [(f"p{number}@lee.org", DEVICE[:-1] + str(number), f"202555010{number}", f"A{'-' * number * 20}")]
    ]
    rows = rows_of(encoded(ALL, *people))
    assert Counter(sum(value is not None for value in person) for person in people) == Counter(map(len, sent(rows)))
    assert {json.dumps(*sent(rows_of(encoded(ALL, person)))) for person in people} == set(map(json.dumps, sent(rows)))
    assert {layout.key_count for layout, _ in rows} == {1, 2, 3, 4}


class TestArrays:
    def test_a_row_is_one_record_for_each_combination_of_its_values_and_counts_once(self) -> None:
        block = encoded(("email", "phone"), (("b@lee.org", None, "a@lee.org"), ("+12025550143", "+12025550144")))
        combinations = [
            {"email": sha(email), "hashed_phone_number": sha(phone)}
            for email in ("a@lee.org", "b@lee.org")
            for phone in ("12025550143", "12025550144")
        ]
        rows = rows_of(block)
        assert combinations == sorted(sent(rows), key=combinations.index)
        assert ([], 1) == (block.rejected, sum(not layout.is_extra for layout, _ in rows))

    @pytest.mark.parametrize(("emails", "devices", "is_valid"), [(40, 25, True), (1_000, 0, True), (1_001, 0, False)])
    def test_a_row_with_more_than_a_thousand_combinations_is_invalid(
        self, emails: int, devices: int, is_valid: bool
    ) -> None:
        row = (
            (*(f"p{number}@lee.org" for number in range(emails)), "p1@lee.org", "n/a"),
            tuple(f"5eed0123-4567-89ab-cdef-{number:012d}" for number in range(devices)),
        )
        block = encoded(("email", "maid"), row)
        rejected = [] if is_valid else [(0, Reason.TOO_MANY_COMBINATIONS)]
        assert rejected == block.rejected
        assert 1_000 * is_valid == len(rows_of(block))
        assert ({Reason.PLACEHOLDER: 1} if is_valid else {}) == block.rejected_keys

    @pytest.mark.parametrize("array", [None, (), (None,), (None, None)])
    def test_array_without_elements_is_null(self, array: object) -> None:
        block = encoded(("email",), (("a@lee.org",),), (array,))
        assert [(1, Reason.NULL)] == block.rejected

    def test_invalid_elements_are_dropped_and_counted(self) -> None:
        block = encoded(BOTH, (("a@lee.org", "n/a", ""), None), (("ann",), None))
        assert [{"email": sha("a@lee.org")}] == sent(rows_of(block))
        assert [(1, Reason.NOT_AN_EMAIL)] == block.rejected
        assert Counter({Reason.PLACEHOLDER: 1, Reason.EMPTY: 1}) == block.rejected_keys

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
    def test_array_as_json_is_parsed(self, value: bytes, expected: list[str]) -> None:
        block = encoded(("email",), (("x@lee.org",),), (value,))
        assert sorted(map(sha, ["x@lee.org", *expected])) == sorted(record["email"] for record in sent(rows_of(block)))


def job(*names: str) -> Job:
    return Job(id="5", schema=tuple((name, "varchar") for name in names), records=1, size=1)


class TestColumns:
    def test_columns_of_keys_are_found_by_name_or_mapping(self) -> None:
        columns = find_row_columns(job("Email", "tel", "idfa", "crm_id"), {"tel": "phone", "crm_id": "external_id"})
        assert ["email", "hashed_phone_number", "maid", "external_id"] == [column.type.key for column in columns]
        assert [0, 1, 2, 3] == [column.position for column in columns]
