"""A .dig file with the files that it includes, every value with the file and the line in which it stands; findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from td_pinterest_op.settings import text as setting_text

_INCLUDE = "!include"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One problem and its cure. `line` counts from 1. An `error` ends a run or does harm; a warning may be wanted."""

    path: Path
    line: int
    code: str
    message: str
    is_error: bool = field(default=True, compare=False)

    def text(self) -> str:
        """`path:line: code: message`, on one line."""
        return f"{self.path}:{self.line}: {self.code}: {' '.join(self.message.split())}"

    def to_json(self) -> dict[str, object]:
        """The finding for programs."""
        return {
            "path": str(self.path),
            "line": self.line,
            "code": self.code,
            "level": "error" if self.is_error else "warning",
            "message": self.message,
        }

    def github(self) -> str:
        """The finding as a command of GitHub Actions, which shows it beside the line."""
        kind = "error" if self.is_error else "warning"
        path = _escaped(str(self.path)).replace(":", "%3A").replace(",", "%2C")
        return f"::{kind} file={path},line={self.line},title={self.code}::{_escaped(self.message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value and its place: `line` is that of its key, or its own. `quoted`: written with quotes, or as a block."""

    value: str | int | bool | dict[str, Value] | list[Value] | None
    path: Path
    line: int
    quoted: bool = False

    @property
    def mapping(self) -> dict[str, Value]:
        """The members, empty for what is no mapping."""
        return self.value if isinstance(self.value, dict) else {}

    def get(self, *keys: str) -> Value | None:
        """The value below nested keys, None where one is missing."""
        value: Value | None = self
        for key in keys:
            value = value.mapping.get(key) if value else None
        return value

    def plain(self) -> object:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: member.plain() for key, member in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def walk(self) -> Iterator[Value]:
        """This value and every value below it."""
        yield self
        members = self.value.values() if isinstance(self.value, dict) else self.value
        for member in members if not isinstance(members, str | int | None) else ():
            yield from member.walk()


@dataclass(slots=True, kw_only=True)
class DigFile:
    """`root` is None when the file cannot be read as YAML. `texts`: the file and all that it includes, by path."""

    path: Path
    root: Value | None = None
    texts: dict[Path, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.path.parent

    def find(self, at: Value | int, code: str, message: str, *, error: bool = True) -> None:
        """Note a finding at a value, or at a line of the file itself."""
        path, line = (at.path, at.line) if isinstance(at, Value) else (self.path, at)
        finding = Finding(path=path, line=line, code=code, message=message, is_error=error)
        if finding not in self.findings:
            self.findings.append(finding)


def read(path: Path) -> DigFile:
    """The file. Raises OSError when it cannot be opened."""
    made = DigFile(path=path)
    made.root = _Reader(made).file(path)
    if made.root is None and made.findings:
        return made
    if made.root is None or not isinstance(made.root.value, dict):
        made.find(1, "yaml", "this is no workflow: a mapping of tasks is wanted, whose names begin with +")
        made.root = None
    return made


class _Reader:
    def __init__(self, dig: DigFile) -> None:
        self._dig = dig
        self._open: list[Path] = []

    def file(self, path: Path) -> Value | None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self._dig.find(_place(path, 1), "yaml", "the file is not UTF-8: save it as UTF-8")
            return None
        self._dig.texts[path] = text
        node = self._composed(path, text)
        self._open.append(path)
        try:
            return None if node is None else self._value(node, path, node.start_mark.line + 1)
        except RecursionError:
            self._dig.find(_place(path, 1), "yaml", "an anchor holds itself, or the file is nested too deeply")
            return None
        finally:
            self._open.pop()

    def _composed(self, path: Path, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            mark, problem = error.problem_mark or error.context_mark, str(error.problem)
        except yaml.YAMLError:
            mark, problem = None, "it cannot be read"
        code, message = "yaml", f"not valid YAML ({problem})"
        if "'\\t'" in problem:
            code, message = "tab", "a tab stands here, where YAML allows none: indent with spaces"
        line = mark.line + 1 if mark else 1
        self._dig.find(_place(path, line), code, f"{message}. digdag would refuse every workflow of the folder")
        return None

    def _value(self, node: yaml.Node, path: Path, line: int) -> Value:
        if isinstance(node, yaml.MappingNode):
            return Value(value=self._mapping(node, path), path=path, line=line)
        if isinstance(node, yaml.SequenceNode):
            items = [self._value(item, path, item.start_mark.line + 1) for item in node.value]
            return Value(value=items, path=path, line=line)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - YAML knows no fourth kind
        value = setting_text.scalar(node)
        return Value(value=value, path=path, line=line, quoted=node.style is not None)  # type: ignore[arg-type]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Value]:
        members: dict[str, Value] = {}
        own = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if key.tag == _INCLUDE:
                members |= self._included(value, path, line)
            elif name == "<<" and key.style is None:
                members = self._merged(value, path) | members
            else:
                if name in own:
                    message = f"{name} stands here for the second time: digdag refuses a key that is given twice"
                    self._dig.find(_place(path, line), "duplicate-key", message)
                own.add(name)
                members[name] = self._value(value, path, line)
        return members

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Value]:
        """What `<<` names: a mapping, or several, of which the first wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Value] = {}
        for each in nodes:
            merged = self._value(each, path, each.start_mark.line + 1).mapping | merged
        return merged

    def _included(self, node: yaml.Node, path: Path, line: int) -> dict[str, Value]:
        here = _place(path, line)
        name = str(node.value)
        target = path.parent / name
        if ".." in Path(name).parts:
            self._dig.find(here, "left-out", f"{name} is outside the project folder: digdag includes no path with ..")
            return {}
        if target in self._open:
            self._dig.find(here, "yaml", f"{name} includes itself")
            return {}
        try:
            included = self.file(target)
        except OSError:
            self._dig.find(
                here, "left-out", f"the included file {name} is not there: its path begins at {path.parent}/"
            )
            return {}
        return included.mapping if included else {}


def _place(path: Path, line: int) -> Value:
    return Value(value=None, path=path, line=line)
