"""Errors carry a problem, a hint and an exit code."""

from __future__ import annotations

import pytest

from aral.errors import AralError, BadInput, RunFailed, unknown_name


def test_exit_codes_and_one_base() -> None:
    assert (BadInput.exit_code, RunFailed.exit_code) == (2, 1)
    for kind in (BadInput, RunFailed):
        with pytest.raises(AralError):
            raise kind("x")


def test_the_hint_has_a_line_of_its_own() -> None:
    error = BadInput("The pool is empty.", "Name another folder.")
    assert str(error) == "The pool is empty.\nName another folder."
    assert (error.problem, error.hint) == ("The pool is empty.", "Name another folder.")
    assert str(RunFailed("It stopped.")) == "It stopped."


@pytest.mark.parametrize(
    ("typed", "meant"), [("minst", "mnist"), ("cifar", "cifar10"), ("shvn", "svhn"), ("cifer10", "cifar10")]
)
def test_the_nearest_valid_name_is_suggested(typed: str, meant: str) -> None:
    error = unknown_name("data set", typed, ["svhn", "mnist", "cifar10"])
    assert error.problem == f"Unknown data set '{typed}'."
    assert error.hint == f"Did you mean '{meant}'? Valid: cifar10, mnist, svhn."


def test_nothing_is_suggested_when_nothing_is_near() -> None:
    error = unknown_name("method", "qqqqqq", {"random": 1, "bald": 2})
    assert error.hint == "Valid: bald, random."
    assert isinstance(error, BadInput)
