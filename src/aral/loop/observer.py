"""The progress of a session, as a user interface receives it."""

from __future__ import annotations

from collections.abc import Mapping


class Observer:
    """Receives the progress of a session; the methods here do nothing. Override those that are to show something."""

    def stage(self, round_number: int, what: str) -> None:
        """A stage of a round begins: ``querying``, ``training`` or ``evaluating``.

        ``pretraining``, before the first query, has the number −1.
        """

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """``step`` of ``steps`` training steps are done."""

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """A round with ``labelled`` labels was evaluated.

        ``numbers`` are its metrics, and as ``recall K`` the recall of each class, by index, that has test images.
        """

    def event(self, kind: str, message: str) -> None:
        """An event that the user should know of; it is in the store already."""


class Observers(Observer):
    """Passes everything on to several observers, in their order.

    Args:
        observers: any number.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def stage(self, round_number: int, what: str) -> None:
        """To all."""
        for each in self._observers:
            each.stage(round_number, what)

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """To all."""
        for each in self._observers:
            each.step(round_number, step, steps, losses)

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """To all."""
        for each in self._observers:
            each.evaluated(round_number, labelled, numbers)

    def event(self, kind: str, message: str) -> None:
        """To all."""
        for each in self._observers:
            each.event(kind, message)
