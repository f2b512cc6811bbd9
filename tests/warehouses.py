"""What the warehouse's SQL makes of values, and of people on lists: cases for every engine that runs it.

The unit tests run them in DuckDB, and scripts/trino on the engine that Treasure Data has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

import duckdb
import sqlglot

from td_pinterest_op.identifiers.identifier_types import (
    EMAIL,
    HASHES_OF_NOTHING,
    IDFA,
    MAID,
    PLACEHOLDERS,
    SEPARATOR_CHARACTERS,
    TYPES,
)
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn, has_single_identifier_rows
from td_pinterest_op.records.digests import ColumnIdentifiers, extract_column_identifiers
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.trino.hashed_query import UserQuery, build_hashing_statement
from td_pinterest_op.trino.rejected_rows import build_rejected_select
from td_pinterest_op.trino.withholding_sql import (
    build_all_digests_select,
    build_list_digests_select,
    build_withholding_select,
)
from tests.emulators.td.sql import statements
from tests.exporting import digest
from tests.unit.withholding.test_people import SALT, Case, Oracle

Rows = Sequence[Sequence[Any]]
SIGMA = "SOFI\u03a3@shop.example"  # which only the operator can hash
UUID = "5eed0123-4567-89ab-cdef-0123456789ab"
HASH = digest("ann@lee.example")
# Characters that take part in a rule, or whose case is peculiar.
CHARACTERS = sorted(
    set(SEPARATOR_CHARACTERS) | set("@.-+aA0fF\u0130\u0131\u00df\u1e9e\u212a\ufb00\u00e9\u00c9\u01c5\U0001f600")
)


class Warehouse(Protocol):
    """An engine that runs Trino's SQL."""

    def load(self, table: str, columns: Mapping[str, str], rows: Rows) -> None:
        """Make or replace a table. `columns`: their types by name."""

    def store(self, table: str, select: str) -> None:
        """Make or replace a table from a SELECT."""

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""


@dataclass(frozen=True)
class DuckDB:
    """Runs Trino's SQL in DuckDB."""

    connection: duckdb.DuckDBPyConnection

    def load(self, table: str, columns: Mapping[str, str], rows: Rows) -> None:
        declared = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        created = f"CREATE OR REPLACE TABLE {table} ({declared})"
        self.connection.execute(sqlglot.transpile(created, read="trino", write="duckdb")[0])
        if rows:
            places = ", ".join("?" * len(columns))
            self.connection.executemany(f"INSERT INTO {table} VALUES ({places})", [_decode(row) for row in rows])

    def store(self, table: str, select: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TABLE {table} AS {_translate(select)}")

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(_translate(statement)).fetchall()


def _translate(statement: str) -> str:
    return statements(statement, dialect="trino")[0].sql


def _decode(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_decode(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def corpus() -> list[str | None]:
    """Every character in and around an address, a device id and a digest; all placeholders; lengths at their edge."""
    shapes = ("ann@lee.example", UUID, HASH)
    inside = [f"{shape[:4]}{char}{shape[4:]}" for shape in shapes for char in CHARACTERS]
    around = [f"{char}{shape}{char}" for shape in shapes for char in CHARACTERS]
    cases = [change(shape) for shape in shapes for change in (str.upper, str.title, str.swapcase)]
    words = [change(word) for word in sorted(PLACEHOLDERS) for change in (str, str.upper, str.capitalize)]
    nothing = [digest.hex() for digest in sorted(HASHES_OF_NOTHING)]
    lengths = ["a" * count + end for count in range(240, 258) for end in ("@b.cc", "\u00e9@b.cc", "\u0130@b.cc")]
    forms = ["a@b", "@b.cc", "a@", "a@b.", "a@.b", "a@b..c", "a@@b.cc", "a@b@c.dd", "a.b@c-d.ee", "", "\u00e9@\u00fc.d"]
    hashes = [HASH[:size] for size in (31, 32, 33, 39, 40, 41, 63)] + [HASH + "0", "5EED" * 16, "\ufb00" * 32]
    return [None, *CHARACTERS, *inside, *around, *cases, *words, *nothing, *lengths, *forms, *hashes]


NASTY = {"a": "varchar", "b": "bigint", "c": "array(varchar)", "d": "varchar", "e": "varchar"}
# Names that only quotes keep together, and that others have as well.
NAMES = ["e-mail", "customer", 'my "ids"', "select", "E-Mail"]
COLUMNS = [
    IdentifierColumn(name=NAMES[0], type=EMAIL, position=0),
    IdentifierColumn(name=NAMES[2], type=MAID, position=2, is_array=True),
    IdentifierColumn(name=NAMES[3], type=IDFA, position=3),
    IdentifierColumn(name=NAMES[4], type=EMAIL, position=4),
]
QUERY = UserQuery(text="SELECT * FROM nasty -- all of them;\n;\n", names=NAMES, columns=COLUMNS)
CONTROL = ControlGroup(percent=Decimal(50), salt=" it's \u00fc\\'\n${x}", by="customer")


def compare_values(warehouse: Warehouse) -> tuple[list[Any], list[Any]]:
    """Return what the operator makes of the values of the corpus, and what it makes of the warehouse's answers.

    Values that the warehouse is unsure of are left out. Each row has the number of its person for the control group.
    """
    values = corpus()
    rows = []
    for number, value in enumerate(values):
        other = values[number - 7]
        rows.append((value, number, [value, other, None][number % 4 :], other, other))
    warehouse.load("nasty", NASTY, rows)
    # Trino does not keep the order of rows.
    answers = sorted(warehouse.read(build_hashing_statement(QUERY, control=CONTROL)), key=lambda row: row[1])
    numbers = {row[1]: int(digest(f"{CONTROL.salt}\n{row[1]}")[:8], 16) for row in rows}
    rows.sort(key=lambda row: numbers[row[1]])
    given = _read_identifiers(rows, is_hashed_by_warehouse=False)
    judged = _read_identifiers(answers, is_hashed_by_warehouse=True)
    return (
        [sorted(numbers.values()), *_leave_out_unsure(given, judged)],
        [[row[1] for row in answers], *_leave_out_unsure(judged, judged)],
    )


def _read_identifiers(rows: Rows, *, is_hashed_by_warehouse: bool) -> list[ColumnIdentifiers]:
    """Return what the operator makes of the rows of a job."""
    raw = [[_encode(value) for value in column] for column in zip(*rows, strict=True)]
    return [
        extract_column_identifiers(replace(column, is_hashed_by_warehouse=is_hashed_by_warehouse), raw)
        for column in COLUMNS
    ]


def _encode(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(_encode, value))
    return value.encode() if isinstance(value, str) else value


def _leave_out_unsure(columns: Sequence[ColumnIdentifiers], judged: Sequence[ColumnIdentifiers]) -> list[Any]:
    """Return identifiers, rejections and counts of columns, but for values that the warehouse is unsure of."""
    facts: list[Any] = []
    for column, other in zip(columns, judged, strict=True):
        unsure = {row for row, reason in other.rejected if reason is Reason.UNSURE}
        known = [entry for entry in column.rejected if entry[0] not in unsure]
        facts.append((known, [] if unsure else (column.identifiers, column.hashed_count)))
    return facts


DEVICE = "5eed0123-4567-89ab-cdef-000000000001"
_NARROW = ControlGroup(percent=Decimal("0.01"), salt=SALT, by="customer")
_UNSURE: Rows = [[SIGMA, DEVICE, None], ["b@b.cc", None, 7], [None, DEVICE, 8]]
_REJECTED: Rows = [[SIGMA, DEVICE, None], ["a@b.cc", "no-device", 1], ["b@b.cc", DEVICE, 2]]
_LISTED: Rows = [["b@b.cc", None], ["x@b.cc", "n0-device"]]


@dataclass(frozen=True, kw_only=True)
class Withholding:
    """Rows of email, maid and customer, with lists of email and maid, and what becomes of their values.

    `counts`: values, those that were digests already, rows, and rows with an invalid value.
    """

    rows: Rows
    lists: Mapping[str, Rows]
    control: ControlGroup | None
    sent: Sequence[str]
    reasons: Mapping[str, int]
    counts: Sequence[int]


WITHHOLDING = {
    "values of each kind": Withholding(
        rows=[["A@b.cc", None, 1], ["a@b.cc", "n/a", 2], ["x", "y", 3], [HASH.upper(), DEVICE, 4], [None, None, 5]],
        lists={},
        control=None,
        sent=["a@b.cc", "ann@lee.example", DEVICE],
        reasons={"placeholder": 1, "not_an_email": 1, "not_a_device_id": 1, "null": 1},
        counts=[8, 1, 5, 3],
    ),
    "an unsure address counts as suppressed": Withholding(
        rows=_UNSURE,
        lists={"suppress": [["else@shop.example", None]]},
        control=None,
        sent=["b@b.cc"],
        reasons={"suppressed": 1, "unsure": 1},
        counts=[4, 0, 3, 1],
    ),
    "also in a row without a key": Withholding(
        rows=_UNSURE,
        lists={"suppress": [["else@shop.example", None]]},
        control=_NARROW,
        sent=["b@b.cc"],
        reasons={"suppressed": 1, "no_control_key": 1},
        counts=[3, 0, 3, 1],
    ),
    "a value on the list, and one rejected for the same reason as a listed one": Withholding(
        rows=_REJECTED,
        lists={"suppress": _LISTED},
        control=_NARROW,
        sent=["a@b.cc"],
        reasons={"suppressed": 2, "not_a_device_id": 1, "no_control_key": 1},
        counts=[5, 0, 3, 2],
    ),
    "or that consents": Withholding(
        rows=_REJECTED,
        lists={"consent": _LISTED},
        control=_NARROW,
        sent=["b@b.cc", DEVICE],
        reasons={"without_consent": 1, "not_a_device_id": 1, "no_control_key": 1},
        counts=[5, 0, 3, 2],
    ),
}


def compare_withholding(warehouse: Warehouse, case: Withholding) -> tuple[Any, Any]:
    """Return what is expected in a case, and what the warehouse answers."""
    warehouse.load("people", {"email": "varchar", "maid": "varchar", "customer": "bigint"}, case.rows)
    query = build_query("people", ["email", "maid"], key="customer")
    expected = (set(map(digest, case.sent)), case.reasons, case.counts)
    return expected, select_people(warehouse, query, lists=case.lists, control=case.control)


def compare_people(warehouse: Warehouse, case: Case) -> tuple[Any, Any]:
    """Return whom the operator sends and withholds in a random case, and whom the warehouse does."""
    control = ControlGroup(percent=Decimal(case.percent), salt=SALT, by="customer") if case.percent else None
    types = dict.fromkeys(case.types, "array(varchar)" if case.arrays else "varchar")
    rows = case.keyed_rows()
    warehouse.load("people", types | {"customer": "bigint"}, rows)
    query = build_query("people", case.types, arrays=case.arrays, key="customer" if control else None)
    sent, reasons = Oracle(case).identifiers()
    keyless = case.keys.count(None) if control else 0
    valued = [person for person, key in zip(case.people, case.keys, strict=True) if not control or key is not None]
    nulls = valued.count(set())
    reasons.update({"null": nulls, "no_control_key": keyless})
    found_sent, found_reasons, counts = select_people(warehouse, query, lists=case.list_rows, control=control)
    return (sent, +reasons, len(rows), nulls + keyless), (found_sent, found_reasons, *counts[2:])


def build_query(table: str, types: Sequence[str], *, arrays: bool = False, key: str | None = None) -> UserQuery:
    """Return a query of all that is in a table: columns named like their types, and a column of keys."""
    columns = [
        IdentifierColumn(name=name, type=TYPES[name], position=n, is_array=arrays) for n, name in enumerate(types)
    ]
    names = [*types, *([key] if key else [])]
    return UserQuery(text=f"SELECT {', '.join(names)} FROM {table} -- all;\n;", names=names, columns=columns)


def select_people(
    warehouse: Warehouse, query: UserQuery, *, lists: Mapping[str, Rows], control: ControlGroup | None
) -> tuple[set[str], dict[str, int], list[int]]:
    """Return the digests to send, the values that are not sent by reason, and counts as in `Withholding`."""
    tables = {name: load_list(warehouse, name, rows) for name, rows in lists.items()}
    answers = warehouse.read(build_withholding_select(query, list_tables=tables, control=control))
    if not tables and control is None and has_single_identifier_rows(query.columns):
        values = "SELECT answer, 0, sum(given), sum(hashed), sum(row_count), sum(invalid_rows) FROM ({}) GROUP BY 1"
        alone = warehouse.read(values.format(build_all_digests_select(query)))
        assert sorted(alone) == sorted((row[0], 0, *row[2:]) for row in answers)
    sent = {answer for answer, *_ in answers if len(answer) == 64}
    reasons = {answer: int(people or given) for answer, people, given, *_ in answers if len(answer) < 64}
    return sent, reasons, [sum(int(row[place]) for row in answers) for place in range(2, 6)]


def load_list(warehouse: Warehouse, name: str, rows: Rows) -> str:
    """Make the table of a list of email and maid, and return the name of the table of its digests."""
    warehouse.load(name, {"email": "varchar", "maid": "varchar"}, rows)
    warehouse.store(f"of_{name}", build_list_digests_select(build_query(name, ["email", "maid"])))
    return f"of_{name}"


_SHA256 = "to_hex(sha256(to_utf8({})))"
# SQL of keys that hold an identifier of their row, from its columns.
HIDDEN_KEYS = [
    "email",
    "maid",
    "phone",
    "upper(email)",
    "lower(maid)",
    "' ' || email || chr(9)",
    "chr(65279) || maid || ' '",
    "'mail: ' || email",
    "'device-' || maid",
    "maid || '-' || email",
    "email || ',' || email",
    "replace(maid, '-', '')",
    "replace(upper(maid), '-', ' ')",
    "replace(email, '@', '%40')",
    "'<' || email || '>'",
    "'{\"mail\": \"' || email || '\"}'",
    "' ' || phone",
    _SHA256.format("email"),
    f"lower({_SHA256.format('maid')})",
    f"'sha256:' || lower({_SHA256.format('lower(email)')})",
    f"{_SHA256.format('email')} || {_SHA256.format('maid')}",
    "array_join(ARRAY[email, maid], ' ')",
    "other",
]
# SQL of keys that hold none.
SHOWN_KEYS = ["customer", "'c-' || CAST(customer AS varchar)", "'5eed0001-aaaa-4bbb-8ccc-00000000000f'", "'2026-12-07'"]
_KEY_ROWS: Rows = [
    ["jane.doe@shop.example", DEVICE.upper(), "no-device-at-all", "+49 30 901820", 17],
    ["jane.doe@shop.example", DEVICE, "12345", "+4930901820", 123456],
]


def find_shown_keys(warehouse: Warehouse) -> tuple[list[Any], list[Any]]:
    """Return the texts of keys that the rejected rows are expected to show, and those that they show.

    Each row has an address, a device id and an array, in which one value is rejected.
    """
    types = {"email": "varchar", "maid": "varchar", "other": "varchar", "phone": "varchar", "customer": "bigint"}
    warehouse.load("people", types, _KEY_ROWS)
    expected = []
    found = []
    for key in [*HIDDEN_KEYS, *SHOWN_KEYS]:
        names = ["email", "maid", "idfa", "k"]
        query = UserQuery(
            text=f"SELECT email, maid, ARRAY[other, maid] AS idfa, {key} AS k FROM people",
            names=names,
            columns=[
                IdentifierColumn(name="email", type=EMAIL, position=0),
                IdentifierColumn(name="maid", type=MAID, position=1),
                IdentifierColumn(name="idfa", type=IDFA, position=2, is_array=True),
            ],
        )
        rows = warehouse.read(build_rejected_select(query, keys=["k"]))
        found += [(key, *row[1:3], row[0] is None, row[3]) for row in rows]
        is_hidden = key in HIDDEN_KEYS
        expected += [(key, "idfa", Reason.NOT_A_DEVICE_ID.value, is_hidden, int(is_hidden))] * len(_KEY_ROWS)
    return expected, found
