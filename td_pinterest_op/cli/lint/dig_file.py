"""A .dig file with what it includes: every value with its file and line, the tasks, and what is found wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from td_pinterest_op.settings import text as setting_text

# Blocks that hold tasks, besides the names that begin with +.
BLOCKS = ("_do", "_else_do", "_error", "_check")
_TEMPLATE = re.compile(r"\$\{(?!secret:)([^{}]*)\}")
_GLUED_INCLUDE = re.compile(r"^[ \t]*!include:", re.MULTILINE)
_SPACE_MISSING = "write `!include : 'file'` on a line of its own, with a space before the colon"
_DOTTED = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*")


class UnknownError(Exception):
    """A template's value is known only when the workflow runs."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One problem and its cure. `line` counts from 1. An `error` ends a run or does harm; a `warning` may be wanted."""

    path: Path
    line: int
    code: str
    message: str
    level: str = field(default="error", compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


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
    """`root` is None when the file cannot be read as YAML. `included`: the files that it includes, and where."""

    path: Path
    root: Value | None = None
    included: dict[Path, Value] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.path.parent

    def find(self, at: Value, code: str, message: str, *, error: bool = True) -> None:
        """Note a finding at a value."""
        level = "error" if error else "warning"
        finding = Finding(path=at.path, line=at.line, code=code, message=" ".join(message.split()), level=level)
        if finding not in self.findings:
            self.findings.append(finding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as written. `operator` is None for a group. `exported` are the parameters that it inherits."""

    name: str
    value: Value
    operator: str | None
    exported: Mapping[str, Any]
    parents: tuple[Value, ...]

    @property
    def command(self) -> Value | None:
        """The value of the operator."""
        return self.value.get(f"{self.operator}>") if self.operator else None

    def filled(self, value: Value) -> object:
        """A value with its templates filled in. Raises UnknownError where that needs a run."""
        return _filled(value.plain(), self.exported)

    def text(self, value: Value) -> str:
        """A value with its templates filled in; "" for what is no text, or known only when the workflow runs."""
        try:
            filled = self.filled(value)
        except UnknownError:
            return ""
        return filled if isinstance(filled, str) else ""


def read(path: Path) -> DigFile:
    """The file. Raises OSError when it cannot be opened."""
    dig = DigFile(path=path)
    dig.root = _Reader(dig).file(path)
    if not (dig.root and isinstance(dig.root.value, dict)):
        dig.root = None
        if not dig.findings:
            dig.find(place(path), "yaml", "this is no workflow: a mapping of tasks is wanted, whose names begin with +")
    return dig


def place(path: Path, line: int = 1) -> Value:
    """A line of a file, to note a finding at."""
    return Value(value=None, path=path, line=line)


class _Reader:
    def __init__(self, dig: DigFile) -> None:
        self._dig = dig
        self._open: list[Path] = []

    def file(self, path: Path) -> Value | None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self._dig.find(place(path), "yaml", "the file is not UTF-8: save it as UTF-8")
            return None
        node = self._composed(path, text)
        self._open.append(path)
        try:
            return None if node is None else self._value(node, path, node.start_mark.line + 1)
        except RecursionError:
            self._dig.find(place(path), "yaml", "an anchor holds itself, or the file is nested too deeply")
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
            code, message = "tab", "there is a tab here, where YAML allows none: indent with spaces"
        elif include := _GLUED_INCLUDE.search(text):
            mark, line_text = None, text.count("\n", 0, include.start()) + 1
            self._dig.find(place(path, line_text), code, _SPACE_MISSING)
            return None
        line = mark.line + 1 if mark else 1
        self._dig.find(place(path, line), code, f"{message}. digdag would refuse every workflow of the folder")
        return None

    def _value(self, node: yaml.Node, path: Path, line: int) -> Value:
        if node.tag.startswith("!include"):
            self._dig.find(place(path, node.start_mark.line + 1), "yaml", _SPACE_MISSING)
        if isinstance(node, yaml.MappingNode):
            return Value(value=self._mapping(node, path), path=path, line=line)
        if isinstance(node, yaml.SequenceNode):
            items = [self._value(item, path, item.start_mark.line + 1) for item in node.value]
            return Value(value=items, path=path, line=line)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - YAML knows no fourth kind
        value = setting_text.read_scalar(node)
        return Value(value=value, path=path, line=line, quoted=node.style is not None)  # type: ignore[arg-type]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Value]:
        members: dict[str, Value] = {}
        own = set()
        for key, value in node.value:
            here = place(path, key.start_mark.line + 1)
            name = str(key.value)
            if key.tag == "!include":
                members |= self._included(str(value.value), here)
            elif name == "<<" and key.style is None:
                # A mapping, or several, of which the first wins.
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    members = self._value(each, path, here.line).mapping | members
            else:
                if name in own:
                    message = f"{name} is defined twice: digdag refuses a key that is given twice"
                    self._dig.find(here, "duplicate-key", message)
                own.add(name)
                members[name] = self._value(value, path, here.line)
        return members

    def _included(self, name: str, here: Value) -> dict[str, Value]:
        target = here.path.parent / name
        if ".." in Path(name).parts:
            self._dig.find(here, "left-out", f"{name} is outside the project folder: digdag includes no path with ..")
        elif target in self._open:
            self._dig.find(here, "yaml", f"{name} includes itself")
        else:
            try:
                included = self.file(target)
            except OSError:
                message = f"the included file {name} is not there: its path begins at {here.path.parent}/"
                self._dig.find(here, "left-out", message)
            else:
                self._dig.included.setdefault(target, here)
                return included.mapping if included else {}
        return {}


def tasks(
    value: Value, name: str = "", exported: Mapping[str, Any] = MappingProxyType({}), parents: tuple[Value, ...] = ()
) -> Iterator[Task]:
    """Every task and group, from the outside in."""
    given = value.get("_export")
    exported = _merged(exported, given.plain()) if given else exported
    operator = next((key[:-1] for key in value.mapping if key.endswith(">")), None)
    yield Task(name=name, value=value, operator=operator, exported=exported, parents=parents)
    for key, member in value.mapping.items():
        if key.startswith("+") or key in BLOCKS:
            yield from tasks(member, name + key, exported, (*parents, value))


def _merged(base: Mapping[str, Any], over: object) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items() if isinstance(over, dict) else ():
        held = merged.get(key)
        merged[key] = _merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return merged


def _filled(value: object, params: Mapping[str, Any]) -> object:
    if isinstance(value, dict):
        return {key: _filled(member, params) for key, member in value.items()}
    if isinstance(value, list):
        return [_filled(item, params) for item in value]
    return _TEMPLATE.sub(lambda match: _looked_up(match[1].strip(), params), value) if isinstance(value, str) else value


def _looked_up(name: str, params: Mapping[str, Any]) -> str:
    value: object = params
    for part in name.split(".") if _DOTTED.fullmatch(name) else [""]:
        if not isinstance(value, dict) or part not in value:
            raise UnknownError
        value = value[part]
    value = _filled(value, params)
    if isinstance(value, dict | list):
        raise UnknownError
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
