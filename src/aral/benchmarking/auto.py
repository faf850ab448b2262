"""What ``auto``, the default method of every command, resolves to; loads no network library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aral.benchmarking.spec import RunSpec

AUTO = "auto"
AUTO_METHOD = "graph-ssl+aral-graph"
AUTO_REASON = "the most accurate method with few labels in the measurements of docs/benchmarks.md"

AUTO_METHOD_ON_FEATURES = "pseudo-label+linear-herding"
AUTO_REASON_ON_FEATURES = "it trains in seconds on features and learns from images without labels too"


def auto_text(specs: Iterable[RunSpec]) -> str:
    """Representation and methods that ``auto`` chose, with the reasons, for the terminal; empty where it chose none.

    Args:
        specs: of the run, or of all units of a grid.
    """
    made = list(specs)
    sentences = [
        f"Representation: {spec.representation.backbone} (auto: {spec.representation_chosen})."
        for spec in made[:1]
        if spec.representation_chosen
    ]
    names = list(dict.fromkeys(str(spec.method) for spec in made if spec.chosen))
    if names:
        reason = next(spec.chosen for spec in made if spec.chosen)
        sentences.append(f"Method{'s' * (len(names) > 1)}: {' and '.join(names)} (auto: {reason}).")
    return " ".join(sentences)
