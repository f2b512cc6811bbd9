"""Public names change only on purpose: the file of them, which is seen in review, changes with them."""

from tests.public_surface import FILE, render


def test_public_names_are_those_of_the_file() -> None:
    assert render() == FILE.read_text(), "if this is meant: python -m tests.public_surface, and a line in CHANGELOG.md"
