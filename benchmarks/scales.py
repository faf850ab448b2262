"""The networks of every scale at the size of their preset: do training steps stay finite, do losses fall?

    python benchmarks/scales.py

Images are generated at each data set's size (a coloured square on noise, its colour is the class); batches are
small, so that two cores finish. Rows go to results/scales.json.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

import numpy as np
import torch

from aral import ImageSet, LabelledSet, Method, Stream, make_learner
from aral.benchmarking import resolve
from curves import RESULTS, commit, machine, typed_command

SIZES = {
    "mnist": (1, 28, 10),
    "svhn": (3, 32, 10),
    "cifar10": (3, 32, 10),
    "celeba": (3, 64, 2),
    "imagenet": (3, 128, 1000),
}
WATCHED = ("reconstruction", "classify labelled", "total D", "total E+G")


def squares(count: int, channels: int, side: int, class_count: int) -> tuple[ImageSet, np.ndarray]:
    """Noise with a square whose colour tells the class."""
    rng = Stream.root(0).numpy()
    classes = rng.integers(min(class_count, 10), size=count)
    pixels = rng.integers(0, 60, (count, channels, side, side), dtype=np.uint8)
    colours = rng.integers(80, 256, (10, channels), dtype=np.uint8)
    quarter = side // 4
    pixels[:, :, quarter:-quarter, quarter:-quarter] = colours[classes][:, :, None, None]
    return ImageSet.of(torch.from_numpy(pixels)), classes.astype(np.int64)


def measure(name: str, method: str, batch: int, steps: int) -> dict[str, object]:
    """Train ``steps`` steps of one preset's networks with small batches."""
    channels, side, class_count = SIZES[name]
    settings = [f"learner.training.{key}={batch}" for key in ("labelled_batch", "unlabelled_batch")]
    settings += [f"learner.training.steps={steps}", "learner.training.flat_share=1.0"]
    spec = resolve(name, Method.parse(method), settings)
    pool, classes = squares(64, channels, side, class_count)
    learner = make_learner(spec.learner, pool, class_count, Stream.root(0))
    labelled = LabelledSet(pool.subset(pool.ids[:32]), classes[:32], class_count)
    learner.start_round(0, labelled, pool.without(labelled.ids), Stream.root(1))
    rows = [learner.step(index) for index in range(steps)]
    half = max(1, steps // 4)
    return {
        "preset": name,
        "method": spec.learner.title,
        "image": [channels, side, side],
        "classes": class_count,
        "parameters": {
            net: sum(value.numel() for value in module.parameters())
            for net, module in learner.nets.modules.items()  # type: ignore[attr-defined]
        },
        "batch": batch,
        "steps": steps,
        "finite": all(np.isfinite(list(row.values.values())).all() and not row.skipped for row in rows),
        "losses, first quarter": {
            key: round(float(np.mean([row.values[key] for row in rows[:half]])), 3) for key in WATCHED
        },
        "losses, last quarter": {
            key: round(float(np.mean([row.values[key] for row in rows[-half:]])), 3) for key in WATCHED
        },
    }


def main() -> None:
    """Measure every preset and write the rows as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in SIZES:
        batch, steps = (4, 12) if name == "imagenet" else (16, 24)
        rows.append(measure(name, "aral", batch, steps))
        print(json.dumps(rows[-1]))
        (RESULTS / "scales.json").write_text(
            json.dumps(
                {
                    "command": typed_command(),
                    "commit": commit(),
                    "machine": machine(),
                    "date": datetime.now(UTC).date().isoformat(),
                    "rows": rows,
                },
                indent=1,
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
