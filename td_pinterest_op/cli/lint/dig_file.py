"""A .dig file with the files it includes: each value with its file and line, the tasks, and the findings."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from td_pinterest_op.cli.screen import replace_unprintable
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.structures import read_scalar

# Blocks that hold tasks, besides the names that begin with +.
BLOCKS = ("_do", "_else_do", "_error", "_check")
_TEMPLATE = re.compile(r"\$\{(?!secret:)([^{}]*)\}")
_GLUED_INCLUDE = re.compile(r"^[ \t]*!include:", re.MULTILINE)
_SPACE_MISSING = "write `!include : 'file'` on a line of its own, with a space before the colon"
_DOTTED = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*")


class UnknownValueError(Exception):
    """Raised for a template whose value is known only while the workflow runs."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """A problem in a workflow, with the fix in its message. `line` counts from 1. `level`: `error` or `warning`."""

    path: Path
    line: int
    code: str
    message: str
    level: str = field(default="error", compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A YAML value with its file and line number. `quoted`: whether it is in quotes, or a block scalar."""

    value: "str | int | bool | dict[str, Value] | list[Value] | None"
    path: Path
    line: int
    quoted: bool = False

    @property
    def mapping(self) -> "dict[str, Value]":
        """The members if the value is a mapping, or else an empty mapping."""
        return self.value if isinstance(self.value, dict) else {}

    def get(self, *keys: str) -> "Value | None":
        """Return the value at the nested `keys`, or None if a key is missing."""
        value: Value | None = self
        for key in keys:
            value = value.mapping.get(key) if value else None
        return value

    def to_plain(self) -> object:
        """Return the value as plain Python types, without line numbers."""
        if isinstance(self.value, dict):
            return {key: member.to_plain() for key, member in self.value.items()}
        if isinstance(self.value, list):
            return [item.to_plain() for item in self.value]
        return self.value

    def walk(self) -> "Iterator[Value]":
        """Yield this value and all values nested in it."""
        yield self
        members = self.value.values() if isinstance(self.value, dict) else self.value
        for member in members if not isinstance(members, str | int | None) else ():
            yield from member.walk()


@dataclass(slots=True, kw_only=True)
class DigFile:
    """A workflow file and its findings."""

    path: Path
    root: Value | None = None  # None if the file is not valid YAML
    included: dict[Path, Value] = field(default_factory=dict)  # included file: place of the first include
    findings: list[Finding] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The project folder, which contains the workflow file."""
        return self.path.parent

    def add_error(self, at: Value, code: str, message: str) -> None:
        """Add an error at the line of the value `at`: a finding about something that makes a run fail or does harm."""
        self._add_finding(at, code, message, level="error")

    def add_warning(self, at: Value, code: str, message: str) -> None:
        """Add a warning at the line of the value `at`: a finding about something that may be intentional."""
        self._add_finding(at, code, message, level="warning")

    def add_refusal(self, within: Value, code: str, error: SettingsError) -> None:
        """Add an error for each problem of a SettingsError, at the line of its key in the mapping `within`."""
        for problem in error.problems:
            self.add_error(within.get(problem.key) or within, code, problem.text)

    def _add_finding(self, at: Value, code: str, message: str, *, level: str) -> None:
        """Add a finding with these texts at the line of the value `at`, unless the same finding exists already."""
        text = replace_unprintable(" ".join(message.split()))
        finding = Finding(path=at.path, line=at.line, code=code, message=text, level=level)
        if finding not in self.findings:
            self.findings.append(finding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task or group of tasks (`operator` None). `exported`: the `_export` parameters of the task and its parents."""

    name: str
    value: Value
    operator: str | None
    exported: Mapping[str, Any]
    parents: tuple[Value, ...]

    @property
    def command(self) -> Value | None:
        """The operator's value, such as the class name after `py>`, or None if there is no operator."""
        return self.value.get(f"{self.operator}>") if self.operator else None

    def get_exported(self, *keys: str) -> Any:
        """Return the value of the `_export` parameter at the nested `keys`, or None if a key is missing."""
        value: Any = self.exported
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def fill_templates(self, value: Value) -> object:
        """Return a YAML value with its templates filled in. Raises UnknownValueError if only a run can fill them in."""
        return _fill_templates(value.to_plain(), self.exported)

    def fill_text(self, value: Value) -> str:
        """Return a value with its templates filled in, or "" if the result is no string or known only during a run."""
        try:
            text = self.fill_templates(value)
        except UnknownValueError:
            return ""
        return text if isinstance(text, str) else ""


def read_workflow(path: Path) -> DigFile:
    """Return the workflow in a file, with findings about its YAML. Raises OSError if the file cannot be opened."""
    dig = DigFile(path=path)
    dig.root = _YamlReader(dig).read_file(path)
    if not (dig.root and isinstance(dig.root.value, dict)):
        dig.root = None
        if not dig.findings:
            dig.add_error(
                make_place(path),
                "yaml",
                "this file is not a workflow: a workflow is a mapping of tasks whose names begin with +",
            )
    return dig


def make_place(path: Path, line: int = 1) -> Value:
    """Return an empty Value that marks a line of a file as the location of a finding."""
    return Value(value=None, path=path, line=line)


class _YamlReader:
    """Reads the YAML of a workflow and of its included files, and adds findings about the YAML to the workflow."""

    def __init__(self, dig: DigFile) -> None:
        self._dig = dig
        self._open: list[Path] = []

    def read_file(self, path: Path) -> Value | None:
        """Return a YAML file's content as a Value. If the file is unreadable, add a finding and return None."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self._dig.add_error(make_place(path), "yaml", "the file is not UTF-8: save it as UTF-8")
            return None
        node = self._parse_yaml(path, text)
        self._open.append(path)
        try:
            return None if node is None else self._convert_node(node, path, node.start_mark.line + 1)
        except RecursionError:
            self._dig.add_error(
                make_place(path), "yaml", "a YAML anchor contains itself, or the file is nested too deeply: simplify it"
            )
            return None
        finally:
            self._open.pop()

    def _parse_yaml(self, path: Path, text: str) -> yaml.Node | None:
        """Return the root node of YAML text. If the text is not valid YAML, add a finding and return None."""
        try:
            return yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            problem = str(getattr(error, "problem", "it cannot be read"))
        code, line, refused = "yaml", mark.line + 1 if mark else 1, "digdag would refuse every workflow of the folder"
        if "'\\t'" in problem:
            code, message = "tab", f"there is a tab here, where YAML allows none: indent with spaces. {refused}"
        elif include := _GLUED_INCLUDE.search(text):
            line, message = text.count("\n", 0, include.start()) + 1, _SPACE_MISSING
        else:
            message = f"not valid YAML ({problem}). {refused}"
        self._dig.add_error(make_place(path, line), code, message)
        return None

    def _convert_node(self, node: yaml.Node, path: Path, line: int) -> Value:
        """Return a YAML node and all nested nodes as a `Value`. `path`, `line`: the file and the line of the node."""
        if node.tag.startswith("!include"):
            self._dig.add_error(make_place(path, node.start_mark.line + 1), "yaml", _SPACE_MISSING)
        if isinstance(node, yaml.MappingNode):
            return Value(value=self._convert_mapping(node, path), path=path, line=line)
        if isinstance(node, yaml.SequenceNode):
            items = [self._convert_node(item, path, item.start_mark.line + 1) for item in node.value]
            return Value(value=items, path=path, line=line)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - YAML knows no fourth kind
        value = read_scalar(node)
        return Value(value=value, path=path, line=line, quoted=node.style is not None)  # type: ignore[arg-type]

    def _convert_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Value]:
        """Return the members of a YAML mapping, including those merged by `<<` and those of included files."""
        members: dict[str, Value] = {}
        own = set()
        for key, value in node.value:
            here = make_place(path, key.start_mark.line + 1)
            name = str(key.value)
            if key.tag == "!include":
                members |= self._read_included(str(value.value), here)
            elif name == "<<" and key.style is None:
                # A mapping, or several, of which the first wins.
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    members = self._convert_node(each, path, here.line).mapping | members
            else:
                if name in own:
                    message = f"{name} is defined twice: digdag refuses duplicate keys"
                    self._dig.add_error(here, "duplicate-key", message)
                own.add(name)
                members[name] = self._convert_node(value, path, here.line)
        return members

    def _read_included(self, name: str, here: Value) -> dict[str, Value]:
        """Return the members of the included file `name`. If that fails, add a finding at `here` and return {}."""
        target = here.path.parent / name
        if ".." in Path(name).parts:
            self._dig.add_error(
                here,
                "left-out",
                f"{name} has a path with `..`, so digdag does not include this file: move it into the project folder",
            )
        elif target in self._open:
            self._dig.add_error(here, "yaml", f"{name} includes itself")
        else:
            try:
                included = self.read_file(target)
            except OSError:
                message = f"the included file {name} does not exist: its path is relative to {here.path.parent}/"
                self._dig.add_error(here, "left-out", message)
            else:
                self._dig.included.setdefault(target, here)
                return included.mapping if included else {}
        return {}


def walk_tasks(
    value: Value, name: str = "", exported: Mapping[str, Any] = MappingProxyType({}), parents: tuple[Value, ...] = ()
) -> Iterator[Task]:
    """Yield the task in a YAML value, then the tasks nested in it. `exported`: `_export` parameters of its parents."""
    own = value.get("_export")
    exported = _merge_nested(exported, own.to_plain()) if own else exported
    operator = next((key[:-1] for key in value.mapping if key.endswith(">")), None)
    yield Task(name=name, value=value, operator=operator, exported=exported, parents=parents)
    for key, member in value.mapping.items():
        if key.startswith("+") or key in BLOCKS:
            yield from walk_tasks(member, name + key, exported, (*parents, value))


def _merge_nested(base: Mapping[str, Any], over: object) -> dict[str, Any]:
    """Return a copy of the mapping `base` in which the values of `over` take precedence, at every level of nesting."""
    merged = dict(base)
    for key, value in over.items() if isinstance(over, dict) else ():
        old = merged.get(key)
        merged[key] = _merge_nested(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _fill_templates(value: object, params: Mapping[str, Any]) -> object:
    """Return a value with all templates in it filled in from `params`. Raises UnknownValueError."""
    if isinstance(value, dict):
        return {key: _fill_templates(member, params) for key, member in value.items()}
    if isinstance(value, list):
        return [_fill_templates(item, params) for item in value]
    if isinstance(value, str):
        return _TEMPLATE.sub(lambda match: _look_up_parameter(match[1].strip(), params), value)
    return value


def _look_up_parameter(name: str, params: Mapping[str, Any]) -> str:
    """Return the value of the parameter `name` as text. Raises UnknownValueError if `params` has no such parameter."""
    value: object = params
    for part in name.split(".") if _DOTTED.fullmatch(name) else [""]:
        if not isinstance(value, dict) or part not in value:
            raise UnknownValueError
        value = value[part]
    value = _fill_templates(value, params)
    if isinstance(value, dict | list):
        raise UnknownValueError
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
