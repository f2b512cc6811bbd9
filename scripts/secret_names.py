"""Print the names of the secrets that the workflows of a project folder use, one a line."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from td_pinterest_op.cli.lint.secrets import SECRET_TEMPLATE

_COMMENT_LINE = re.compile(r"^ *#.*$", re.MULTILINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the names in their order; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    files = [path for pattern in ("*.dig", "config/*.yml") for path in folder.glob(pattern) if path.is_file()]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    names = {name for text in texts for value in _values(text) for name in SECRET_TEMPLATE.findall(value)}
    print("\n".join(sorted(names)))
    return 0


def _values(text: str) -> Iterator[str]:
    """Yield the keys and values of a YAML text, without its comments; the text itself if it is not valid YAML."""
    try:
        events = [*yaml.parse(text, Loader=yaml.BaseLoader)]
    except yaml.YAMLError:
        yield _COMMENT_LINE.sub("", text)
    else:
        yield from (event.value for event in events if isinstance(event, yaml.ScalarEvent))


if __name__ == "__main__":
    sys.exit(main())
