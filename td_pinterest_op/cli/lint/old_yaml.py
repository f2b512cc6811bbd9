"""YAML with the files it includes, as digdag reads it: plain values, with the line of each key."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from td_pinterest_op.redaction.secret import escape_for_message

_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})")
_YAML_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
# Aliases and includes can make a small file grow without end.
_MOST_YAML_VALUES = 50_000


class FileLine(NamedTuple):
    """A line of a file, counted from 1."""

    path: Path
    line: int


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A problem in a workflow, with the fix in its message. `level`: `error` or `warning`."""

    path: Path
    line: int
    code: str  # the kind of problem, such as `class`
    message: str
    level: str = field(default="error", compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


class YamlBlock(dict[str, Any]):
    """A mapping of plain values, in which only whole numbers are numbers.

    `place`: of the mapping. `places`: of each key. `origins`: of values that a template takes from elsewhere, by key.
    """

    def __init__(self, place: FileLine) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, FileLine] = {}
        self.origins: dict[str, FileLine] = {}

    def get_block(self, key: str) -> "YamlBlock":
        """Return the mapping at `key`, or an empty one with the place of the value."""
        inner = self.get(key)
        return inner if isinstance(inner, YamlBlock) else YamlBlock(self.find_value_place(key))

    def find_value_place(self, key: str) -> FileLine:
        """Return the place of a value: where it is written, else its key, else the mapping."""
        return self.origins.get(key) or self.places.get(key, self.place)

    def update_with_places(self, content: Any) -> None:
        """Add the members of another mapping, which take precedence; other content has none."""
        if isinstance(content, YamlBlock):
            self.update(content)
            self.places |= content.places
            self.origins |= content.origins

    def merge(self, overrides: "YamlBlock") -> "YamlBlock":
        """Return a mapping with the members of both. Those of `overrides` take precedence, at every level."""
        merged = YamlBlock(overrides.place)
        merged.update_with_places(self)
        merged.update_with_places(overrides)
        for key, value in overrides.items():
            below = self.get(key)
            if isinstance(value, YamlBlock) and isinstance(below, YamlBlock):
                merged[key] = below.merge(value)
        return merged


class YamlReader:
    """Reads files, and collects findings about them. `files`: those that were read."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.files: set[Path] = set()
        self._left = _MOST_YAML_VALUES

    def add_finding(self, place: FileLine, code: str, message: str, *, level: str = "error") -> None:
        """Add a finding, once. `level`: `error` if a run fails or does harm, else `warning`."""
        text = escape_for_message(" ".join(message.split()))
        finding = Finding(path=place.path, line=place.line, code=code, message=text, level=level)
        if finding not in self.findings:
            self.findings.append(finding)

    def has_finding(self, place: FileLine) -> bool:
        """Whether there is a finding at `place`."""
        return any((finding.path, finding.line) == place for finding in self.findings)

    def read_file(self, path: Path, included_at: FileLine | None = None) -> YamlBlock | None:
        """Return a YAML file's mapping, or add a finding and return None if there is none.

        `included_at`: where another file includes it.
        """
        here = FileLine(path, 1)
        try:
            text = path.read_bytes().decode("utf-8-sig")
            self.files.add(path)
            node = yaml.compose(text, Loader=yaml.BaseLoader)
            content = self._convert_node(node, here) if node else None
            if isinstance(content, YamlBlock):
                return content
            message = "the file has no line such as `name: value`, and digdag refuses every workflow of the folder"
        except UnicodeDecodeError:
            message = "the file is not UTF-8: save it as UTF-8"
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            here = FileLine(path, mark.line + 1 if mark else 1)
            problem = str(getattr(error, "problem", "it cannot be read"))
            message = f"this is not valid YAML ({problem}), and digdag refuses every workflow of the folder"
            if "'\\t'" in problem:
                message = "there is a tab here, where YAML allows none: indent with spaces"
        except RecursionError:
            message = "the file is nested too deeply, or its aliases and includes repeat too much: simplify it"
        except (OSError, ValueError, OverflowError) as error:  # such as a name with a null character
            here = included_at or here
            message = f"{path} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}"
        self.add_finding(here, "yaml", message)
        return None

    def _convert_node(self, node: yaml.Node, place: FileLine) -> Any:
        self._left -= 1
        if self._left < 0:
            raise RecursionError
        if isinstance(node, yaml.SequenceNode):
            return [self._convert_node(item, FileLine(place.path, item.start_mark.line + 1)) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            text = node.value
            if node.style:  # in quotes, or a block of text
                return text
            return int(text) if _WHOLE_NUMBER.fullmatch(text) else _YAML_CONSTANTS.get(text, text)
        block = YamlBlock(place)
        # The mapping's own members take precedence over those of `<<`, wherever it is.
        for key, value in sorted(node.value, key=lambda pair: pair[0].value != "<<"):
            here = FileLine(place.path, key.start_mark.line + 1)
            name = str(key.value)
            if key.tag == "!include":
                block.update_with_places(self.read_file(place.path.parent / str(value.value), here))
            elif name == "<<":
                # Of several mappings, the first wins.
                for each in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
                    block.update_with_places(self._convert_node(each, here))
            else:
                block[name] = self._convert_node(value, here)
                block.places[name] = here
        return block
