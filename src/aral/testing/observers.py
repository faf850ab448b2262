"""An observer that records what it receives."""

from __future__ import annotations

from collections.abc import Mapping

from aral.loop import Observer


class RecordingObserver(Observer):
    """Records the progress of a session in lists.

    Attributes:
        stages: round and stage.
        steps: round, steps done, steps in all.
        kinds: the kind of each event.
        messages: the text of each event.
    """

    def __init__(self) -> None:
        self.stages: list[tuple[int, str]] = []
        self.steps: list[tuple[int, int, int]] = []
        self.kinds: list[str] = []
        self.messages: list[str] = []

    def stage(self, round_number: int, what: str) -> None:
        """Record the stage."""
        self.stages.append((round_number, what))

    def step(self, round_number: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Record the step."""
        self.steps.append((round_number, step, steps))

    def event(self, kind: str, message: str) -> None:
        """Record the event."""
        self.kinds.append(kind)
        self.messages.append(message)
