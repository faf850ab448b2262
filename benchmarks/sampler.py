"""Does the sampler learn? Its AUC on images that it was not trained on, and the health of the codes.

    python benchmarks/sampler.py

On digits, 150 labelled images come from classes 0 to 4 only, so 'labelled' means something; the rest of the pool
is unlabelled. Held out are test images: those of classes 0 to 4 are as the labelled ones, the others are not. As a
control, 150 labelled images drawn at random: then there is nothing to learn and 0.5 is right.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import torch

from aral import LabelledSet, Method, Stream, load, make_learner, resolve
from curves import RESULTS, commit, machine, typed_command

LABELLED = 150
SEEDS = range(3)


def measure(method: str, biased: bool, seed: int) -> dict[str, object]:
    """Train one round and measure S on held-out images."""
    data = load("digits")
    spec = resolve("digits", Method.parse(method))
    stream = Stream.root(seed)
    candidates = data.pool.ids[data.pool_classes < 5] if biased else data.pool.ids
    ids = np.sort(candidates[np.argsort(stream.child("labels").uniform(candidates))[:LABELLED]])
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
    learner = make_learner(spec.learner, data.pool, data.class_count, stream.child("learner"))
    learner.set_pool(data.pool, stream.child("pool"))
    learner.set_labels(labelled)
    learner.start_round(0, labelled, data.pool.without(ids), stream.child("round"))
    for index in range(learner.steps_per_round):
        learner.step(index)
    test = data.test
    like, unlike = (test.images.subset(test.ids[mask]) for mask in (test.classes < 5, test.classes >= 5))
    return {
        "learner": spec.learner.title,
        "labels": "classes 0 to 4" if biased else "random",
        "seed": seed,
        "held out": {name: round(value, 4) for name, value in learner.diagnose(like, unlike).items()},
        "trained on": {
            name: round(value, 4)
            for name, value in learner.diagnose(labelled.images, data.pool.without(ids)).items()
        },
    }


def main() -> None:
    """Measure both objectives and VAAL, and write the rows as they come."""
    torch.set_num_threads(1)
    rows = []
    for method in ("aral", "aral:released", "vaal"):
        for biased in (True, False):
            for seed in SEEDS:
                rows.append(measure(method, biased, seed))
                print(json.dumps(rows[-1]), flush=True)
    header = {
        "command": typed_command(),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "seeds": list(SEEDS),
    }
    (RESULTS / "sampler.json").write_text(json.dumps(header | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
