"""Credentials in plain text: forty files that contain one, and forty that contain none."""

import base64
import gzip
import json
import os
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from td_pinterest_op.cli.plain_credentials import build_known_values, find_plain_credential
from td_pinterest_op.cli.secret_target import build_store_function
from td_pinterest_op.redaction.secret import Secret

# One that is known here, with characters that each encoding changes, and one that is not.
KNOWN = "s3cr3t/known+value=of=ours&more"
OTHER = "s3cr3t0123456789abcdef"
KEY = f"1234/{'0123456789' * 4}"
IN_BYTES = KNOWN.encode()

WITH_CREDENTIAL: dict[str, tuple[str, str | bytes]] = {
    "YAML": ("config/old.yml", f"client_secret: {OTHER}\n"),
    "YAML, a known value under another name": ("config/a.yml", f"shop: {KNOWN}\n"),
    "YAML, in double quotes": ("a.yml", f'refresh_token: "{OTHER}"\n'),
    "YAML, in single quotes": ("a.yml", f"refresh_token: '{OTHER}'  # ours\n"),
    "YAML, with blanks": ("a.yml", f"  client_secret   :   {OTHER}\n"),
    "YAML, in a flow mapping": ("a.yml", f"pinterest: {{client_id: 1, client_secret: {OTHER}, a: 1}}\n"),
    "YAML, on the next line": ("a.yml", f"client_secret:\n  {OTHER}\n"),
    "YAML, as a block": ("a.yml", f"client_secret: >-\n  {OTHER}\n"),
    "YAML, with a tag": ("a.yml", f"client_secret: !!str {OTHER}\n"),
    "YAML, in a comment": ("a.yml", f"# client_secret: {OTHER}\n"),
    "YAML, with a dot in the key": ("a.yml", f"pinterest.refresh_token: {OTHER}\n"),
    "YAML, without a digit": ("a.yml", "client_secret: abcdefghijkl\n"),
    "YAML, dumped": ("a.yml", yaml.safe_dump({"a": {"b": [KNOWN]}}, default_style='"')),
    "YAML, folded by a dumper": ("a.yml", yaml.dump({"a": f"{'x ' * 50}{KNOWN} {'x ' * 50}"}, width=60)),
    "a .dig that exports it": ("other.dig", f"_export:\n  PINTEREST_CLIENT_SECRET: {OTHER}\n"),
    "JSON": ("secrets.json", json.dumps({"pinterest.client_secret": OTHER})),
    "JSON in one string of JSON": ("a.json", json.dumps(json.dumps({"client_secret": OTHER}))),
    "JSON with escaped slashes": ("a.json", json.dumps({"a": KNOWN}).replace("/", r"\/")),
    "JSON in camel case": ("a.json", f'{{"clientSecret": "{OTHER}"}}'),
    "env": ("pinterest.env", f"PINTEREST_CLIENT_SECRET={OTHER}\n"),
    "env, exported": ("a.sh", f"export TD_API_KEY='1/{OTHER}'\n"),
    "env, several on a line": ("a.env", f"PINTEREST_REFRESH_TOKEN={OTHER} TD_API_KEY=$KEY\n"),
    "env, quoted for a shell": ("a.env", f"X={shlex.quote(KNOWN)}\n"),
    "a line in a string": ("a.json", f'["client_secret: {OTHER}", "x"]'),
    "ini": ("pinterest.ini", f"[app]\nclient_secret = {OTHER}\n"),
    "ini of td": ("td.conf", f"[account]\n  apikey = {KEY}\n"),
    "properties": ("secrets.properties", f"secrets.pinterest.client_secret={OTHER}\r\n"),
    "Python": ("job.py", f'CLIENT_SECRET = "{OTHER}"\n'),
    "Python, a mapping": ("job.py", f"env = {{'PINTEREST_REFRESH_TOKEN': '{OTHER}'}}\n"),
    "Python, a subscript": ("job.py", f'os.environ["TD_API_KEY"] = "{OTHER}"\n'),
    "a notebook": ("a.ipynb", json.dumps({"source": [f'refresh_token = "{OTHER}"\n']})),
    "a command": ("notes.md", f"curl -d client_secret={OTHER} -d grant_type=x https://api.example/\n"),
    "a header": ("notes.md", f"curl -H 'Authorization: TD1 {KEY}'\n"),
    "a token anywhere": ("notes.txt", f"the new one is pinr.{OTHER}-abcdefgh\n"),
    "an access token": ("notes.txt", f"pina_{OTHER}abcdefgh\n"),
    "UTF-8 with a mark": ("a.yml", f"\ufeffclient_secret: {OTHER}\n".encode()),
    "UTF-16 with a mark": ("a.yml", f"client_secret: {OTHER}\n".encode("utf-16")),
    "UTF-16, big end first, without a mark": ("a.txt", f"x {KNOWN}\n".encode("utf-16-be")),
    "UTF-32": ("a.txt", f"client_secret={OTHER}\n".encode("utf-32")),
    "base64": ("a.txt", base64.b64encode(IN_BYTES)),
    "base64 of a pair, without padding": ("a.txt", base64.b64encode(b"1234567:" + IN_BYTES + b"!").rstrip(b"=")),
    "base64 with line breaks": ("a.pem", base64.encodebytes(b"x" * 50 + IN_BYTES + b"x" * 50)),
    "base64 for URLs": ("a.txt", base64.urlsafe_b64encode(b"xx" + IN_BYTES)),
    "URL-encoded": ("a.http", f"POST /oauth\n\na=1&x={quote(KNOWN, safe='')}"),
    "URL-encoded in small letters": ("a.http", quote(KNOWN, safe="").lower()),
    "without a line feed at the end": ("a", KNOWN),
    "between other bytes": ("a.bin", bytes(range(256)) + IN_BYTES + bytes(range(256))),
    "across the end of a part": ("a.csv", b"," * (8 * 1024 * 1024 - 5) + IN_BYTES),
    "a local secret of digdag": ("home/secrets/pinterest.refresh_token", "short"),
}
WITHOUT_CREDENTIAL: dict[str, tuple[str, str | bytes]] = {
    "the shipped file": (
        "config/environment.yml",
        "TD_API_KEY: ${secret:td.apikey}\nPINTEREST_CLIENT_SECRET: ${secret:pinterest.client_secret}\n",
    ),
    "a template in quotes": ("a.yml", 'PINTEREST_REFRESH_TOKEN: "${secret:pinterest.refresh_token}"\n'),
    "a template without blanks": ("a.yml", "{TD_API_KEY: '${secret:td.apikey}'}\n"),
    "another secret's name": ("a.yml", "PINTEREST_CLIENT_SECRET: ${secret:shop2.pinterest_secret}\n"),
    "nothing": ("a.yml", "client_secret:\nrefresh_token:\nTD_API_KEY:\nanother: value1\n"),
    "null": ("a.yml", "client_secret: null\nrefresh_token: ~\n"),
    "blank quotes": ("a.yml", "client_secret: ''\nrefresh_token: \"\"\n"),
    "the secret's name": ("a.yml", "PINTEREST_REFRESH_TOKEN: pinterest.refresh_token\n"),
    "a placeholder": ("a.yml", "client_secret: your_client_secret\n"),
    "a placeholder in brackets": ("a.yml", "client_secret: <abcdef123456>\n"),
    "a masked value": ("a.yml", "client_secret: '********'\n"),
    "a comment after nothing": ("a.yml", "client_secret:   # set1 by authorize\n"),
    "a key with a longer name": ("a.yml", "client_secret_name: shop123456\n"),
    "the app's id": ("a.yml", "PINTEREST_CLIENT_ID: '1234567'\n"),
    "an ad account": ("a.yml", "PINTEREST_AD_ACCOUNT_ID: '549755885175'\nad_account_id: '549755885175'\n"),
    "figures of a run": ("a.dig", "+a: {echo>: '${pinterest.summary} ${pinterest.audience_id}'}\n"),
    "env without values": (".env.example", "PINTEREST_CLIENT_SECRET=\nPINTEREST_REFRESH_TOKEN=\nHISTORY_TABLE=\n"),
    "a variable of a shell": ("run.sh", "TD_API_KEY=$KEY td wf run\nexport TD_API_KEY=${KEY:-none}\n"),
    "the output of a command": ("run.sh", "export PINTEREST_CLIENT_SECRET=$(vault read shop1/pinterest)\n"),
    "a command with @-": ("run.sh", "td wf secrets --project a --set td.apikey --set pinterest.client_secret\n"),
    "Python, the environment": ("a.py", 'client_secret = os.environ["PINTEREST_CLIENT_SECRET"]\n'),
    "Python, a variable": ("a.py", "refresh_token = response2\nself.client_secret = settings.client2\n"),
    "Python, an annotation": ("a.py", "def f(client_secret: Secret, refresh_token: str | None = None) -> int: ...\n"),
    "Python, an argument": ("a.py", "connect(client_secret=client_secret_2, refresh_token=tokens2)\n"),
    "Python, a comparison": ("a.py", 'if refresh_token == "":\n    pass\n'),
    "Python, a format": ("a.py", 'text = f"client_secret={value1}"\n'),
    "Python, a name": ("a.py", 'REFRESH_TOKEN_NAME = "pinterest.refresh_token"\n'),
    "a notebook": ("a.ipynb", json.dumps({"source": ['client_secret = os.environ["A1"]\n', "x = 1\n"]})),
    "JSON with null": ("a.json", '{"client_secret": null, "refresh_token": ""}'),
    "a JSON schema": ("a.json", '{"properties": {"client_secret": {"type": "string"}}}'),
    "a sentence": ("notes.md", "`client_secret`: Pinterest's, of the app 1234567, see its page.\n"),
    "a sentence with a comma": ("notes.md", "client_secret: Pinterest, and refresh_token: authorize; both later\n"),
    "a table": ("notes.md", "| `refresh_token` | lives 60 days |\n"),
    "a list of names": ("notes.md", "Set client_secret, refresh_token and td.apikey (step 2).\n"),
    "a question": ("notes.txt", "Which client_secret = ? Ask ops.\n"),
    "SQL": ("a.sql", "SELECT email FROM people WHERE client_secret = token2 AND a = '1/2'\n"),
    "SQL with parameters": ("a.sql", "-- refresh_token: column 3 of the table\nSELECT '${td.database}'\n"),
    "a CSV of digests": ("a.csv", "id,digest\n12," + "ab" * 32 + "\n"),
    "a path with a number": ("notes.txt", "jobs/1234/0123456789 and 2026/11/25\n"),
    "half of a known value": ("a.txt", KNOWN[:15]),
    "words like a token": ("a.txt", "pina colada, pinr.short, 1/abcdef\n"),
    "bytes": ("a.bin", bytes(range(256)) * 100),
    "compressed": ("a.gz", gzip.compress(IN_BYTES)),
    "an empty local secret": ("secrets/td.apikey", ""),
    "the app's id as a local secret": ("secrets/pinterest.client_id", "1234567"),
}
KNOWN_VALUES = build_known_values([Secret(KNOWN), Secret("short")])


def write_file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("case", WITH_CREDENTIAL)
def test_file_with_a_credential_is_found(tmp_path: Path, case: str) -> None:
    assert find_plain_credential(write_file(tmp_path, *WITH_CREDENTIAL[case]), KNOWN_VALUES)


@pytest.mark.parametrize("case", WITHOUT_CREDENTIAL)
def test_file_without_a_credential_is_not_found(tmp_path: Path, case: str) -> None:
    assert find_plain_credential(write_file(tmp_path, *WITHOUT_CREDENTIAL[case]), KNOWN_VALUES) is None


def test_all_files_that_authorize_stores_locally_are_found_but_the_apps_id(tmp_path: Path) -> None:
    store = build_store_function("local", [], {"DIGDAG_CONFIG_HOME": str(tmp_path)})
    names = ("pinterest.client_id", "pinterest.client_secret", "pinterest.refresh_token")
    store({name: Secret(f"{name}.s3cr3t") for name in names})
    found = {path.name: find_plain_credential(path, []) for path in (tmp_path / "secrets").iterdir()}
    assert found == {
        "pinterest.client_id": None,
        "pinterest.client_secret": "it contains the secret pinterest.client_secret",
        "pinterest.refresh_token": "it contains the secret pinterest.refresh_token",
    }


def test_file_that_authorize_writes_is_found(tmp_path: Path) -> None:
    store = build_store_function("file", [str(tmp_path / "pinterest.env")], os.environ)
    store({"pinterest.client_secret": Secret(OTHER)})
    found = find_plain_credential(tmp_path / "pinterest.env", [])
    assert found == "it sets client_secret to a plain value"
