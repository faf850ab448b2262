"""Whether methods are compared fairly: what must be equal among all methods of a seed, as one hash.

Compared are the settings that all learners share, found from the types: the fields of :class:`RunSpec` and of the base
class of all learners' settings, without those marked as not shared and those of networks beside the classifier. A field
that is added to them is compared from then on. A setting that a method does not use, such as the training steps of
logistic regression, is compared among the other methods only. Besides settings, what the methods really do to labelled
images and before the first label must be equal, the data, the first query and the versions of aral and PyTorch.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

import aral
from aral.benchmarking.grid import Unit
from aral.benchmarking.spec import RunSpec, validated
from aral.durable import Json
from aral.errors import AralError, BadInput
from aral.learners import LearnerSettings, Net
from aral.learners.settings import NOT_SHARED
from aral.loop.reading import store_reading
from aral.types import Ids


@dataclass(frozen=True)
class Parity:
    """The result of the check for one seed.

    Attributes:
        seed: the seed.
        hash: of everything that must be equal, the images of the first query included, in the first unit that has
            made its first query, with the settings that only others of the units use; empty before. Of a grid with
            varied settings, that of the first combination of values.
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
    """Everything that must be equal among the methods of a seed, by name, as far as the method uses it.

    Args:
        spec: of one unit.
        fingerprint: of its data; see :func:`aral.benchmarking.runs.data_fingerprint`.
        computed_by: versions of what computes; ``None``: those of this process.
    """
    used = {name: value for name, value in _shared(spec, RunSpec, "") if not _is_unused(spec, name)}
    table = used | effective_training(spec.learner)
    return table | {"data fingerprint": fingerprint, "versions": dict(computed_by or versions())}


def _shared(value: BaseModel, declared: type[BaseModel], prefix: str) -> Iterator[tuple[str, Json]]:
    """Names and values of the settings that all methods share.

    Args:
        value: some settings.
        declared: the class whose fields are shared, of which the value's class may be a subclass.
        prefix: of the names.
    """
    beside = () if declared is RunSpec else tuple(f"{net}_" for net in Net if net != Net.DISCRIMINATOR)
    for name, field in declared.model_fields.items():
        if NOT_SHARED in field.metadata or name.startswith(beside):
            continue
        inner = getattr(value, name)
        if isinstance(inner, LearnerSettings):
            yield from _shared(inner, LearnerSettings, f"{prefix}{name}.")
        elif isinstance(inner, BaseModel):
            base = field.annotation
            known = base if isinstance(base, type) and issubclass(base, BaseModel) else type(inner)
            yield from _shared(inner, known, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", to_jsonable_python(inner)


def _is_unused(spec: RunSpec, name: str) -> bool:
    """Whether a setting of the specification, by its full name, has no effect on this method."""
    return any(f"{name}.".startswith(f"learner.{unused}.") for unused in spec.learner.unused)


def effective_training(learner: LearnerSettings) -> dict[str, Json]:
    """What a learner really does to labelled images, and before the first label; by name in words."""
    augmentation = [
        f"{name} {value:g}" for name, value in learner.labelled_augmentation.model_dump().items() if value
    ]
    changes = augmentation + ([f"mixup {learner.mixup:g}"] if learner.mixup else [])
    return {
        "augmentation of labelled images": ", ".join(changes) or "none",
        "pretraining steps": learner.pretraining_steps,
    }


def versions() -> dict[str, Json]:
    """Of what computes: aral and PyTorch."""
    return {"aral": aral.__version__, "torch": torch.__version__}


def parity_hash(
    spec: RunSpec,
    fingerprint: str,
    first_query: Ids | None = None,
    computed_by: Mapping[str, Json] | None = None,
    of_others: Mapping[str, Json] | None = None,
) -> str:
    """Twelve hexadecimal digits that are equal for units that are compared fairly.

    Args:
        spec: of one unit.
        fingerprint: of its data.
        first_query: ids of the images of round 0 in the order of asking; ``None`` before they are known.
        computed_by: as for :func:`parity_table`.
        of_others: what units that it is compared with have; of these the settings that the unit does not use itself
            belong to the hash.
    """
    table = {name: value for name, value in (of_others or {}).items() if _is_unused(spec, name)}
    table |= parity_table(spec, fingerprint, computed_by)
    table["first query"] = None if first_query is None else first_query.tolist()
    text = json.dumps(table, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def unequal(compared: Sequence[Unit], fingerprint: str = "") -> dict[int, tuple[str, ...]]:
    """Settings in which the units of a seed differ although they must not, by seed; found before any run.

    Units with different values of a setting that their grid varies are not compared: they differ on purpose.
    """
    found: dict[int, dict[str, None]] = {unit.spec.seed: {} for unit in compared}
    for group in _groups(compared):
        specs = {str(unit.spec.method): unit.spec for unit in group}
        found[group[0].spec.seed].update(dict.fromkeys(_different(specs, fingerprint)))
    return {seed: tuple(lines) for seed, lines in found.items()}


def _groups(compared: Sequence[Unit]) -> list[list[Unit]]:
    """The units that must be equal: of one seed and of the same varied values, as far as a method has the setting."""
    by_seed: dict[int, list[Unit]] = defaultdict(list)
    for unit in compared:
        by_seed[unit.spec.seed].append(unit)
    groups = []
    for of_seed in by_seed.values():
        values = list(dict.fromkeys(frozenset(unit.spec.varied) for unit in of_seed))
        whole = [each for each in values if not any(each < other for other in values)]
        groups += [[unit for unit in of_seed if each.issuperset(unit.spec.varied)] for each in whole]
    return groups


def _different(specs: Mapping[str, RunSpec], fingerprint: str) -> tuple[str, ...]:
    tables = {method: parity_table(spec, fingerprint) for method, spec in specs.items()}
    lines = []
    for name in sorted({name for table in tables.values() for name in table}):
        values = {
            method: table.get(name) for method, table in tables.items() if not _is_unused(specs[method], name)
        }
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
    first: dict[int, str] = {}
    verified: dict[int, dict[str, None]] = defaultdict(dict)
    deviating: dict[int, dict[str, None]] = defaultdict(dict)
    for group in _groups(compared):
        planned: dict[str, Json] = {}
        for unit in group:
            planned = parity_table(unit.spec, "") | planned
        found = {unit.name: recorded_hash(folder / unit.name, planned) for unit in group}
        known = {name: each for name, each in found.items() if each}
        seed, own = group[0].spec.seed, next(iter(known.values()), "")
        first[seed] = first.get(seed) or own
        verified[seed].update(dict.fromkeys(name for name, each in known.items() if each == own))
        deviating[seed].update(dict.fromkeys(name for name, each in known.items() if each != own))
    result = {}
    for seed, lines in unequal(compared).items():
        if deviating[seed] and not lines:
            lines = (
                f"recorded data, first query or versions: {', '.join(deviating[seed])} differs from the others",
            )
        result[seed] = Parity(seed, first[seed], len(verified[seed].keys() - deviating[seed].keys()), lines)
    return result


def recorded_hash(folder: Path, of_others: Mapping[str, Json] | None = None) -> str:
    """The parity hash of a run folder's own record; empty if it has no readable first query.

    Args:
        folder: of the run.
        of_others: as for :func:`parity_hash`.
    """
    try:
        with store_reading(folder) as store:
            spec, query = store.setting("spec"), store.query(0)
            fingerprint, computed_by = store.setting("data fingerprint"), store.setting("versions")
    except AralError:  # not begun, or damaged: then the run itself says so
        return ""
    if query is None or not isinstance(spec, dict):
        return ""
    known = computed_by if isinstance(computed_by, dict) else {"aral": None, "torch": None}
    return parity_hash(validated(spec), str(fingerprint), query.ids, known, of_others)
