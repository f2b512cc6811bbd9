"""A CSV file as the rows of an export: a header with the names of its columns, then text."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import re
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import EMAIL, LIST_TYPES, join_with_or
from td_pinterest_op.redaction.secret import sanitize
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.treasure_data.result import Rows

_GZIP = b"\x1f\x8b"
_BLOCK_ROWS = 4_000
# Spreadsheets write what the country's numbers leave free.
_SEPARATORS = ",;\t|"
_SAMPLE_BYTES = 64 * 1024
# The spellings of each type, without case, accents, spaces and punctuation: English, German, French, Spanish, Italian,
# Portuguese, Japanese, and the exports of common CRM programs.
_SPELLINGS_OF: Mapping[str, str] = {
    "email": """
        email mail emails email1 emailaddress emailaddresses mailaddress primaryemail useremail customeremail
        contactemail emailadresse mailadresse adresseemail adressemail adresseelectronique courriel correo
        correoelectronico direccionemail direcciondecorreo indirizzoemail postaelettronica enderecoemail
        メールアドレス メール hashedemail emailhash emailhashed emailsha256 sha256email""",
    "maid": """
        maid gaid aaid gpsadid mobileadid mobileadvertisingid googleadid googleadvertisingid
        androidadvertisingid""",
    "idfa": "idfa iosidfa iosadid iosadvertisingid appleadvertisingid appleidfa",
    "phone": """
        phone phonenumber phonenumbers mobile mobilephone mobilenumber cellphone telephone telephonenumber tel
        telefon telefonnummer handy handynummer mobiltelefon mobilnummer telephoneportable portable telefono movil
        cellulare telefone celular 電話番号""",
    "external_id": "externalid",
}


@dataclass(frozen=True, kw_only=True)
class CsvOptions:
    """Options that decide which columns of a CSV file are read."""

    types: Collection[str] = tuple(LIST_TYPES)  # the types of identifiers whose columns are recognised by their headers
    other_columns: Collection[str] = ()  # further columns, which the settings name, in lower case
    only: Sequence[str] = ()  # the headers of the only columns that are read; empty for all columns


@contextlib.contextmanager
def open_csv_rows(
    path: Path, *, options: CsvOptions = CsvOptions(), print_note: Callable[[str], None] = lambda _: None
) -> Iterator[Rows]:
    """Yield the rows of a CSV file, plain or gzip. `print_note` gets a line about columns that are left out or renamed.

    Columns that hold no identifier are left out. No message shows the header of such a column, since the first line of
    a file without a header may be a person. Raises JobError for a file that cannot be read.

    A pipe is read as its data arrives, in blocks. An empty field is a null, with or without quotation marks, as in an
    import. Blank lines and rows of empty fields alone, as spreadsheets write them, are left out and not counted. UTF-8,
    UTF-16 and Windows-1252 are recognised by the first 64 KB. If a value in a UTF-8 file has other bytes, only that
    value is invalid (bad_encoding).
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise JobError(f"the file {path} cannot be opened: {error.strerror}") from None
    with raw:
        is_gzip = raw.peek(len(_GZIP)).startswith(_GZIP)
        # Its buffer is filled completely before `peek` returns, whatever the file and its own buffer are.
        binary = io.BufferedReader(gzip.GzipFile(fileobj=raw) if is_gzip else raw, _SAMPLE_BYTES)
        with _explain_damage(path):
            sample = binary.peek()
        encoding = "utf-8-sig"
        if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf-16"
        else:
            try:
                codecs.getincrementaldecoder("utf-8")().decode(sample)
            except UnicodeDecodeError:
                # With letters in UTF-8 as well, it is UTF-8 with damaged values.
                if sample.decode(errors="ignore").isascii():
                    encoding = "cp1252"
        # A damaged pair of bytes in UTF-16 shifts the rest: no value after it could be trusted.
        errors = "strict" if encoding == "utf-16" else "surrogateescape"
        with io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline="") as text:
            file = _CsvFile(path, text, options, sample=sample.decode(encoding, errors="ignore"))
            if file.description:
                print_note(file.description)
            job = Job(
                id="-",
                schema=file.schema,
                file=str(path),
                find_line_number=file.find_line_number,
            )
            yield Rows(job=job, blocks=file.read_blocks())


@contextlib.contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    """Within the block, turn an error that damaged data in the file `path` causes into a JobError."""
    try:
        yield
    except UnicodeDecodeError:
        raise JobError(
            f"the file {path} begins as UTF-16 but contains bytes that are not UTF-16: save it again as UTF-8. "
            "Nothing was sent"
        ) from None
    except (gzip.BadGzipFile, zlib.error, EOFError):
        # The words of these errors may quote data of the file.
        raise JobError(
            f"the file {path} cannot be read as CSV: its compressed data is damaged, cut off, or followed by other "
            "data; nothing was sent"
        ) from None


class _CsvFile:
    """An open CSV file. `schema`: the names and types of the columns that are read, as a job's result has them."""

    def __init__(self, path: Path, text: TextIO, options: CsvOptions, *, sample: str) -> None:
        self._path = path
        self._read = 0  # rows before the block
        self._lines: list[int] = []  # on which the block's rows begin
        begin = next((line for line in sample.splitlines() if line.strip(f"{_SEPARATORS} ")), "")
        for_excel = re.fullmatch('"?sep=(.)"?', begin, re.IGNORECASE)  # a line that names the separator
        separator = for_excel[1] if for_excel else max(_SEPARATORS, key=begin.count)
        self._reader = csv.reader(text, strict=True, delimiter=separator, skipinitialspace=True)
        self._rows = self._read_numbered_rows()
        if for_excel:
            next(self._rows)
        first = next(self._rows, None)
        if first is None:
            raise JobError(f"the file {path} is empty: its first line must be the names of the columns")
        self._header = [name.strip() for name in first[1]]
        self._columns: dict[int, str] = {}  # the export's names for the columns to read, by position
        only = [name.strip() for name in options.only]
        for position, name in enumerate(self._header):
            type_ = _TYPE_BY_SPELLING.get(_simplify_header(name))
            if name.lower() in options.other_columns:
                self._columns[position] = name
            elif name in only:
                self._columns[position] = type_ or EMAIL.name
            elif type_ and not only and type_ in options.types:
                self._columns[position] = type_
        if missing := [name for name in only if name not in self._header]:
            raise JobError(
                f"the file {path} has no column {' or '.join(map(sanitize, missing))}, which --column names; "
                "nothing was sent"
            )
        if not self._columns:
            raise JobError(
                f"the file {path} has no column of identifiers: its first line must contain one of these names "
                f"({join_with_or(options.types)}), or --column must name the column; nothing was sent"
            )
        self.schema = tuple((name, "varchar") for name in self._columns.values())
        # Which columns are read, under which names. It is "" if all are read under their own headers.
        self.description = ""
        if list(self._columns.values()) != self._header:
            read = " and ".join(
                f'"{sanitize(self._header[position])}" as {name}' for position, name in self._columns.items()
            )
            others = len(self._header) - len(self._columns)
            left_out = f"; {format_count(others, 'other column')} left out" if others else ""
            columns = "column" if len(self._columns) == 1 else "columns"
            self.description = f"Reading the {columns} {read} of {path.name}{left_out}"

    def find_line_number(self, row: int) -> int:
        """Return the line number at which row `row`, in the latest block, begins. Lines and rows count from 1."""
        return self._lines[row - self._read - 1]

    def read_blocks(self) -> Iterator[list[list[Any]]]:
        """Yield blocks of rows. A block is a list of columns, a column a list of values.

        Raises JobError if a row has a wrong number of fields, or the file is damaged.
        """
        while block := list(itertools.islice(self._rows, _BLOCK_ROWS)):
            for line, row in block:
                if len(row) != len(self._header):
                    raise JobError(
                        f"line {line} of the file {self._path} has {format_count(len(row), 'field')}, but the header "
                        f"has {len(self._header):,}: nothing was sent"
                    )
            self._lines = [line for line, _ in block]
            yield [
                [row[position].encode(errors="surrogateescape") or None for _, row in block]
                for position in self._columns
            ]
            self._read += len(block)

    def _read_numbered_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the fields of each row, except rows whose fields are all empty.

        Raises JobError if the file is damaged.
        """
        line = 1
        with _explain_damage(self._path):
            try:
                for row in self._reader:
                    if any(row):
                        yield line, row
                    line = self._reader.line_num + 1
            except csv.Error as error:
                # Its text holds no data of the file.
                raise JobError(
                    f"line {line} of the file {self._path} cannot be read as CSV: {error}; nothing was sent"
                ) from None


def _simplify_header(name: str) -> str:
    """Return a column's header in lower case, without accents, spaces and punctuation."""
    text = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in text if letter.isalnum())


_TYPE_BY_SPELLING = {
    _simplify_header(spelling): type_ for type_, spellings in _SPELLINGS_OF.items() for spelling in spellings.split()
}
