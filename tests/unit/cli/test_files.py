"""A file of secrets: what a shell would make of it, and what stays of it when a value is set."""

from pathlib import Path

import pytest

from td_pinterest_op.cli import files
from td_pinterest_op.errors import SettingsError
from tests import children

PATH = Path("secrets.env")
ODD = ["a b", "a#b", "#", "it's", '"$HOME"', "`x` \\ ;", "two\nlines", "ü", "~", "", "a=b", "\\", "'"]
READ = {
    "A=1\nB=2\n": {"A": "1", "B": "2"},
    "export A=1 B=2 # C=3": {"A": "1", "B": "2"},
    "A=a#b  #c": {"A": "a#b"},
    "A=1; B=2;": {"A": "1", "B": "2"},
    'A=\'1\n2\' B="$HOME \\"x\\" \\n" C=a\\ b\\\nc': {"A": "1\n2", "B": '$HOME "x" \\n', "C": "a bc"},
    "A=x'y z'\"'\" A=last": {"A": "last"},
    "# A='\n\nB=": {"B": ""},
    "A=1 \\\nB=2\r\nC='3'\r\n": {"A": "1", "B": "2", "C": "3"},
}


@pytest.mark.parametrize(("text", "values"), READ.items())
def test_an_env_file_is_read_as_a_shell_reads_it(text: str, values: dict[str, str]) -> None:
    assert values == files.parse_env_file(text, PATH)


@pytest.mark.parametrize("text", ["A", "A =1", "export A", "1A=2", "A-B=1", "'A'=1", "A='1", 'A="1', "A=1 \\"])
def test_an_env_file_with_another_statement_is_an_error_that_names_its_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^line 3 of the file secrets\.env must have the form NAME=VALUE$"):
        files.parse_env_file(f"X='1\n2'\n{text}", PATH)


@pytest.mark.parametrize("value", [*ODD, "pinr.s3cr3t-token"])
def test_a_written_value_is_read_back_exactly_by_us_and_by_a_shell(value: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    files.set_env_values(file, {"A": value})
    assert files.parse_env_file(file.read_text(), file) == {"A": value}
    assert value == children.run(["sh", "-c", '. "$0"; printf %s "$A"', file]).stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\ufeffTOKEN=a\n", "TOKEN=new\n"),
        ("TOKEN=a TD_API_KEY=b", "TOKEN=new TD_API_KEY=b"),
        ("export TD_API_KEY='b' TOKEN='a b' # mine\r\n", "export TD_API_KEY='b' TOKEN=new # mine\r\n"),
        ("TOKEN=1\nTOKEN=2 ", "TOKEN=new\nTOKEN=new "),
        ("# TOKEN=old", "# TOKEN=old\nTOKEN=new\n"),
        ("MY_TOKEN=1\n", "MY_TOKEN=1\nTOKEN=new\n"),
        ("MY_TOKEN='a b'\\\n", "MY_TOKEN='a b'\\\n\nTOKEN=new\n"),
        ("", "TOKEN=new\n"),
    ],
)
def test_a_written_value_leaves_every_other_character_unchanged(before: str, after: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_bytes(before.encode())
    files.set_env_values(file, {"TOKEN": "new"})
    assert after == file.read_bytes().decode()


def test_a_blank_file_of_a_query_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "opted_out.sql"
    file.write_text("\ufeff \n")
    with pytest.raises(SettingsError, match=r"opted_out\.sql of --suppress is blank"):
        files.read_sql_option(str(file), "--suppress")
