"""A .dig file with the files it includes: plain values with the place of each, the tasks, and the findings."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from td_pinterest_op.cli.screen import replace_unprintable
from td_pinterest_op.settings.types import suggest_word

# Blocks that hold tasks, besides the names that begin with +.
_BLOCKS = ("_do", "_else_do", "_error", "_check")
# Its text, of a template that a run fills in from variables.
TEMPLATE = re.compile(r"\$\{(?!secret:)([^{}]*)\}")
# What digdag fills in: a template, or `$$`.
_FILLED_IN = re.compile(rf"{TEMPLATE.pattern}|\$\$(?!\{{)")
# A setting that may be left blank until the workflow is used.
_IS_OPEN = re.compile("audience_(id|name)")
TO_FILL_IN = "${}"
"""In place of such a setting's value, if it is blank."""
# As digdag reads one: 1_000, 0b11, 0x1F, and 017 by eights.
_WHOLE_NUMBER = re.compile(r"[-+]?(0b[01_]+|0x[0-9A-Fa-f_]+|0[0-7_]*|[1-9][0-9_]{0,30})")
_WORDS: Mapping[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_REFUSED = "digdag would refuse every workflow of the folder"
# Aliases and includes can make a small file grow without end.
_MOST_VALUES = 50_000


class Place(NamedTuple):
    """A line of a file, counted from 1."""

    path: Path
    line: int


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A problem in a workflow, with the fix in its message. `line` counts from 1. `level`: `error` or `warning`."""

    path: Path
    line: int
    code: str  # the kind of problem, such as `unknown-key`
    message: str
    level: str = field(default="error", compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


class Block(dict[str, Any]):
    """A YAML mapping of plain values, in which only whole numbers are numbers. `places`: the place of each key."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def get_block(self, *keys: str) -> "Block":
        """Return the mapping at the nested `keys`, or an empty one."""
        block = self
        for key in keys:
            inner = block.get(key)
            block = inner if isinstance(inner, Block) else Block(block.places.get(key, block.place))
        return block

    def add_members(self, content: Any) -> None:
        """Add the members of another mapping, if `content` is one. They take precedence."""
        if isinstance(content, Block):
            self.update(content)
            self.places |= content.places


@dataclass(kw_only=True)
class DigFile:
    """A workflow file and its findings. `root`: its content, empty if that is no valid workflow."""

    path: Path
    root: Block = field(default_factory=lambda: Block(Place(Path(), 1)))
    called: dict[Path, Block] = field(default_factory=dict)  # the workflows that it calls, with their content
    files: set[Path] = field(default_factory=set)  # what was read: the workflow, included files
    queries: dict[Path, str] = field(default_factory=dict)  # the SQL in the files that tasks name
    findings: list[Finding] = field(default_factory=list)
    _left: int = _MOST_VALUES  # how many more YAML values may be read

    @property
    def folder(self) -> Path:
        """The project folder, which contains the workflow file."""
        return self.path.parent

    @cached_property
    def other_workflows(self) -> Mapping[Path, str]:
        """The text of every other workflow of the folder."""
        paths = sorted(path for path in self.folder.glob("*.dig") if path != self.path and path.is_file())
        return {path: path.read_text(encoding="utf-8", errors="replace") for path in paths}

    @cached_property
    def is_called_by_others(self) -> bool:
        """Whether another workflow of the folder may call this workflow, and so pass on a job or a database."""
        name = re.compile(rf"call>:(?:(?!call>:).)*(?:\$\{{|\b{re.escape(self.path.stem)}\b)")
        return any(map(name.search, self.other_workflows.values()))

    def add_finding(self, place: Place, code: str, message: str, *, level: str = "error") -> None:
        """Add a finding, unless it exists already. `level`: `error` if a run fails or does harm, else `warning`."""
        text = replace_unprintable(" ".join(message.split()))
        finding = Finding(path=place.path, line=place.line, code=code, message=text, level=level)
        if finding not in self.findings:
            self.findings.append(finding)

    def add_warning(self, place: Place, code: str, message: str) -> None:
        """Add a finding about something that may be intentional."""
        self.add_finding(place, code, message, level="warning")

    def has_finding(self, place: Place, code: str = "") -> bool:
        """Whether the findings include one at this place. `code`: only of this kind, if it is given."""
        return any((finding.path, finding.line) == place and code in ("", finding.code) for finding in self.findings)

    def find_query(self, sql: str, at: int = -1) -> Place | None:
        """Return the place of the first SELECT of a query that is read from a file, or None for any other query.

        `at`: the position of what is meant in place of the SELECT.
        """
        path = next((path for path, text in self.queries.items() if sql and text.split() == sql.split()), None)
        return Place(path, sql[: at if at >= 0 else sql.lower().find("select")].count("\n") + 1) if path else None

    def walk(self) -> Iterator[tuple[Block, str, Any]]:
        """Yield what `walk` yields, for this workflow and those that `walk_tasks` has found to be called."""
        for root in (self.root, *self.called.values()):
            yield from walk(root)

    def walk_tasks(
        self, block: Block, name: str = "", inherited: Block | None = None, *, callers: tuple[Path, ...] = ()
    ) -> Iterator["DigTask"]:
        """Yield the task in a block, then the tasks nested in it, those of workflows that it calls included.

        A task in a loop over values that are written in the workflow is yielded once for each of them. `name`: the full
        name of the task. `inherited`: the `_export` parameters of its parents. `callers`: the workflows that call it.
        """
        exported = merge_blocks(inherited or Block(block.place), block.get_block("_export"))
        operator = find_operator(block)
        params = merge_blocks(exported, block)
        folder = (callers[-1] if callers else self.path).parent
        yield DigTask(name=name, block=block, operator=operator, exported=exported, params=params, folder=folder)
        path = self.folder / f"{str(block.get('call>')).removesuffix('.dig')}.dig"
        if path.is_file() and path not in (self.path, *callers):
            if path not in self.called:
                content = self.read_yaml(path)
                self.called[path] = content if isinstance(content, Block) else Block(Place(path, 1))
            yield from self.walk_tasks(self.called[path], name, exported, callers=(*callers, path))
        for key, member in block.items():
            if not isinstance(member, Block) or not (key.startswith("+") or key in _BLOCKS):
                continue
            lists = {}
            for variable, value in block.get_block("for_each>").items() if key == "_do" else ():
                if values := find_list(value, exported):
                    lists[variable] = values
            for each in product(*lists.values()):
                variables = Block(member.place)
                variables.update(zip(lists, each, strict=True))
                variables.places = block.get_block("for_each>").places
                yield from self.walk_tasks(member, name + key, merge_blocks(exported, variables), callers=callers)

    def read_yaml(self, path: Path) -> Any:
        """Return a YAML file's content. If it is not valid, add a finding and return None. Raises OSError.

        Raises RecursionError if the content is nested too deeply, or its aliases expand to too much.
        """
        self.files.add(path)
        try:
            node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
        except UnicodeDecodeError:
            self.add_finding(Place(path, 1), "yaml", "the file is not UTF-8: save it as UTF-8")
            return None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            place = Place(path, mark.line + 1 if mark else 1)
            problem = str(getattr(error, "problem", "it cannot be read"))
            if "'\\t'" in problem:
                message = f"there is a tab here, where YAML allows none: indent with spaces. {_REFUSED}"
                self.add_finding(place, "tab", message)
            else:
                self.add_finding(place, "yaml", f"not valid YAML ({problem}). {_REFUSED}")
            return None
        return self._convert_node(node, Place(path, 1)) if node else None

    def _convert_node(self, node: yaml.Node, place: Place) -> Any:
        """Return the value of a YAML node at a place, with mappings as `Block`."""
        self._left -= 1
        if self._left < 0:
            raise RecursionError
        if isinstance(node, yaml.SequenceNode):
            return [self._convert_node(item, Place(place.path, item.start_mark.line + 1)) for item in node.value]
        if not isinstance(node, yaml.MappingNode):
            text: str = node.value
            if node.tag.startswith("!include"):
                message = "digdag refuses this: write `!include : FILE`, with blanks around the colon, on its own line"
                self.add_finding(Place(place.path, node.start_mark.line + 1), "file", message)
                return self._read_included(text, place)
            if getattr(node, "style", None) is not None:  # quoted, or a block scalar
                return text
            if _WHOLE_NUMBER.fullmatch(text):
                return int(re.sub(r"^([-+]?)0(?=[0-7])", r"\g<1>0o", text.replace("_", "")), 0)
            return _WORDS.get(text, text)
        block = Block(place)
        own: set[str] = set()
        # The mapping's own members take precedence over those of `<<`, wherever it stands.
        for key, value in sorted(node.value, key=lambda pair: not _is_merge(pair[0])):
            here = Place(place.path, key.start_mark.line + 1)
            if key.tag == "!include":
                block.add_members(self._read_included(str(value.value), here))
            elif _is_merge(key):
                # Of several mappings, the first wins.
                for each in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
                    block.add_members(self._convert_node(each, here))
            else:
                name = str(key.value)
                if name in own:
                    self.add_finding(here, "duplicate-key", f"{name} is defined twice: digdag refuses that; keep one")
                own.add(name)
                block[name] = self._convert_node(value, here)
                block.places[name] = here
        return block

    def _read_included(self, name: str, here: Place) -> Any:
        """Return the content of the included file `name`. If that fails, add a finding at `here` and return None."""
        if ".." in Path(name).parts or Path(name).is_absolute():
            message = f"{name} is outside the project folder, so digdag does not include it: move it into the folder"
        else:
            try:
                return self.read_yaml(here.path.parent / name)
            except (OSError, ValueError):
                near = suggest_word(Path(name).name, [path.name for path in (here.path.parent / name).parent.glob("*")])
                near = near or "."
                message = f"the included file {name} does not exist{near} Its path is relative to {here.path.parent}/"
        self.add_finding(here, "file", message)
        return None


@dataclass(frozen=True, kw_only=True)
class DigTask:
    """A task or group of tasks (`operator` None). `exported`: the `_export` parameters of the task and its parents.

    `params`: all parameters, of which its own take precedence. `folder`: of its workflow, where it runs.
    """

    name: str
    block: Block
    operator: str | None
    exported: Block
    params: Block
    folder: Path

    @property
    def command(self) -> Any:
        """The operator's value, such as the class name after `py>`, or None if there is no operator."""
        return self.block.get(f"{self.operator}>")

    @property
    def place(self) -> Place:
        """The place of the operator, or of the group."""
        return self.block.places.get(f"{self.operator}>", self.block.place)

    def find_definition(self, name: str) -> Place | None:
        """Return the place where a variable such as `target.audience_id` is exported, or None if it is not."""
        path, _, last = name.strip().rpartition(".")
        owner = find_variable(path, self.exported) if path else self.exported
        return owner.places.get(last) if isinstance(owner, Block) else None

    def fill(self, value: Any) -> Any:
        """Return a plain value with its templates filled in, except for those that only a run can fill in.

        A blank id or name of an audience becomes TO_FILL_IN: it is yet to be entered in a file of settings.
        """
        if isinstance(value, dict):
            filled = {key: self.fill(member) for key, member in value.items()}
            blank = [key for key in filled if value[key] and filled[key] == "" and _IS_OPEN.match(key)]
            return filled | dict.fromkeys(blank, TO_FILL_IN)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return _FILLED_IN.sub(self._find_value, value) if isinstance(value, str) else value

    def _find_value(self, template: re.Match[str]) -> str:
        """Return the text for a template: the `_export` parameter that it names, or the template itself without one.

        The text for `$$` is `$`.
        """
        if template[0] == "$$":
            return "$"
        found = find_variable(template[1], self.exported, template[0])
        return json.dumps(found) if isinstance(found, dict | list) else str("" if found is None else found)


def find_list(value: Any, exported: Block) -> list[Any] | None:
    """Return a value that is a list, or the list that it names as a template; None for any other value."""
    named = TEMPLATE.fullmatch(value) if isinstance(value, str) else None
    found = find_variable(named[1], exported) if named else value
    return found if isinstance(found, list) else None


def find_variable(name: str, exported: Block, default: Any = None) -> Any:
    """Return the value of a variable such as `target.audience_id` in `exported`, or the default if it is not there."""
    found: Any = exported
    for part in name.strip().split("."):
        found = found.get(part, default) if isinstance(found, Block) else default
    return found


def read_workflow(path: Path) -> DigFile:
    """Return the workflow in a file, with findings about its YAML. Raises OSError if the file cannot be opened."""
    dig = DigFile(path=path)
    content = None
    try:
        content = dig.read_yaml(path)
    except RecursionError:
        message = "the file is nested too deeply, or its anchors, aliases and includes repeat too much: simplify it"
        dig.add_finding(Place(path, 1), "yaml", message)
    if isinstance(content, Block):
        dig.root = content
    elif not dig.findings:
        message = "this file is not a workflow: a workflow is a mapping of tasks whose names begin with +"
        dig.add_finding(Place(path, 1), "yaml", message)
    return dig


def find_operator(block: Block) -> str | None:
    """Return the name of the operator that a task has, such as `py`, or None if it has none."""
    return next((key[:-1] for key in block if key.endswith(">")), None)


def _is_merge(key: yaml.Node) -> bool:
    """Whether the key of a YAML mapping is `<<`."""
    return bool(key.value == "<<" and getattr(key, "style", None) is None)


def walk(block: Block) -> Iterator[tuple[Block, str, Any]]:
    """Yield each mapping, key and value in a block, at any depth. The items of a list follow under the list's key."""
    waiting = [(block, key, value) for key, value in block.items()]
    while waiting:
        owner, key, value = waiting.pop()
        yield owner, key, value
        if isinstance(value, Block):
            waiting += [(value, name, member) for name, member in value.items()]
        elif isinstance(value, list):
            waiting += [(owner, key, item) for item in value]


def merge_blocks(base: Block, over: Block) -> Block:
    """Return a block with the members of both. Those of `over` take precedence, at every level of nesting."""
    merged = Block(over.place)
    merged.add_members(base)
    merged.add_members(over)
    for key in base.keys() & over.keys():
        if isinstance(base[key], Block) and isinstance(over[key], Block):
            merged[key] = merge_blocks(base[key], over[key])
    return merged
