"""The reasons for which values are rejected, and what each means."""

# To add a reason:
# 1. Test values that get it (tests/unit/records/test_identifiers.py), and the SQL of its explanation
#    (tests/unit/identifiers/test_reasons.py). Add such values to tests/warehouses.py: the unit tests and
#    `scripts/trino`, whose engine is the real one, compare the warehouse's SQL with the operator on them.
# 2. Add it to `Reason` and to `REASON_EXPLANATIONS`, with an example that the guard does not take for an identifier.
# 3. Write the rule. That of one type is in identifiers/identifier_types.py three times: the pattern by which a block of
#    values is recognised, the function for the others, and SQL (what SQL cannot judge must be `unsure` there, or a
#    mirror would send what an add rejects). A rule of all types is in records/digests.py and trino/hashing_sql.py, one
#    of rows in records/readers.py. It also holds for removals, erasures and lists: whoever was sent before can then
#    not be named any more.
# 4. Run `.venv/bin/python -m tests.readme`, which adds its row to docs/reference.md.
import enum
from collections.abc import Mapping
from dataclasses import dataclass

# Capital sigma has two lower cases. The others are the blocks to which Unicode has added letters with a case since
# version 10, or may add some: Python, Java and the warehouse need not know the same version. Beyond the first plane,
# emoji and all that follows them have no case.
VERSION_DEPENDENT_LETTERS = (
    r"[\x{3a3}\x{1c80}-\x{1cbf}\x{2c00}-\x{2c5f}\x{a720}-\x{a7ff}\x{ab30}-\x{ab6f}\x{10000}-\x{1efff}]"
)


class Reason(str, enum.Enum):
    """The reasons for which values are rejected, by the names under which they are counted."""

    NULL = "null"
    EMPTY = "empty"
    NOT_A_STRING = "not_a_string"
    BAD_ENCODING = "bad_encoding"
    NOT_AN_EMAIL = "not_an_email"
    NOT_A_DEVICE_ID = "not_a_device_id"
    CONTAINS_SEPARATOR = "contains_separator"
    TOO_LONG = "too_long"
    UNSUPPORTED_HASH = "unsupported_hash"
    PLACEHOLDER = "placeholder"
    HASH_OF_NOTHING = "hash_of_nothing"
    NOT_A_PHONE_NUMBER = "not_a_phone_number"
    NO_COUNTRY = "no_country"
    UNSURE = "unsure"
    NO_CONTROL_KEY = "no_control_key"  # a row's reason: its values may be good
    TOO_MANY_COMBINATIONS = "too_many_combinations"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a reason means, and what to do about it."""

    meaning: str  # continues "the value …"
    advice: str  # for the author of the query
    sql: str  # for Trino: finds all rows with such values, and maybe more, in a table `people`
    example: str | None = None  # a made-up value


REASON_EXPLANATIONS: Mapping[str, Explanation] = {
    "null": Explanation(
        meaning="is NULL: the row has no identifier",
        example="NULL",
        advice="Nothing is wrong if these people left no identifier. Leave the rows out of the query.",
        sql="SELECT * FROM people WHERE email IS NULL",
    ),
    "empty": Explanation(
        meaning="is empty, or contains only white space and invisible characters",
        example='"  "',
        advice="Leave the rows out of the query, and store NULL where a form was left blank.",
        sql=r"SELECT * FROM people WHERE NOT regexp_like(email, '[^\s\p{Z}\p{Cc}\p{Cf}]')",
    ),
    "not_a_string": Explanation(
        meaning="is not a string",
        example="17",
        advice="Cast the column in the query: CAST(email AS varchar).",
        sql="SELECT typeof(email) AS type, count(*) AS people FROM people GROUP BY typeof(email)",
    ),
    "bad_encoding": Explanation(
        meaning="is not valid UTF-8",
        advice="Import the source file again with its real encoding (often Latin-1 or Windows-1252).",
        sql=r"SELECT * FROM people WHERE regexp_like(email, '[\x{fffd}]')",
    ),
    "not_an_email": Explanation(
        meaning="does not have the form local@domain.tld",
        example="jane.doe",
        advice="Correct the values where they are collected. If the column holds device ids, name it maid or idfa.",
        sql=(
            r"SELECT * FROM people WHERE NOT regexp_like(email, '\A[^@]+@[^@.]+(\.[^@.]+)+\z')"
            r" AND NOT regexp_like(trim(email), '\A[0-9A-Fa-f]{64}\z')"
        ),
    ),
    "not_a_device_id": Explanation(
        meaning="does not have the form 8-4-4-4-12 hex digits",
        example="1234-5678",
        advice="Check which column the query selects. Put the dashes back into device ids that lack them.",
        sql=(
            r"SELECT * FROM people WHERE NOT regexp_like(trim(maid), '\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}"
            r"-[0-9A-Fa-f]{12}\z') AND NOT regexp_like(trim(maid), '\A[0-9A-Fa-f]{64}\z')"
        ),
    ),
    "contains_separator": Explanation(
        meaning="has a space, a comma or a control character inside",
        example="jane doe@shop",
        advice="Often two addresses share one field: split them into rows with UNNEST(split(email, ',')).",
        sql=r"SELECT * FROM people WHERE regexp_like(trim(email), '[\s,\p{Z}\p{Cc}\p{Cf}]')",
    ),
    "too_long": Explanation(
        meaning="is longer than any e-mail address (254 bytes), external id (256 characters) or phone number (80)",
        advice="Look at the rows: usually the field contains a whole text.",
        sql="SELECT * FROM people WHERE length(to_hex(to_utf8(lower(email)))) > 508",
    ),
    "unsupported_hash": Explanation(
        meaning="is an MD5 or SHA-1 digest",
        example="32 or 40 hex digits",
        advice="Export the plain value, or its SHA-256. A digest of another kind cannot be converted.",
        sql=r"SELECT * FROM people WHERE regexp_like(trim(email), '\A([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40})\z')",
    ),
    "placeholder": Explanation(
        meaning='stands for no value, such as "null", "unknown" or an all-zero device id',
        example="n/a",
        advice="Store NULL where there is no value, and leave the rows out of the query.",
        sql=(
            r"SELECT lower(trim(email)) AS value, count(*) AS people FROM people "
            r"WHERE length(trim(email)) < 37 GROUP BY lower(trim(email)) ORDER BY people DESC LIMIT 100"
        ),
    ),
    "hash_of_nothing": Explanation(
        meaning="is the SHA-256 of an empty value or of a placeholder",
        advice="Leave empty values out before hashing. To find such rows, look for a digest that many rows share.",
        sql=(
            "SELECT lower(trim(email)) AS digest, count(*) AS people FROM people "
            "GROUP BY lower(trim(email)) HAVING count(*) > 1 ORDER BY people DESC LIMIT 20"
        ),
    ),
    "not_a_phone_number": Explanation(
        meaning="is not a phone number that can exist in its country",
        example="12345",
        advice="Correct the values where they are collected. Split a field that holds several numbers.",
        sql=r"SELECT * FROM people WHERE NOT regexp_like(regexp_replace(phone, '[^0-9]'), '\A[0-9]{7,15}\z')",
    ),
    "no_country": Explanation(
        meaning="is a phone number without its country's code",
        example="030 901820",
        advice="Set default_country if all numbers are from one country, or store each number with + and its "
        "country code.",
        sql=r"SELECT * FROM people WHERE NOT regexp_like(trim(phone), '\A(\+|00)')",
    ),
    "unsure": Explanation(
        meaning="is an address with a letter whose lowercase form depends on the letters around it, or may depend on "
        "the version of Unicode, so the warehouse cannot hash it",
        example="an address with a capital sigma (\u03a3)",
        advice="Replace the address with the SHA-256 of its lowercase form, or set hash_in: operator.",
        sql=f"SELECT * FROM people WHERE regexp_like(email, '{VERSION_DEPENDENT_LETTERS}')",  # noqa: S608
    ),
    "no_control_key": Explanation(
        meaning="is in a row whose key for the control group is NULL, so it is not known whether the person is "
        "in the group",
        example="NULL",
        advice="Select a key for every person in the column that `control` names as `by`, or leave such rows out.",
        sql="SELECT * FROM people WHERE customer_id IS NULL",
    ),
    "too_many_combinations": Explanation(
        meaning="is in a row with more than 1,000 combinations of its values, each of which would be a record",
        advice="Select fewer values of each person. With records: identifiers, each value is sent once.",
        sql=(
            "SELECT * FROM people WHERE greatest(coalesce(cardinality(emails), 1), 1)"
            " * greatest(coalesce(cardinality(maids), 1), 1) > 1000"
        ),
    ),
}
"""Explanations by the value of the `Reason`."""
