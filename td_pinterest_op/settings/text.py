"""Settings written as text: JSON or YAML → plain values.

YAML is read with digdag's rules where they differ from PyYAML's: only `true` and `false` are booleans, there are no
dates, a key given twice is an error. Aliases and tags are refused, so that text neither grows nor calls anything when
it is read.
"""

import contextlib
import json
import re
from collections.abc import Sequence

import yaml

from td_pinterest_op.settings.types import WrongValueError, describe_type

_LONGEST_TEXT = 100_000  # characters; PyYAML reads about that many in half a second
_DEEPEST_NESTING = 20
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_PLAIN_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,29})")


def parse_text(text: str) -> object:
    """Return the value of JSON or YAML text: dict, list, str, int, float, bool or None.

    Raises:
        WrongValueError: not JSON or YAML, too long, nested too deeply, a key twice, an alias or a tag. The message does
            not quote the text, which could contain a credential.
    """
    if len(text) > _LONGEST_TEXT:
        raise WrongValueError(f"{describe_type(text)} is longer than the maximum of {_LONGEST_TEXT} characters")
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text, object_pairs_hook=_build_dict)
    try:
        return _read_node(_Composer(text).get_single_node())
    except WrongValueError as error:
        fault = str(error)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        position = _format_position(getattr(error, "problem_mark", None) or getattr(error, "context_mark", None))
        hint = "; it contains tabs, which YAML does not allow as indentation" if "\t" in text else ""
        fault = f"is neither valid JSON nor valid YAML{position}{hint}"
    # Raised here, so that no traceback carries PyYAML's own error, which quotes the text.
    raise WrongValueError(f"{describe_type(text)} {fault}")


def _build_dict(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    if len(mapping := dict(pairs)) < len(pairs):
        raise ValueError
    return mapping


class _Composer(yaml.BaseLoader):
    """Composes YAML nodes; refuses aliases and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise WrongValueError(f"contains a YAML alias{_format_position(alias.start_mark)}; write the value itself")
        self.depth += 1
        if self.depth > _DEEPEST_NESTING:
            raise WrongValueError(f"is nested more than {_DEEPEST_NESTING} levels deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _read_node(node: yaml.Node | None) -> object:
    """Return the value of a YAML node. Raises WrongValueError for a tag, and for a wrong or repeated key."""
    if node is None:
        return None
    if node.tag not in _PLAIN_TAGS:
        raise WrongValueError(f"contains a YAML tag{_format_position(node.start_mark)}; remove the tag")
    if isinstance(node, yaml.SequenceNode):
        return [_read_node(item) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return read_scalar(node)
    mapping: dict[str, object] = {}
    for key, value in node.value:
        position = _format_position(key.start_mark)
        if not isinstance(key, yaml.ScalarNode):
            raise WrongValueError(f"contains a key that is not a string{position}; quote the key")
        if key.value in mapping:
            raise WrongValueError(f"contains the same key twice{position}; remove one of them")
        mapping[key.value] = _read_node(value)
    return mapping


def read_scalar(node: yaml.ScalarNode) -> object:
    """Return the value of a YAML scalar. Digits become whole numbers; quoted text stays text."""
    text: str = node.value
    if node.style is not None:  # quoted or a block: always a string
        return text
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else _PLAIN_WORDS.get(text.lower(), text)


def _format_position(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
