"""What the answers of a run take of its budget: one each, or what an image costs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from aral.benchmarking.spec import RunSpec
from aral.data import DataSet, class_number
from aral.errors import BadInput
from aral.loop import OracleSettings, Session, Store
from aral.plural import counted
from aral.types import Ids

BUDGET_SPENT = "budget spent"
"""Setting of a run whose oracle is not exact: true when it has ended."""

COST = "cost"
"""Metric of a round: what all answers up to its query cost."""

WRONG_LABELS = "wrong labels"
"""Metric of a round: how many of its labels are not the class in the data."""

NO_CLASS = "answers without a class"
"""Metric of a round: how many images were answered without a class, in all rounds so far."""

_SLACK = 1e-9
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Spending:
    """Counts what was spent, and says what can be paid for.

    Attributes:
        settings: of the oracle.
        costs: of each image of the pool; None where each answer counts as one.
        classes: of each image of the pool as the data have it; None where wrong answers are not counted.
    """

    settings: OracleSettings
    costs: Float64[np.ndarray, " N"] | None = None
    classes: Int64[np.ndarray, " N"] | None = None

    @classmethod
    def of(cls, spec: RunSpec, data: DataSet) -> Spending:
        """That of a run.

        Raises:
            BadInput: a class of the settings does not exist, or the file of costs does not fit the pool.
        """
        return cls(spec.oracle, _costs(spec.oracle, data), data.pool_classes)

    def affordable_images(self, session: Session, budget: int) -> int:
        """How many more images can be queried at most; 0 when the run ends.

        With costs, a run ends too when an image of its last query could not be paid for.
        """
        candidates = session.candidates()
        left = budget - self._spent(session)
        if self.costs is None:
            return min(int(left), len(candidates))
        if not len(candidates) or self._is_cut(session):
            return 0
        return min(len(candidates), math.floor((left + _SLACK) / self.costs[candidates.ids].min()))

    def affordable(self, session: Session, waiting: Ids, budget: int) -> Int64[np.ndarray, " n"]:
        """The first of these images, in the order of the query, up to the one that would exceed the budget."""
        if self.costs is None:
            return waiting
        total = self._spent(session) + np.cumsum(self.costs[waiting])
        return waiting[: int((total <= budget + _SLACK).sum())]

    def record(self, session: Session) -> None:
        """Record what was spent up to this round, and how good the answers are; nothing for an exact oracle."""
        if self.settings.is_exact:
            return
        session.labels.refresh()
        numbers: dict[str, float] = {}
        ids, classes = session.labels.labels()
        if self.costs is not None:
            numbers[COST] = self._spent(session)
        if self.settings.unknown:
            numbers[NO_CLASS] = float(session.labels.answered().size - ids.size)
        if self.classes is not None and (self.settings.wrong or self.settings.wrong_by_class):
            numbers[WRONG_LABELS] = float((self.classes[ids] != classes).sum())
        session.store.record_metrics(session.round_number, 0, numbers)

    def record_end(self, store: Store) -> None:
        """Record that the budget is spent; nothing for an exact oracle, whose answers say so."""
        if not self.settings.is_exact:
            store.record_setting(BUDGET_SPENT, True)

    def _spent(self, session: Session) -> float:
        session.labels.refresh()
        unknown = self.settings.unknown_is_spent
        ids = session.labels.answered() if unknown else session.labels.labels()[0]
        return float(ids.size if self.costs is None else self.costs[ids].sum())

    def _is_cut(self, session: Session) -> bool:
        number = session.round_number - 1
        last = session.store.query(number) if number >= 0 else None
        return last is not None and not np.isin(last.ids, session.labels.answered()).all()


EACH_ANSWER = Spending(OracleSettings())
"""An exact oracle: every answer counts as one."""


def _costs(settings: OracleSettings, data: DataSet) -> Float64[np.ndarray, " N"] | None:
    if not settings.has_costs:
        return None
    if settings.cost_file is not None:
        return read_costs(Path(settings.cost_file).expanduser(), data)
    by_class = np.full(data.class_count, 1.0 if settings.cost is None else settings.cost)
    for name, cost in settings.cost_by_class.items():
        by_class[class_number(data, name, "oracle.cost_by_class")] = cost
    return by_class[data.pool_classes]


def read_costs(path: Path, data: DataSet) -> Float64[np.ndarray, " N"]:
    """The cost of each image of the pool from a CSV file.

    Its first line is ``file,cost`` for a folder of images, files as in the folder, or ``row,cost`` for any data, rows
    of the pool counted from 0 as the run has it. Rows of images that are not in the pool are passed over.

    Raises:
        BadInput: the file cannot be read, has other columns, a cost is not above 0, an image has two costs or none.
    """
    hint = "Write file,cost or row,cost into the first line, and then one line for each image of the pool."
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"The costs {path} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if head not in (["file", "cost"], ["row", "cost"]):
        raise BadInput(f"The first line of {path} is {','.join(head)!r}.", hint)
    by_file = head[0] == "file"
    if by_file and not data.pool_files:
        raise BadInput(
            f"{path} has a column of files, but '{data.name}' is no folder of images.",
            "Write row,cost instead.",
        )
    names = data.pool_files if by_file else tuple(str(number) for number in range(len(data.pool)))
    found = _read(path, rows[1:], dict.fromkeys(names))
    missing = [name for name in names if name not in found]
    if missing:
        raise BadInput(
            f"{path} has no cost for {counted(len(missing), 'image')} of the pool: {', '.join(missing[:_SHOWN])}"
            f"{', …' if len(missing) > _SHOWN else ''}.",
            hint,
        )
    return np.array([found[name] for name in names])


def _read(path: Path, rows: list[list[str]], known: Mapping[str, None]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line, row in enumerate(rows, 2):
        if not any(cell.strip() for cell in row):
            continue
        name = row[0].strip()
        try:
            cost = float(row[1]) if len(row) == 2 else math.nan
        except ValueError:
            cost = math.nan
        if not (math.isfinite(cost) and cost > 0):
            raise BadInput(
                f"{path}, line {line}: {','.join(row)!r} holds no cost above 0.", "Correct the line."
            )
        if name in found:
            raise BadInput(f"{path}, line {line}: {name} occurs twice.", "Keep one of them.")
        if name in known:
            found[name] = cost
    return found
