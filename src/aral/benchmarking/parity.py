"""Whether methods are compared fairly: what must be equal among all methods of a seed, as one hash.

Everything in a specification must be equal unless it is listed in :data:`FREE`, so a setting that is added
later is compared until somebody decides otherwise. Where a setting may not reach a learner, what the learner
really does must be equal: see :mod:`aral.benchmarking.effective`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aral.benchmarking.effective import effective_facts, versions
from aral.benchmarking.grid import Unit
from aral.benchmarking.spec import RunSpec, flattened, validated
from aral.durable import Json
from aral.errors import AralError, BadInput
from aral.loop.reading import store_reading
from aral.types import Ids

FREE = (
    "learner",
    "acquisition",
    "model.weights.",
    "model.latent_size",
    "model.matching_norm",
    "model.sampler_sees",
    "model.optimisers.encoder.",
    "model.optimisers.generator.",
    "model.optimisers.sampler.",
    "model.optimisers.decoder",
    "model.optimisers.critic",
    "model.separate_gan.",
    "model.self_training.",
    "model.training.synthesised",
    "model.training.unlabelled_batch",
    "model.training.mc_passes",
    "model.networks.encoder_",
    "model.networks.generator_",
    "model.networks.class_embedding_size",
)
"""What a method may have to itself: beginnings of names of settings. They concern how images are chosen and
what is trained beside the classifier, or on unlabelled images; none changes the classifier, its steps, its labels,
how it sees labelled images, or its evaluation."""


@dataclass(frozen=True)
class Parity:
    """What was found for one seed.

    Attributes:
        seed: the seed.
        hash: of everything that must be equal, the first query's images included; of the first unit that has
            them. Empty while no unit has made its first query.
        verified: how many units have been found to have this hash.
        differences: settings that differ between units, one line each; empty for a fair comparison.
    """

    seed: int
    hash: str
    verified: int
    differences: tuple[str, ...]


def parity_table(
    spec: RunSpec, fingerprint: str, computed_by: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Everything that must be equal among the methods of a seed, by name.

    Args:
        spec: of one unit.
        fingerprint: of its data; see :func:`aral.benchmarking.runs.data_fingerprint`.
        computed_by: versions of what computes; ``None``: those of this process.
    """
    table: dict[str, Json] = {
        name: value for name, value in flattened(spec).items() if not name.startswith(FREE)
    }
    table |= effective_facts(spec)
    return table | {"data fingerprint": fingerprint, "versions": dict(computed_by or versions())}


def parity_hash(
    spec: RunSpec,
    fingerprint: str,
    first_query: Ids | None = None,
    computed_by: Mapping[str, Json] | None = None,
) -> str:
    """Twelve hexadecimal digits that are equal for units that are compared fairly.

    Args:
        spec: of one unit.
        fingerprint: of its data.
        first_query: ids of the images of round 0 in the order of asking; ``None`` before they are known.
        computed_by: as for :func:`parity_table`.
    """
    table = parity_table(spec, fingerprint, computed_by)
    table["first query"] = None if first_query is None else first_query.tolist()
    text = json.dumps(table, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def unequal(compared: Sequence[Unit], fingerprint: str = "") -> dict[int, tuple[str, ...]]:
    """Settings in which the units of a seed differ although they must not, by seed; found before any run."""
    by_seed: dict[int, dict[str, Mapping[str, Json]]] = defaultdict(dict)
    for unit in compared:
        by_seed[unit.spec.seed][str(unit.spec.method)] = parity_table(unit.spec, fingerprint)
    return {seed: _different(tables) for seed, tables in by_seed.items()}


def _different(tables: Mapping[str, Mapping[str, Json]]) -> tuple[str, ...]:
    lines = []
    for name in sorted({name for table in tables.values() for name in table}):
        values = {method: table.get(name) for method, table in tables.items()}
        if len({json.dumps(value) for value in values.values()}) > 1:
            lines.append(f"{name}: " + ", ".join(f"{method} {value}" for method, value in values.items()))
    return tuple(lines)


def check_equal(compared: Sequence[Unit], allow: bool) -> dict[int, tuple[str, ...]]:
    """Refuse an unfair comparison before it costs anything.

    Returns:
        What differs, by seed; empty lines unless ``allow`` is set.

    Raises:
        BadInput: names the settings that differ, and their values.
    """
    found = unequal(compared)
    for seed, lines in found.items():
        if lines and not allow:
            raise BadInput(
                f"The methods of seed {seed} would not be compared fairly. They differ in {'; '.join(lines)}.",
                "Make these equal, or add --allow-unequal, which every report will say.",
            )
    return found


def verify(compared: Sequence[Unit], folder: Path) -> dict[int, Parity]:
    """The parity of each seed from what the units have recorded, not from what they were told.

    Args:
        compared: the units, some of which may not have begun.
        folder: of the grid.
    """
    hashes: dict[int, dict[str, str]] = defaultdict(dict)
    settings = unequal(compared)
    for unit in compared:
        found = recorded_hash(folder / unit.name)
        if found:
            hashes[unit.spec.seed][unit.name] = found
    result = {}
    for seed, lines in settings.items():
        by_unit = hashes[seed]
        first = next(iter(by_unit.values()), "")
        odd = [name for name, found in by_unit.items() if found != first]
        if odd and not lines:
            lines = (f"recorded data, first query or versions: {', '.join(odd)} differs from the others",)
        result[seed] = Parity(seed, first, len(by_unit) - len(odd), lines)
    return result


def recorded_hash(folder: Path) -> str:
    """The parity hash of a run folder's own record; empty if it has no readable first query."""
    try:
        with store_reading(folder) as store:
            spec, query = store.setting("spec"), store.query(0)
            fingerprint, computed_by = store.setting("data fingerprint"), store.setting("versions")
    except AralError:  # not begun, or damaged: then the run itself says so
        return ""
    if query is None or not isinstance(spec, dict):
        return ""
    known = computed_by if isinstance(computed_by, dict) else {"aral": None, "torch": None}
    return parity_hash(validated(spec), str(fingerprint), query.ids, known)
