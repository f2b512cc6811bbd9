"""What Trino and Hive say about a failed job, without the people whom they quote."""

import re

import pytest

from td_pinterest_op.treasure_data.engine_text import find_words_and_quoted_names, hide_values_in_message

PEOPLE = (
    "Jane Doe",
    "O'Brien",
    'Erika "Eri" Muster',
    "jane@shop",
    "jane.doe@shop.example",
    "anna%40shop.example",
    "CUST-77-ABCD",
    "+49 (0)170 123-45-67",
    "38400000-8cf0-11bd-b23e-10b96e40000d",
    "D\u00f6rte M\u00fcller\nBahnhofstr. 7",
)
# {} is a value of a row.
QUOTING = (
    *(f"Cannot cast '{{}}' to {type_}" for type_ in ("BIGINT", "INT", "SMALLINT", "DOUBLE", "REAL", "BOOLEAN", "UUID")),
    "Cannot cast VARCHAR '{}' to DECIMAL(10, 2). Value is not a number.",
    "Cannot cast VARCHAR '{}' to DECIMAL(10, 2)",
    "Cannot cast JSON '{}' to bigint",
    "Cannot convert '{}' to JSON",
    "Could not convert string '{}' to INT64",
    "Cannot cast value to interval day to second: '{}'",
    "Cannot cast '{}' to TINYINT: line 3:12",
    *(f"Value cannot be cast to {type_}: {{}}" for type_ in ("date", "time", "timestamp", "timestamp with time zone")),
    *(f"Cannot cast value to {type_}: {{}}" for type_ in ("UUID", "IPADDRESS")),
    "Cannot cast to array(varchar). Expected a json array, but got {}\n{}",
    "Cannot cast to map(varchar,varchar). Unexpected token when cast to varchar: {}\n[{}]",
    "Cannot cast input json to VARCHAR\n{}",
    'Cannot cast to row(a bigint). Expected a json object, but got {{"name":"{}"}}',
    'Invalid format: "{}"',
    'Invalid format: "{}" is malformed at "{}"',
    'Invalid format: "{}" is too short',
    "Invalid format: {}",
    "Invalid JSON path: '{}'",
    "Invalid JSON path: {}",
    "JSON path error: lax member accessor applied to '{}'",
    "Invalid json: {}",
    "Invalid pattern: {}",
    "Unknown time-zone ID: {}",
    "Unknown time zone: '{}'",
    "'{}' is not a valid time zone",
    "Not a valid base-16 number: {}",
    "Not a valid base-16 number: '{}'",
    "Duplicate map keys ({}) are not allowed",
    "Duplicate keys ({}) are not allowed",
    "Key not present in map: {}",
    "Key not present in map: '{}'",
    "Key already exists: {}",
    "multimap has several values for the key: {}",
    "Illegal hex characters in escape (%) pattern - For input string: \"{}\"",
    "Input string must be a single character string, got: {}",
    "invalid hex character: {}",
    "Invalid UTF-8 in string: {}",
    "Invalid argument: {}",
    "INVALID_FUNCTION_ARGUMENT: '{}' is not a number",
    "INVALID_CAST_ARGUMENT: Cannot cast '{}' to bigint",
    "Invalid interval literal: {}",
    "Invalid value: {}",
    "Invalid input: {}",
    "Malformed input: {}",
    "Malformed URL: {}",
    "url_decode: invalid input: {}",
    "Out of range for integer: {}",
    "bigint addition overflow: {} + 1",
    "The value exceeds the range: {}",
    "Escape character must be followed by '%', '_' or the escape character itself: '{}'",
    "Array element is not a varchar: [{}]",
    "Row is invalid: [{}, null, 3]",
    "Unexpected value for `email`: \u201c{}\u201d",
    "Unexpected value for `email`: \u2018{}\u2019",
    "Query 20261125_000000_00001_abcde failed: Cannot cast '{}' to bigint",
    "Query 1000007 failed: line 12:8: Cannot cast '{}' to bigint (column 'email')",
    "io.trino.spi.TrinoException: Cannot cast '{}' to bigint",
    "Caused by: java.lang.NumberFormatException: For input string: \"{}\"",
    "java.lang.NumberFormatException: For input string: \"{}\" under radix 16",
    "java.lang.NumberFormatException: Character array contains more than one decimal point: {}",
    "java.lang.IllegalArgumentException: Illegal pattern character '{}'",
    "java.lang.IllegalArgumentException: Invalid UUID string: {}",
    "java.lang.IllegalArgumentException: No enum constant for value: {}",
    "java.text.ParseException: no date: \"{}\"",
    "java.time.format.DateTimeParseException: Text '{}' could not be parsed at index 0",
    "java.time.format.DateTimeParseException: Text '{}' could not be parsed: Unable to obtain LocalDate from {{}}",
    "java.net.URISyntaxException: Illegal character in path at index 4: {}",
    "java.net.URISyntaxException: Illegal character in scheme name at index 0: {}",
    "java.net.MalformedURLException: no protocol: {}",
    "java.lang.ClassCastException: the value: {} is no long",
    "java.util.regex.PatternSyntaxException: Dangling meta character '+' near index 0: \"{}\"",
    "java.lang.StringIndexOutOfBoundsException: String index out of range: {}",
    "com.fasterxml.jackson.core.JsonParseException: Unrecognized token '{}': was expecting ('true', 'false' or 'null')",
    "com.fasterxml.jackson.databind.exc.InvalidFormatException: Cannot deserialize value of type `int` from \"{}\"",
    "org.json.JSONException: Expected a ',' or '}}' at 12 in the text: {}",
    "org.json.JSONException: JSONObject[\"{}\"] not found.",
    "HiveException: Hive Runtime Error while processing row {{\"email\":\"{}\",\"age\":7}}",
    "Hive Runtime Error while processing row (tag=0) {{\"key\":{{\"reducesinkkey0\":\"{}\"}},\"value\":null}}",
    "Hive Runtime Error while processing row [{}, 12, null]",
    "Error: java.lang.RuntimeException: Hive Runtime Error while processing row: {}",
    "org.apache.hadoop.hive.serde2.SerDeException: error parsing the record: {}",
    "org.apache.hadoop.hive.serde2.SerDeException: Row is not a valid JSON Object - '{}'",
    "org.apache.hadoop.hive.ql.exec.UDFArgumentException: Unable to convert the string: {}",
    "org.apache.hadoop.hive.ql.exec.UDFArgumentTypeException: Cannot convert {} to int",
    "FAILED: SemanticException [Error 10014]: Line 1:7 Wrong arguments '{}': No matching method for class UDFToLong",
    "FAILED: ParseException line 1:7 cannot recognize input near '{}' '<EOF>' '<EOF>' in select clause",
    "FAILED: SemanticException Unable to convert value '{}' of column email",
    "FAILED: SemanticException [Error 10041]: No partition predicate found for value \"{}\"",
    "Execution Error, return code 2: key={}, count=3",
    "Diagnostic Messages for this Task:\nError: value = {}",
    "could not parse date: {}",
    "converting \"{}\" to a date failed",
    "failed to parse '{}' at offset 3",
    "skipped line with string: {}",
    "duplicate row for id={}",
    "address: {} unreachable",
    "The mail `{}` is no number",
    "Error in data: \"{}\" is longer than 20 characters",
    "error at '{}",
    "That can't be: '{}'",
)  # fmt: skip


@pytest.mark.parametrize("words", QUOTING)
def test_no_wording_of_an_engine_shows_a_person(words: str) -> None:
    for person in PEOPLE:
        shown = hide_values_in_message(words.replace("{}", person).replace("{{", "{").replace("}}", "}"), {"email"})
        parts = [part for part in re.split(r"[\s@.\"'()-]+", person) if len(part) > 2]
        assert [part for part in parts if part in shown] == []


QUERY = """
-- "Nobody" is asked
SELECT email, "Customer Id", count(*) AS n FROM crm.peple WHERE city = 'Jane Doe' GROUP BY emial
"""


@pytest.mark.parametrize(
    "words",
    [
        "line 3:8: Column 'email' cannot be resolved",
        "line 3:8: Column 'EMAIL' cannot be resolved",
        "line 3:8: Column 'customer id' cannot be resolved",
        'line 3:8: Column "Customer Id" is ambiguous',
        "line 3:50: Table 'td-presto.crm.peple' does not exist",
        "line 3:50: Schema 'crm' does not exist",
        "line 3:75: '=' cannot be applied to varchar, bigint",
        "line 3:99: mismatched input 'BY'",
        "FAILED: SemanticException [Error 10004]: Line 3:7 Invalid table alias or column reference 'emial'",
        "FAILED: SemanticException [Error 10001]: Line 3:50 Table not found 'peple'",
        "Unexpected parameters (bigint) for function lower. Expected: lower(varchar(x)) ",
        "Access Denied: Cannot select from columns [email] in table or view crm.peple",
        "Query exceeded per-node memory limit of 10GB [Allocated: 9.9GB, Delta: 200MB]",
        "Scalar sub-query has returned multiple rows",
        "Division by zero",
        "it doesn't exist",
    ],
)
def test_names_in_the_query_and_words_of_the_engine_stay_in_the_message(words: str) -> None:
    assert hide_values_in_message(words, find_words_and_quoted_names(QUERY)) == words.strip()


def test_text_that_a_query_compares_with_is_not_among_its_names() -> None:
    assert find_words_and_quoted_names(QUERY) >= {"email", "customer id", "peple", "crm"}
    assert find_words_and_quoted_names(QUERY).isdisjoint({"jane", "doe", "jane doe", "nobody"})


def test_a_value_of_several_lines_is_hidden_whole() -> None:
    assert hide_values_in_message("Column 'email'\n\nCannot cast 'Jane\nDoe' to bigint", {"email"}) == (
        "Column 'email'\nCannot cast '<hidden>' to bigint"
    )
