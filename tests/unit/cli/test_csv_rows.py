"""A CSV file as rows: blank lines, and the errors that are the file's own."""

import errno
import gzip
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from td_pinterest_op.cli import csv_rows
from td_pinterest_op.cli.csv_rows import CsvOptions
from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import LIST_TYPES


def test_blank_lines_are_not_rows_but_count_as_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK_ROWS", 2)
    file = tmp_path / "people.csv"
    file.write_text('email,maid\n\n,\na,\n"",""\n"",b\n"two\nlines",\nc,\n')
    with csv_rows.open_csv_rows(file) as rows:
        assert rows.job.find_line_number
        assert [
            (block, [rows.job.find_line_number(first), rows.job.find_line_number(first + 1)])
            for block, first in zip(rows.blocks, (1, 3), strict=True)
        ] == [
            ([[b"a", None], [None, b"b"]], [4, 6]),
            ([[b"two\nlines", b"c"], [None, None]], [7, 9]),
        ]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_file_without_a_header_is_empty(tmp_path: Path, content: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(content)
    with pytest.raises(JobError, match="is empty"), csv_rows.open_csv_rows(file):
        pass


@pytest.mark.parametrize(
    ("content", "line"),
    [('\n"email\naddress"\na\nb,c\n', 5), ("email\na\n\nb,c\n", 4)],
)
def test_error_names_the_line_of_the_file(tmp_path: Path, content: str, line: int) -> None:
    file = tmp_path / "people.csv"
    file.write_text(content)
    said = f"line {line} of the file .* has 2 fields"
    with pytest.raises(JobError, match=said), csv_rows.open_csv_rows(file) as rows:
        list(rows.blocks)


JANE = "jane@shop.example"
PHONES = (*LIST_TYPES, "phone")


@pytest.mark.parametrize(
    ("content", "types", "schema", "values"),
    [
        *(
            (content, LIST_TYPES, ["email"], [[JANE]])
            for content in (
                f"email,name\n{JANE},Jane\n".encode(),
                f"E-Mail-Adresse;Vorname;Straße\n{JANE};Jürgen;Ölweg\n".encode("cp1252"),
                f"Adresse électronique\tNom\n{JANE}\tZoé\n".encode("utf-16"),
                f"名前,メールアドレス\n花子,{JANE}\n".encode("utf-8-sig"),
                f"sep=#\nname#email\nJane#{JANE}\n".encode("utf-8-sig"),
                f'"sep=;"\r\n\r\nname;email,\r\n"a;b";{JANE}\r\n'.encode(),
                f'"First\nname","E-mail\r\naddress"\nJane,{JANE}\n'.encode(),
                gzip.compress(f"Indirizzo e-mail;n\n{JANE};1\n".encode("cp1252"), mtime=0),
            )
        ),
        (f"Correo electrónico|Teléfono\n{JANE}|600\n".encode(), PHONES, ["email", "phone"], [[JANE], ["600"]]),
        (f"id,Advertising ID,IDFA,mobile advertising id,Email\n1,x,b,c,{JANE}\n".encode(), LIST_TYPES, None, None),
        (
            f"Email 1,Email\n{JANE},\n,{JANE}\n,\n".encode(),
            LIST_TYPES,
            ["email", "email"],
            [[JANE, None], [None, JANE]],
        ),
    ],
)
def test_a_file_is_read_as_a_person_expects(
    tmp_path: Path, content: bytes, types: Sequence[str], schema: list[str] | None, values: list[list[str]] | None
) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(content)
    with csv_rows.open_csv_rows(file, options=CsvOptions(types=tuple(types))) as rows:
        names = [name for name, _ in rows.job.schema]
        read = [[each and each.decode() for each in column] for block in rows.blocks for column in block]
    assert (schema or ["idfa", "maid", "email"], values or [["b"], ["c"], [JANE]]) == (names, read)


@pytest.mark.parametrize(
    ("header", "options", "said"),
    [
        ("email", CsvOptions(), []),
        (
            "Mail,GAID,Name,City",
            CsvOptions(),
            ['Reading the columns "Mail" as email and "GAID" as maid of people.csv; 2 other columns left out'],
        ),
        ("kontakt", CsvOptions(only=("kontakt",)), ['Reading the column "kontakt" as email of people.csv']),
        ("kontakt,crm", CsvOptions(other_columns=("kontakt", "crm")), []),
    ],
)
def test_one_line_names_the_columns_that_are_read(
    tmp_path: Path, header: str, options: CsvOptions, said: list[str]
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"{header}\n")
    lines: list[str] = []
    with csv_rows.open_csv_rows(file, options=options, print_note=lines.append):
        assert said == lines


MANY = "".join(f"{number},p{number}@shop.example\n" for number in range(1_000))  # more than a file's own buffer


@pytest.mark.parametrize(("encode", "is_pipe"), [(bytes, False), (gzip.compress, True)])
def test_windows_1252_is_recognised_in_the_first_64_kilobytes(
    tmp_path: Path, encode: Callable[[bytes], bytes], is_pipe: bool
) -> None:
    path = tmp_path / "people.csv"
    content = encode(f"id,email\n{MANY}x,jürgen@shop.example\n".encode("cp1252"))
    if is_pipe:
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(content,)).start()
    else:
        path.write_bytes(content)
    with csv_rows.open_csv_rows(path) as rows:
        assert "jürgen@shop.example".encode() == [*rows.blocks][-1][0][-1]


def test_a_full_disk_is_not_reported_as_an_error_of_the_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email\na\n")
    with pytest.raises(OSError, match="No space left"), csv_rows.open_csv_rows(file):
        raise OSError(errno.ENOSPC, "No space left on device")
