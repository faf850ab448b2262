"""Ramps that keep their place in a round when a round has more or fewer steps than its preset."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from aral.benchmarking.spec import RunSpec
from aral.learners import Ramp


@dataclass(frozen=True)
class PlacedRamp:
    """A ramp of a preset, and the steps a round it is meant for.

    Attributes:
        name: of the setting, such as ``learner.weights.generated_ramp``.
        ramp: as the preset has it.
        steps: training steps a round of the preset.
    """

    name: str
    ramp: Ramp
    steps: int

    def at(self, steps: int) -> Ramp:
        """The ramp at the same part of a round of ``steps`` steps."""
        begin, end = (round(age * steps / self.steps) for age in (self.ramp.begin, self.ramp.end))
        return self.ramp.model_copy(update={"begin": begin, "end": end})

    def settings(self, steps: int) -> tuple[str, ...]:
        """The same as single settings."""
        ramp = self.at(steps)
        return (f"{self.name}.begin={ramp.begin}", f"{self.name}.end={ramp.end}")


def ramps_of(spec: RunSpec) -> tuple[PlacedRamp, ...]:
    """The ramps of a specification that are not over before the first step."""
    steps = spec.learner.training.steps
    weights = getattr(spec.learner, "weights", None)
    found = weights if isinstance(weights, BaseModel) else ()
    return tuple(
        PlacedRamp(f"learner.weights.{name}", value, max(1, steps))
        for name, value in found
        if isinstance(value, Ramp) and value.end > 0
    )
