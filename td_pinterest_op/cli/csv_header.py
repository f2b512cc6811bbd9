"""Recognises columns of identifiers by the header of a CSV file, in the usual spellings."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

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
_TYPE_BY_SPELLING = {spelling: type_ for type_, spellings in _SPELLINGS_OF.items() for spelling in spellings.split()}


class CsvColumn(NamedTuple):
    """A CSV column to read: its position, counted from 0, and the column name that the export uses."""

    position: int
    name: str


def find_columns(header: Sequence[str], *, types: Sequence[str], others: Collection[str] = ()) -> list[CsvColumn]:
    """Return the columns whose header means one of `types`, or is one of the names in `others` (lower case)."""
    return [
        CsvColumn(position, known)
        for position, name in enumerate(header)
        if (known := _find_column_name(name, types=types, others=others))
    ]


def find_identifier_type(name: str) -> str | None:
    """Return the type of identifier that a column's header means; None if it means none."""
    return _TYPE_BY_SPELLING.get(_simplify_header(name))


def _find_column_name(name: str, *, types: Sequence[str], others: Collection[str]) -> str | None:
    """Return the column name that an export uses for a header; None for a column that is not read."""
    if name.strip().lower() in others:
        return name.strip()
    type_ = find_identifier_type(name)
    return type_ if type_ in types else None


def _simplify_header(name: str) -> str:
    """Return a header in lower case, without accents, spaces and punctuation."""
    # NFKD would take the marks off Japanese letters as well.
    text = unicodedata.normalize("NFKC", name).casefold()
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text)
        if all(ord(letter) < 0x250 or unicodedata.combining(letter) for letter in plain):
            text = plain
    return "".join(letter for letter in text if letter.isalnum())
