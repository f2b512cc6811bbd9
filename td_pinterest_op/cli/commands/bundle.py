"""`td-pinterest bundle`."""

from collections.abc import Sequence
from pathlib import Path

import click

from td_pinterest_op import __version__
from td_pinterest_op.cli import options
from td_pinterest_op.cli.shipped_files import read_workflow_files, update_code, write_missing_files
from td_pinterest_op.errors import SettingsError


@options.command(
    """\b
Examples:
  td-pinterest bundle build/audiences pinterest_export.dig pinterest_status.dig
  td-pinterest bundle build/audiences --update
"""
)
@click.argument("folder", type=options.PATH_TYPE)
@click.argument("workflows", metavar="[WORKFLOW.dig...]", nargs=-1)
@click.option("--update", is_flag=True, help="Update the operator and its libraries, and write nothing else.")
@click.option(
    "--with-dependencies",
    is_flag=True,
    help="Include every library that the operator imports, in pure Python, for an image that lacks some.",
)
@click.option(
    "--with-phone-numbers", is_flag=True, help="Include the library for phone numbers, which a column `phone` needs."
)
@options.quiet
def bundle(
    common: options.CommonOptions,
    folder: Path,
    workflows: Sequence[str],
    update: bool,
    with_dependencies: bool,
    with_phone_numbers: bool,
) -> None:
    """Create a project folder with the operator and the workflows that you name, or with all of them.

    Files that exist stay as they are, apart from those of the operator and its libraries. With --update only these are
    written.
    """
    if update and workflows:
        raise click.UsageError("--update adds no workflow: leave out the names, or leave out --update")
    if update and not any(folder.glob("*.dig")):
        raise SettingsError(f"{folder} is no project folder, since it has no workflow: check its name")
    files = {} if update else read_workflow_files(workflows)
    update_code(folder, with_dependencies=with_dependencies, with_phone_numbers=with_phone_numbers)
    written = write_missing_files(folder, files)
    common.print_note(f"Wrote {', '.join([f'version {__version__} of the operator', 'its libraries', *written])}")
    click.echo(folder)
