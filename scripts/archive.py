"""Print the size of a project folder, and whether the server to which it is pushed accepts that size."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from td_pinterest_op.cli.lint.archive import collect_archive


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the number of files and their size, and what is too large; returns 1 if something is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("by", choices=["td", "digdag"], help="td: hosted Treasure Workflow")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    archive = collect_archive(options.folder.resolve())
    print(f"Pushing {len(archive.sizes):,} files of {archive.total_bytes:,} bytes together.")
    problem = archive.hosted_size_problem if options.by == "td" else archive.server_size_problem
    if problem:
        print(f"Too large: {problem}.")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
