"""The columns of a result that hold identifiers."""

import pytest

from td_pinterest_op.audiences.actions import parse_export_settings
from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import (
    CUSTOMER_LIST_TYPES,
    EMAIL,
    IDFA,
    MAID,
    IdentifierType,
    join_with_or,
)
from td_pinterest_op.records.columns import (
    IdentifierColumn,
    choose_customer_list_type,
    find_identifier_columns,
    find_people_columns,
)
from td_pinterest_op.treasure_data.job import Job
from tests.unit.settings.test_parse import ENVIRON, LEAST


def job(*schema: tuple[str, str]) -> Job:
    return Job(id="5", schema=schema, records=1, size=1)


@pytest.mark.parametrize(
    ("schema", "mapping", "expected"),
    [
        ([("email", "varchar")], {}, [("email", EMAIL, 0)]),
        ([("E_Mail", "varchar")], {"e_mail": "email"}, [("E_Mail", EMAIL, 0)]),
        ([("IDFA", "string"), ("Maid", "char(36)")], {}, [("IDFA", IDFA, 0), ("Maid", MAID, 1)]),
        ([("a", "varchar"), ("email", "varchar")], {"a": "email"}, [("a", EMAIL, 0), ("email", EMAIL, 1)]),
        ([("email", "varchar")], {"email": "maid"}, [("email", MAID, 0)]),
    ],
)
def test_identifiers_are_found_by_name_in_any_case_or_as_they_are_mapped(
    schema: list[tuple[str, str]], mapping: dict[str, str], expected: list[tuple[str, IdentifierType, int]]
) -> None:
    columns = [IdentifierColumn(name=name, type=type_, position=position) for name, type_, position in expected]
    assert columns == find_identifier_columns(job(*schema), mapping)


@pytest.mark.parametrize("is_array", [False, True])
@pytest.mark.parametrize("type_", ["varchar", "VARCHAR(64)", "char(64)", "string"])
def test_columns_of_text_or_arrays_of_text_are_accepted(type_: str, is_array: bool) -> None:
    schema = ("email", f"Array({type_})" if is_array else type_)
    assert [is_array] == [column.is_array for column in find_identifier_columns(job(schema), {})]


@pytest.mark.parametrize(
    ("type_", "cure"),
    [
        *((type_, "cast it to varchar") for type_ in ("bigint", "array(bigint)", "array(array(varchar))", "")),
        *((type_, "cast it to varchar") for type_ in ("map(varchar, varchar)", "unknown", "json", "charm")),
        ("VARBINARY", "wrap it in to_hex(…)"),
    ],
)
def test_every_other_type_is_an_error_that_says_what_to_do(type_: str, cure: str) -> None:
    with pytest.raises(JobError) as caught:
        find_identifier_columns(job(("email", type_)), {})
    assert f'column "email" is of type {type_}: {cure}' in str(caught.value)


def test_hundred_thousand_columns_are_an_error_of_a_few_lines() -> None:
    with pytest.raises(JobError) as caught:
        find_identifier_columns(job(*((f"column{number}", "varchar") for number in range(100_000))), {"mail": "email"})
    assert len(str(caught.value)) < 5_000
    assert "column19 varchar, column20" in str(caught.value)


def test_a_name_is_shown_on_one_line_masked_and_cut() -> None:
    with pytest.raises(JobError) as caught:
        find_identifier_columns(job(("a\n\x1b[31mINFO x", "varchar"), ("x@shop.example", "y" * 500)), {})
    text = str(caught.value)
    assert "\\n\\x1b[31mINFO x" in text
    assert ("\n" in text, "x@shop" in text, "y" * 500 in text) == (False, False, True)


def test_error_lists_all_problems_and_all_columns() -> None:
    with pytest.raises(JobError) as caught:
        find_identifier_columns(job(("Maid", "bigint"), ("age", "integer")), {"mail": "email"})
    expected = (
        "the result of job 5 (columns: Maid bigint, age integer) cannot be exported: "
        'there is no column "mail", which `columns` names: select it, or correct the name; '
        'column "Maid" is of type bigint: cast it to varchar; '
        'column "age" is not an identifier that can be sent: leave it out of the query, or name it in `columns` (phone '
        "and external_id need records: rows)"
    )
    assert str(caught.value) == expected


def test_columns_that_are_no_identifiers_are_named_in_one_sentence() -> None:
    with pytest.raises(JobError) as caught:
        find_identifier_columns(job(("email", "varchar"), ("age", "integer"), ("city", "varchar")), {})
    expected = (
        'cannot be exported: columns "age", "city" are not identifiers that can be sent: leave them out of the query, '
        "or name them in `columns` (phone and external_id need records: rows)"
    )
    assert str(caught.value).endswith(expected)


@pytest.mark.parametrize(
    ("names", "by", "sent"),
    [(["email", "Maid"], "email", "Maid"), (["CRM", "email"], "crm", "email"), (["email", "id"], "id", "email")],
)
def test_the_control_column_is_never_sent(names: list[str], by: str, sent: str) -> None:
    mapping = {"crm": "maid"} if by == "crm" else {}
    found = find_identifier_columns(job(*((name, "varchar") for name in names)), mapping, control_column=by)
    assert [sent] == [column.name for column in found]


@pytest.mark.parametrize(
    ("names", "by", "said"),
    [
        (
            ["Email"],
            "email",
            f"no column {join_with_or(CUSTOMER_LIST_TYPES)} but that of `control`, which is never sent",
        ),
        (
            ["crm"],
            "email",
            'no column "email", which `control` names: select it, or correct the name; column "crm"',
        ),
    ],
)
def test_control_column_that_leaves_no_identifiers_is_an_error(names: list[str], by: str, said: str) -> None:
    with pytest.raises(JobError) as caught:
        find_identifier_columns(job(*((name, "varchar") for name in names)), {}, control_column=by)
    assert said in str(caught.value)


def test_columns_of_rows_are_in_the_order_of_their_keys() -> None:
    given = {"records": "rows", "columns": {"tel": "phone", "crm_id": "external_id"}}
    settings = parse_export_settings(LEAST | given, environ=ENVIRON)
    names = ("crm_id", "Email", "tel", "idfa")
    found = find_people_columns(job(*((name, "varchar") for name in names)), settings, {})
    assert [(column.name, column.position) for column in found] == [
        ("Email", 1),
        ("idfa", 3),
        ("tel", 2),
        ("crm_id", 0),
    ]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([EMAIL], "EMAIL"),
        ([MAID], "MAID"),
        ([IDFA], "IDFA"),
        ([IDFA, IDFA], "IDFA"),
        ([MAID, IDFA], "EMAIL"),
        ([], "EMAIL"),
    ],
)
def test_a_list_has_the_type_of_its_only_identifiers(types: list[IdentifierType], expected: str) -> None:
    columns = [IdentifierColumn(name="", type=type_, position=position) for position, type_ in enumerate(types)]
    assert choose_customer_list_type(columns) == expected
