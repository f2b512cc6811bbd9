"""The tasks of a workflow, with `${name}` filled in as far as the file knows it."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from td_pinterest_op.cli.lint.old_yaml import FileLine, YamlBlock, YamlReader
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.parse import parse_raw_settings

TEMPLATE_PATTERN = re.compile(r"\$\{(?!\s*secret:)([^{}]*)\}")
"""What digdag fills in, with its expression: not a secret, which it fills in elsewhere."""
_TEMPLATE_OR_DOLLARS = re.compile(rf"{TEMPLATE_PATTERN.pattern}|\$\$(?!\{{)")
# Blocks that hold tasks, besides the names that begin with +.
_TASK_BLOCK_KEYS = ("_do", "_else_do", "_error", "_check")
_VARIABLE_PATTERN = re.compile(r"\s*([A-Za-z_]\w*)(?:\.\w+)*\s*")
# What digdag, its loops and its operators define.
_DIGDAG_VARIABLE_PATTERN = re.compile(
    r"(last_|next_|last_executed_)?session_\w+|(task|project|workflow)_(name|id)|attempt_id|timezone|moment|error|td|http"
    r"|i|range|pinterest(_many|_status|_erasure|_lift)?"
)
# Operators of tasks that may define any variable.
_VARIABLE_DEFINING_OPERATORS = ("py", "rb", "sh", "call", "require", "param_get")
# How deep a value is in the parameters of a task. `_LITERAL`: in a variable, where digdag fills in nothing.
_PARAMETERS, _PARAMETER, _NESTED, _LITERAL = range(4)


@dataclass(frozen=True, kw_only=True)
class DigTask:
    """A task or a group. `block`: its own keys. `exported`: the `_export` of the task and its parents.

    `loop_variables`: the variables whose values only a run knows. `key_path`: the keys that lead to it from the root,
    such as +group, _do, +export.
    """

    block: YamlBlock
    exported: YamlBlock
    loop_variables: frozenset[str]
    key_path: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """Its groups' names and its own, such as +group+export, or "" for the workflow."""
        return "".join(key for key in self.key_path if key.startswith("+"))

    @property
    def operator(self) -> str:
        """The operator, such as `py`, or "" for a group."""
        return next((key[:-1] for key in self.block if key.endswith(">")), "")

    @property
    def package_class_name(self) -> str:
        """The class of this package that the task runs, or ""."""
        name = str(self.block["py>"]).removesuffix(".run") if self.operator == "py" else ""
        return name if name.startswith("td_pinterest_op.") else ""

    @property
    def place(self) -> FileLine:
        """The place of the operator, or of the group."""
        return self.block.places.get(f"{self.operator}>", self.block.place)

    def get_filled_params(self) -> YamlBlock:
        """Return the parameters of the task, filled in, without directives and subtasks."""
        merged = self.exported.merge(self.block)
        for name in [name for name in merged if name[:1] in ("_", "+") or name.endswith(">")]:
            del merged[name]
        filled: YamlBlock = self.fill_templates(merged, _PARAMETERS)
        return filled

    def find_builtin_connector_settings(self) -> YamlBlock | None:
        """Return the settings of a td> task with the built-in connector, or None for another task."""
        params = self.get_filled_params()
        settings = params.get_block("result_settings")
        with contextlib.suppress(SettingsError):
            settings.update(parse_task_settings(params))
        is_typed = str(settings.get("type")).strip().lower() == "pinterest"
        is_ours = is_typed or ("result_connection" in params and settings.keys() >= {"ad_account_id", "audience_type"})
        return settings if self.operator == "td" and is_ours else None

    def fill_templates(self, value: Any, depth: int = _NESTED) -> Any:
        """Return a plain value in which each `${name}` that the file knows is filled in, and each `$$` is `$`.

        As in digdag, a variable's value is filled in itself where a parameter names it; deeper, it counts as written.
        """
        if isinstance(value, list):
            return [self.fill_templates(item, max(depth, _NESTED)) for item in value]
        if isinstance(value, YamlBlock):
            filled = YamlBlock(value.place)
            filled.update_with_places(value)
            for key, member in value.items():
                filled[key] = self.fill_templates(member, _PARAMETER if depth == _PARAMETERS else max(depth, _NESTED))
                if named := self._find_sole_variable(member):
                    filled.origins[key] = named[1]
            return filled
        if not isinstance(value, str):
            return value
        if depth == _LITERAL:
            return re.sub(r"\$\{(?!\s*secret:)", "$ {", value)
        named = self._find_sole_variable(value)
        if named and not isinstance(named[0], str):
            return self.fill_templates(named[0], depth if depth == _PARAMETER else _LITERAL)

        def find_text(template: re.Match[str]) -> str:
            if template[0] == "$$":
                return "$"
            found = self.find_variable(template[1])
            if found is None:
                return template[0]
            text = self.fill_templates(found[0], depth + 1)
            return text if isinstance(text, str) else json.dumps(text)

        return _TEMPLATE_OR_DOLLARS.sub(find_text, value)

    def find_variable(self, expression: str) -> tuple[Any, FileLine] | None:
        """Return the value and the place of a variable such as `target.audience_id`, or None if it is unknown."""
        names = expression.strip().split(".")
        found: Any = None if names[0] in self.loop_variables else self.exported
        place = self.exported.place
        for name in names:
            if not isinstance(found, YamlBlock) or name not in found:
                return None
            place = found.places[name]
            found = found[name]
        return "" if found is None else found, place

    def list_undefined_names(self, text: str) -> list[str]:
        """Return the names in the templates of a text that the file does not define."""
        names = []
        for expression in TEMPLATE_PATTERN.findall(text):
            path = _VARIABLE_PATTERN.fullmatch(expression)
            is_open = path is None or path[1] in self.loop_variables or _DIGDAG_VARIABLE_PATTERN.fullmatch(path[1])
            if not is_open and self.find_variable(expression) is None:
                names.append(expression.strip())
        return names

    def _find_sole_variable(self, value: Any) -> tuple[Any, FileLine] | None:
        """Call `find_variable` for a value that is one template and nothing else."""
        template = TEMPLATE_PATTERN.fullmatch(value.strip()) if isinstance(value, str) else None
        return self.find_variable(template[1]) if template else None


class Workflow(YamlReader):
    """A .dig file with the files it includes, its tasks, and the findings about it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.root = self.read_file(path) or YamlBlock(FileLine(path, 1))
        self.tasks = list(_walk_tasks(self.root, YamlBlock(self.root.place), frozenset(), ()))
        # Whether no program of a task, and no workflow that calls this one, may define variables.
        self.knows_all_variables = False
        operators = {each.operator for each in self.tasks if not each.package_class_name}
        called = re.compile(rf"\$\{{|\b{re.escape(path.stem)}\b")
        others = [each for each in path.parent.glob("*.dig") if each != path]
        with contextlib.suppress(OSError):
            texts = [each.read_text(encoding="utf-8", errors="replace") for each in others]
            names = [line.partition("call>:")[2] for text in texts for line in text.splitlines()]
            is_called = any(map(called.search, names))
            self.knows_all_variables = operators.isdisjoint(_VARIABLE_DEFINING_OPERATORS) and not is_called


def parse_task_settings(params: YamlBlock) -> dict[str, Any]:
    """Return the settings of a task, from a mapping or its text. Raises SettingsError for anything else."""
    return {str(name): value for name, value in parse_raw_settings(params.get("result_settings")).items()}


def _walk_tasks(
    block: YamlBlock, inherited: YamlBlock, loop_variables: frozenset[str], key_path: tuple[str, ...]
) -> Iterator[DigTask]:
    exported = inherited.merge(block.get_block("_export"))
    loop_variables = loop_variables.difference(block.get_block("_export"))
    yield DigTask(block=block, exported=exported, loop_variables=loop_variables, key_path=key_path)
    for key, member in block.items():
        if isinstance(member, YamlBlock) and (key.startswith("+") or key in _TASK_BLOCK_KEYS):
            of_loop = block.get_block("for_each>") if key == "_do" else ()
            yield from _walk_tasks(member, exported, loop_variables.union(of_loop), (*key_path, key))
