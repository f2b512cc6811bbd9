"""Settings written as text: JSON or YAML → plain values.

YAML is read with digdag's rules where they differ from PyYAML's: only `true` and `false` are booleans, there are no
dates, a key given twice is an error. Aliases and tags are refused, so that text neither grows nor calls anything when
it is read.
"""

import contextlib
import json
import re
from collections.abc import Iterable

import yaml

LONGEST_TEXT = 100_000  # characters; PyYAML reads about that many in half a second
DEEPEST_NESTING = 20

_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_PLAIN_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,29})")


class UnreadableTextError(ValueError):
    """The text is neither JSON nor YAML. The message does not quote it: it could contain a credential."""


def load(text: str) -> object:
    """Return the value of JSON or YAML text: dict, list, str, int, float, bool or None.

    Raises:
        UnreadableTextError: not JSON or YAML, too long, nested too deeply, a key twice, an alias or a tag.
    """
    if len(text) > LONGEST_TEXT:
        raise UnreadableTextError(f"is longer than {LONGEST_TEXT} characters")
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text, object_pairs_hook=_reject_repeated_keys)
    try:
        return _read_node(_Composer(text).get_single_node())
    except UnreadableTextError:
        raise
    except yaml.MarkedYAMLError as error:
        where = _format_position(error.problem_mark or error.context_mark)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        where = ""
    hint = "; it contains tabs, which YAML does not allow as indentation" if "\t" in text else ""
    # Raised here, so that no traceback carries PyYAML's own error, which quotes the text.
    raise UnreadableTextError(f"is neither valid JSON nor valid YAML{where}{hint}")


def _reject_repeated_keys(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return the pairs as a dict. Raises ValueError for a repeated key."""
    mapping: dict[str, object] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError
        mapping[key] = value
    return mapping


class _Composer(yaml.BaseLoader):
    """Composes YAML nodes; refuses aliases and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node. Raises UnreadableTextError for an alias, and for nesting that is too deep."""
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise UnreadableTextError(f"uses a YAML alias{_format_position(alias.start_mark)}; write the value out")
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise UnreadableTextError(f"is nested more than {DEEPEST_NESTING} levels deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _read_node(node: yaml.Node | None) -> object:
    """Return the value of a YAML node. Raises UnreadableTextError for a node with a tag."""
    if node is None:
        return None
    if node.tag not in _PLAIN_TAGS:
        raise UnreadableTextError(f"uses a YAML tag{_format_position(node.start_mark)}; remove the tag")
    if isinstance(node, yaml.MappingNode):
        return _read_mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_read_node(item) for item in node.value]
    return read_scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _read_mapping(node: yaml.MappingNode) -> dict[str, object]:
    """Return a YAML mapping as a dict. Raises UnreadableTextError for a repeated key."""
    mapping: dict[str, object] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UnreadableTextError(
                f"has a key that is not a string{_format_position(key.start_mark)}; put the key in quotes"
            )
        if key.value in mapping:
            raise UnreadableTextError(
                f"has the same key twice{_format_position(key.start_mark)}; remove one of the two"
            )
        mapping[key.value] = _read_node(value)
    return mapping


def read_scalar(node: yaml.ScalarNode) -> object:
    """Return the value of a YAML scalar. Digits become whole numbers; quoted text stays text."""
    text: str = node.value
    if node.style is not None:  # quoted or a block: always a string
        return text
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return _PLAIN_WORDS.get(text.lower(), text)


def _format_position(mark: yaml.Mark | None) -> str:
    """Return the position of a mark as text: " (line 1, column 2)"; "" without a mark."""
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
