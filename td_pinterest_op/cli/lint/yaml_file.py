"""YAML with the files that it includes, as digdag reads it: plain values, with the line of each key."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from td_pinterest_op.cli.lint.findings import FileLine, Findings
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import mask_and_escape
from td_pinterest_op.runtime.project_file import read_project_file, resolve_project_path

_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
# Of a workflow with all that it includes, each as often as it is repeated: aliases and includes make a small file grow.
_MOST_VALUES = 20_000
_MOST_CHARACTERS = 2_000_000
_INCLUDE = "!include"


class YamlBlock(dict[str, Any]):
    """A mapping of plain values, in which only whole numbers are numbers.

    `place`: of the mapping. `places`: of each key.
    """

    def __init__(self, place: FileLine) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, FileLine] = {}

    def get_block(self, key: str) -> "YamlBlock":
        """Return the mapping at `key`, or an empty one with the place of the value."""
        inner = self.get(key)
        return inner if isinstance(inner, YamlBlock) else YamlBlock(self.find_place(key))

    def find_place(self, key: str) -> FileLine:
        """Return the place of a key, or that of the mapping without it."""
        return self.places.get(key, self.place)

    def walk_blocks(self) -> Iterator["YamlBlock"]:
        """Yield the mapping and all mappings inside it."""
        yield self
        for value in self.values():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, YamlBlock):
                    yield from each.walk_blocks()

    def include(self, content: Any) -> None:
        """Add the members of another mapping, which take precedence; other content has none."""
        if isinstance(content, YamlBlock):
            self.update(content)
            self.places |= content.places


class _TooLargeError(Exception):
    """A workflow with all that it includes is larger than any that is read."""


class _Loader(yaml.BaseLoader):
    """Calls a function before each node."""

    def __init__(self, text: str, before_node: Callable[[], None]) -> None:
        super().__init__(text)
        self._before_node = before_node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._before_node()
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


class YamlReader:
    """Reads the files of the folder in which the process works, and adds to `findings`. `files`: those that were read.

    Nothing outside the folder is read, and whatever a file holds, reading it ends.
    """

    def __init__(self, findings: Findings) -> None:
        self.files: set[Path] = set()
        self._findings = findings
        self._values = 0
        self._characters = 0
        self._chain: list[Path] = []  # the files that are being read, each included by the one before

    def read_file(self, path: Path, included_at: FileLine) -> YamlBlock | None:
        """Return a YAML file's mapping, or add a finding and return None if there is none.

        `path`: relative to the folder. `included_at`: where another file includes it, or its own first line.
        """
        key = "workflow" if included_at.path == path else _INCLUDE
        try:
            resolved = resolve_project_path(str(path), key=key)
            if resolved in self._chain:
                self._findings.add(
                    included_at, "yaml", f"{mask_and_escape(str(path))} includes itself: remove the line"
                )
                return None
            text = read_project_file(str(path), key=key)
        except SettingsError as error:
            self._findings.add(included_at, "yaml", str(error))
            return None
        self._chain.append(resolved)
        self.files.add(path)
        try:
            return self.read_text(text, path)
        finally:
            self._chain.pop()

    def read_text(self, text: str, path: Path) -> YamlBlock | None:
        """Return the mapping in the text of a file, or add a finding and return None if there is none."""
        here = FileLine(path, 1)
        try:
            self._count_characters(text)
            node = _Loader(text, self._count_value).get_single_node()
            content = self._convert_node(node, here) if node else None
            if isinstance(content, YamlBlock):
                return content
            message = "the file has no line such as `name: value`: it must be a mapping"
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            here = FileLine(path, mark.line + 1 if mark else 1)
            # PyYAML quotes the file after the first words.
            problem = str(getattr(error, "problem", None) or "it cannot be read").partition(" '")[0]
            message = f"this is not valid YAML ({problem}): correct this line"
            if "'\\t'" in str(error):
                message = "there is a tab here, where YAML allows none: indent with spaces"
        except RecursionError:
            message = "the file is nested too deeply: simplify it"
        except _TooLargeError:
            message = "the file is too large with all that its aliases and includes repeat: simplify it"
        except (ValueError, OverflowError):  # a character that Unicode does not have
            message = "the file has a character that cannot be read: correct it"
        self._findings.add(here, "yaml", message)
        return None

    def _count_characters(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > _MOST_CHARACTERS:
            raise _TooLargeError

    def _count_value(self) -> None:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _TooLargeError

    def _convert_node(self, node: yaml.Node, place: FileLine) -> Any:
        self._count_value()  # once more for each alias
        if isinstance(node, yaml.SequenceNode):
            return [self._convert_node(item, FileLine(place.path, item.start_mark.line + 1)) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            text = node.value
            if node.style:  # in quotes, or a block of text
                return text
            return int(text) if _WHOLE_NUMBER.fullmatch(text) else _CONSTANTS.get(text, text)
        block = YamlBlock(place)
        # The mapping's own members take precedence over those of `<<`, wherever it is.
        own_keys: set[str] = set()
        for key, value in sorted(node.value, key=lambda pair: pair[0].value != "<<"):
            here = FileLine(place.path, key.start_mark.line + 1)
            if not isinstance(key, yaml.ScalarNode) or (key.tag == _INCLUDE and not isinstance(value, yaml.ScalarNode)):
                self._findings.add(here, "yaml", "a key, or the file to include, is no text: correct it")
            elif key.tag == _INCLUDE:
                block.include(self.read_file(here.path.parent / value.value, here))
            elif key.value == "<<":
                # Of several mappings, the first wins.
                for each in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
                    block.include(self._convert_node(each, here))
            else:
                if key.value in own_keys:
                    message = f"{mask_and_escape(key.value)} is twice in one mapping, which digdag refuses: remove one"
                    self._findings.add(here, "yaml", message)
                own_keys.add(key.value)
                block[key.value] = self._convert_node(value, here)
                block.places[key.value] = here
        return block
