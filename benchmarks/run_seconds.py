"""Processor seconds of a run with the settings of the digits preset, on one thread: what `aral compare` plans seeds by.

    python benchmarks/run_seconds.py

The two learners whose runs may take less than a minute there; those of the others take longer (docs/benchmarks.md).
Each runs with its usual acquisition for one round and for three: the difference is two rounds, what is left of the
first is the start with pretraining and the first query. Rows go to benchmarks/results/run_seconds.json; learners that
have one are not measured again. `aral.benchmarking.cost` keeps the same figures, and a test compares the two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from aral.benchmarking import Method, load_data, resolve, run
from kept_rows import KeptRows

DATA = "digits"


def seconds(learner: str, rounds: int) -> float:
    """Processor seconds of one run, of this process only."""
    method = Method.parse(learner)
    preset = resolve(DATA, method)
    budget = f"rounds.budget={rounds * preset.rounds.query_size}"
    spec = resolve(DATA, method, [budget], threads=1)
    data = load_data(spec)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        run(spec, data, Path(folder, "run"))
        return time.process_time() - begin


def main() -> None:
    """Measure the learners that have no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", default="run_seconds", help="name of the file of rows, or a path of one")
    parser.add_argument("--learners", default="supervised,graph-ssl", help="comma-separated")
    arguments = parser.parse_args()
    kept = KeptRows(arguments.out)
    for learner in arguments.learners.split(","):
        key = {"data": DATA, "learner": learner, "seed": 0}
        if not kept.has(key):
            one, three = seconds(learner, 1), seconds(learner, 3)
            each = (three - one) / 2
            kept.keep(key, {"start": round(max(0.0, one - each), 1), "round": round(each, 1)})


if __name__ == "__main__":
    main()
