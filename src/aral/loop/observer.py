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
        """A round with ``labelled`` labels was evaluated; ``numbers`` are its metrics."""

    def event(self, kind: str, message: str) -> None:
        """An event that the user should know of; it is in the store already."""
