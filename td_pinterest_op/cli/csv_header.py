"""Recognises columns of identifiers by the header of a CSV file, in the usual spellings."""

from __future__ import annotations

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
    """A column that is read: its position, counted from 0, and the name under which it is known."""

    position: int
    name: str


def find_columns(header: Sequence[str], *, types: Sequence[str], others: Collection[str] = ()) -> list[CsvColumn]:
    """Return the columns whose header is a spelling of one of the `types`, or one of the lower-case names `others`."""
    return [
        CsvColumn(position, known)
        for position, name in enumerate(header)
        if (known := _known_name(name, types=types, others=others))
    ]


def type_of(name: str) -> str | None:
    """Return the type of identifier of a column with this header, None for any other."""
    return _TYPE_BY_SPELLING.get(_simplify(name))


def _known_name(name: str, *, types: Sequence[str], others: Collection[str]) -> str | None:
    if name.strip().lower() in others:
        return name.strip()
    type_ = type_of(name)
    return type_ if type_ in types else None


def _simplify(name: str) -> str:
    # NFKD would take the marks off Japanese letters as well.
    text = unicodedata.normalize("NFKC", name).casefold()
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text)
        if all(ord(letter) < 0x250 or unicodedata.combining(letter) for letter in plain):
            text = plain
    return "".join(letter for letter in text if letter.isalnum())
