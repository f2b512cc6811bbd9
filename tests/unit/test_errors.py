"""Errors that name every problem at once."""

from __future__ import annotations

import pytest

from td_pinterest_op.errors import Problem, SettingsError, SettingsErrors


def test_the_errors_of_several_checks_are_one_with_every_problem() -> None:
    first = Problem(key="action", code="missing", text="missing")
    errors = SettingsErrors()
    with errors:
        raise SettingsError("result_settings has 1 problem", problems=[first])
    with errors:
        errors.add("engine must be one of presto", key="engine")
    with pytest.raises(SettingsError) as caught:
        errors.raise_any()
    assert "result_settings has 1 problem\nengine must be one of presto" == str(caught.value)
    assert (first, Problem(key="engine", code="wrong", text="engine must be one of presto")) == caught.value.problems


def test_checks_without_an_error_raise_none() -> None:
    errors = SettingsErrors()
    with errors:
        pass
    errors.raise_any()


def test_an_error_of_another_kind_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), SettingsErrors():
        _ = 1 // 0
