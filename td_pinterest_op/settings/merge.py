"""Merges the settings of several places: those of a task, then those of an entry of a list, a console or a file."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.structures import read_mapping
from td_pinterest_op.settings.types import WrongValueError, is_left_out, show_value

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Settings from one place, as a mapping or as JSON or YAML text. `place` names it in messages."""

    place: str
    content: object

    def mapping(self) -> Mapping[object, object]:
        """Return the settings as a mapping; empty if they are left out. Raises SettingsError."""
        if is_left_out(self.content):
            return {}
        try:
            return read_mapping(self.content)
        except WrongValueError as error:
            text = f"{self.place}: {error}; allowed: a mapping, or a JSON or YAML string of one"
            raise SettingsError(text, key="result_settings") from None


def merge_layers(*layers: Layer) -> dict[object, object]:
    """Return the settings of all layers. A later layer's value wins, and the log names it.

    A blank value replaces no other: a template that rendered to nothing must not lift what another place restricts.
    Raises SettingsError for a layer that is not a mapping.
    """
    merged: dict[object, object] = {}
    for layer in layers:
        content = layer.mapping()
        new = {key: value for key, value in content.items() if not is_left_out(value)}
        if replaced := [show_value(key).strip("'") for key in new if str(merged.get(key, new[key])) != str(new[key])]:
            log.info("%s has its own %s, used instead of the shared settings", layer.place, ", ".join(replaced))
        merged = {**content, **merged, **new}
    return merged
