"""What a session tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping


class Observer:
    """Hears of progress; this one says nothing. Override what you want to show."""

    def stage(self, round_number: int, what: str) -> None:
        """A round begins something: ``querying``, ``training``, ``evaluating``.

        The training before the first query has the number −1 and is called ``training before labels``.
        """

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """``step`` of ``steps`` training steps are done."""

    def evaluated(self, round_number: int, labelled: int, numbers: Mapping[str, float]) -> None:
        """A round has been measured with ``labelled`` labels."""

    def event(self, kind: str, message: str) -> None:
        """Something the user should know of, also recorded in the store."""
