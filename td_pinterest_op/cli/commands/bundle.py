"""`td-pinterest bundle`."""

import shutil
from pathlib import Path

import click

from td_pinterest_op import __version__
from td_pinterest_op.cli import options
from td_pinterest_op.cli.project_copy import write_project_copy
from td_pinterest_op.errors import SettingsError, add_to_errors


@options.command("\b\nExample:\n  td-pinterest bundle audiences build/audiences")
@click.argument("folder", type=options.PATH_TYPE)
@click.argument("out", type=options.PATH_TYPE)
@options.with_dependencies
@options.with_phone_numbers
@options.env_file
@options.quiet
def bundle(
    common: options.CommonOptions, folder: Path, out: Path, with_dependencies: bool, with_phone_numbers: bool
) -> None:
    """Write to OUT the copy of a project folder that `push` pushes.

    For your own CI or digdag server: run `digdag push PROJECT` in OUT. OUT must be new or empty. Nothing is written to
    FOLDER.
    """
    is_new = not out.is_dir()
    with add_to_errors(sent="Nothing was written"):
        if out.resolve().is_relative_to(folder.resolve()):
            raise SettingsError(f"{out} is in {folder}, where nothing is written: name a folder elsewhere")
        if not is_new and any(out.iterdir()):
            raise SettingsError(f"{out} is not empty: name a new folder")
        out.mkdir(parents=True, exist_ok=True)
        try:
            write_project_copy(
                folder,
                out,
                common,
                with_dependencies=with_dependencies,
                with_phone_numbers=with_phone_numbers,
            )
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            if not is_new:
                out.mkdir(exist_ok=True)
            raise
    common.print_note(f"Wrote {folder} with version {__version__} of the operator to")
    click.echo(out)
