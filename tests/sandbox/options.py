"""The options of `scripts/sandbox`, and the values that they hold."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.sandbox.project import ROOT

# The output files outlive the run's own folder.
PAGE = ROOT / "build" / "sandbox_report.html"
LOG = ROOT / "build" / "sandbox.log"
_TABLE = re.compile(r"(?:[a-z0-9_]+[.])?[a-z0-9_]+")


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    usage = "%(prog)s [--project FOLDER] [OPTION]... [WORKFLOW.dig]...   (--help names the options)"
    parser = argparse.ArgumentParser(prog="scripts/sandbox", usage=usage, description=description)
    parser.add_argument("workflows", nargs="*", metavar="WORKFLOW.dig", help="of the project (default: the only one)")
    parser.add_argument("--project", type=Path, metavar="FOLDER", help="a project folder of your own, run unchanged")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a table from a CSV file with a header (or Parquet), in every database that the project names; "
        "DATABASE.NAME=FILE: in that one",
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="FILE",
        help="who should be in the audience in the end: a digest or an identifier a line; AUDIENCE=FILE of several, by "
        "id or name. Ends with 1 if anybody else is, or is not",
    )
    parser.add_argument(
        "--like", type=Path, metavar="FILE", help="a rehearsal.json: Pinterest behaves as that file describes"
    )
    parser.add_argument(
        "--rows", type=int, default=100_000, help="made-up people, opt_outs and consents, where no --table is given"
    )
    parser.add_argument(
        "-p",
        dest="params",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the run, as for `digdag run`; try an activation with segment_name and "
        "activation_actions_table",
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="the page about the run (default: %(default)s)")
    parser.add_argument("--log", type=Path, default=LOG, help="the log of the engine (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the emulators up for tries of your own")
    return parser


def table_files(
    options: Sequence[str], databases: Sequence[str], made_up: Mapping[str, Path]
) -> Iterator[tuple[str, str, Path]]:
    """Yield database, table and file of each table to load. Raises ValueError for an option that is not NAME=FILE."""
    yield from ((database, table, file) for database in databases for table, file in made_up.items())
    for option in options:
        name, equals, file = option.partition("=")
        if not _TABLE.fullmatch(name) or not equals:
            raise ValueError(f"--table {option}: NAME=FILE or DATABASE.NAME=FILE is wanted")
        database, _, table = name.rpartition(".")
        yield from ((name, table, Path(file)) for name in ([database] if database else databases))
