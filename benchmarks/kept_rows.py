"""Rows of figures in ``benchmarks/results``, written as they arrive, with what they were measured on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curves import RESULTS, commit, machine, typed_command
from method_names import NAMES


class KeptRows:
    """The rows of one file; a row is known by its key.

    Args:
        name: of the file, without ``.json``; or the path of one elsewhere, to try a script.
    """

    def __init__(self, name: str) -> None:
        self.path = Path(name) if name.endswith(".json") else RESULTS / f"{name}.json"
        self.rows: list[dict[str, Any]] = []
        if self.path.exists():
            self.rows = json.loads(self.path.read_text())["rows"]

    def has(self, key: Mapping[str, object]) -> bool:
        """Whether a row with these values is kept."""
        return any(_matches(row, key) for row in self.rows)

    def keep(self, key: Mapping[str, object], values: Mapping[str, object], **summary: object) -> None:
        """Keep a row in place of one with the same key, and write the file.

        Args:
            key: what the row is known by.
            values: its figures.
            summary: figures over all rows, for the head of the file.
        """
        date = datetime.now(UTC).date().isoformat()
        row = {**key, **values, "names": NAMES, "commit": commit(), "date": date}
        self.rows = [*(each for each in self.rows if not _matches(each, key)), row]
        body = {
            "command": typed_command(),
            "commit": commit(),
            "machine": machine(),
            "date": date,
            "seeds": sorted({each["seed"] for each in self.rows if "seed" in each}),
            **summary,
            "rows": self.rows,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.tmp-{os.getpid()}")
        partial.write_text(json.dumps(body, indent=1) + "\n")
        partial.replace(self.path)
        print(json.dumps(row), flush=True)


def _matches(row: Mapping[str, object], key: Mapping[str, object]) -> bool:
    # As JSON has it: a tuple has become a list.
    return all(name in row and row[name] == json.loads(json.dumps(value)) for name, value in key.items())
