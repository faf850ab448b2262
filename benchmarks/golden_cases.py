"""What ``golden.py`` runs, and how results become digests: in fixed words, those of commit a419482."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

import golden_adapter as adapter
from golden_adapter import Arrays, Changes, Outcome

Json: TypeAlias = Any
Case: TypeAlias = Callable[[Path], Json]

PLACES = 8
"""Values of a tensor that are kept."""

LEARNERS = (
    "aral",
    "supervised",
    "pseudo-label",
    "consistency",
    "vaal",
    "bgadl",
    "aral-paper",
    "aral-released",
    "aral-no-active",
    "aral-no-encoder",
    "aral-paper-no-active",
    "aral-paper-no-encoder",
    "no-co-training",
    "generated-only",
)

ACQUISITIONS = (
    *("random", "least-confidence", "margin", "entropy"),
    *("max-entropy", "variation-ratio", "vote-variation-ratio", "mean-std"),
    *("bald", "power-bald", "softmax-bald", "softrank-bald", "batchbald", "acs-fw"),
    *("committee", "committee-divergence", "core-set", "robust-core-set", "typiclust", "probcover"),
    *("badge", "cluster-margin", "vaal", "aral", "aral-diverse", "aral-typical", "aral-graph"),
    *("typical-groups", "typical-entropy", "typical-graph", "gaal"),
)

PRESETS: Mapping[str, tuple[int, int, int, int]] = {
    "digits": (1, 8, 10, 240),
    "mnist": (1, 28, 10, 160),
    "fashion-mnist": (1, 28, 10, 160),
    "svhn": (3, 32, 10, 120),
    "cifar10": (3, 32, 10, 120),
    "celeba": (3, 64, 2, 80),
    "imagenet": (3, 32, 10, 100),
    "folder": (3, 32, 4, 120),
}
"""Channels, side, classes and pool of the images for each preset."""

ROUNDS: Changes = {
    "steps": 4,
    "labelled batch": 12,
    "unlabelled batch": 16,
    "MC passes": 3,
    "scoring batch": 64,
    "synthesised": 10,
    "latent size": 8,
    "query size": 10,
    "budget": 20,
}

LATE_RAMP = {"begin": 1, "end": 3}
PRETRAINED: Changes = {
    "pretraining steps": 4,
    "imitation steps": 2,
    "warm up": 2,
    "generate every": 2,
    "ramp of self-training": {"begin": 0, "end": 2},
}


# Images


@cache
def images(preset: str) -> Arrays:
    """Small images for a preset: scikit-learn's digits, or stripes whose direction and hue tell the class."""
    channels, side, classes, pool = PRESETS[preset]
    if preset == "digits":
        return adapter.digits(pool, 80)
    numbers = np.random.Generator(np.random.Philox(sum(preset.encode())))
    pool_images, pool_classes = stripes(numbers, pool, classes, channels, side)
    test_images, test_classes = stripes(numbers, 60, classes, channels, side)
    return Arrays(pool_images, pool_classes, test_images, test_classes, classes)


def stripes(
    numbers: np.random.Generator, count: int, classes: int, channels: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images N×C×side×side, uint8, and their classes; integers throughout, so equal on every machine."""
    labels = np.arange(count) % classes
    y, x = np.mgrid[:side, :side]
    pictures = numbers.integers(0, 110, (count, channels, side, side), dtype=np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        shift, strength = int(numbers.integers(0, side)), int(numbers.integers(60, 120))
        on = ((x * (label % 3) + y * ((label + 1) % 4) + shift) // (2 + label // 3)) % 2 == 0
        hue = (np.arange(channels) + label) % 3 + 1
        picture += (on * (strength * hue[:, None, None] // 3)).astype(np.uint8)
    return pictures, labels


# Digests


def digest(arrays: Sequence[np.ndarray], places: int = PLACES) -> list[Json]:
    """The weights of a role: for each shape in order the count, a hash, and statistics that no order changes.

    The hash is SHA-256 of the sorted SHA-256 of the float32 bytes, shortened. The statistics are mean, standard
    deviation and largest absolute value of all tensors of the shape, and values at fixed places, averaged, all
    in millionths.

    Args:
        arrays: of one role; their order carries no meaning.
        places: how many values of a tensor are kept.
    """
    by_shape: dict[tuple[int, ...], list[np.ndarray]] = {}
    for array in arrays:
        by_shape.setdefault(array.shape, []).append(np.ascontiguousarray(array, dtype=np.float32))
    found = []
    for shape, same in sorted(by_shape.items()):
        hashes = sorted(hashlib.sha256(array.tobytes()).digest() for array in same)
        table = np.stack([array.ravel() for array in same]).astype(np.float64)
        columns = np.linspace(0, table.shape[1] - 1, min(places, table.shape[1])).astype(np.int64)
        numbers = [table.mean(), table.std(), abs(table).max(), *table[:, columns].mean(axis=0)]
        shortened = hashlib.sha256(b"".join(hashes)).hexdigest()[:8]
        found.append(
            ["x".join(map(str, shape)), len(same), shortened, [round(float(n) * 1e6) for n in numbers]]
        )
    return found


def as_json(result: Outcome, places: int = PLACES) -> Json:
    """An outcome, digested."""
    return {
        "weights": {
            role: digest(arrays, 1 if role.startswith("averaged") else places)
            for role, arrays in sorted(result.weights.items())
        },
        "queries": [{"ids": ids, "scores": rounded(scores)} for ids, scores in result.queries],
        "metrics": {
            number: {name: round(value, 6) for name, value in sorted(values.items())}
            for number, values in sorted(result.metrics.items())
        },
        "losses": {number: rounded(values) for number, values in sorted(result.losses.items())},
        "confusion": result.confusion,
    }


def rounded(values: Iterable[float]) -> list[float]:
    """To six decimals: more than the tolerance can tell, and legible."""
    return [round(float(value), 6) for value in values]


# Cases of runs


def changes_for(preset: str, learner: str) -> dict[str, Any]:
    """What shortens a run, and brings every term of its losses into play within a few steps."""
    classes = PRESETS[preset][2]
    changes = dict(ROUNDS)
    if learner == "aral":
        changes |= PRETRAINED
        if preset == "cifar10":  # which has no training before the labels
            changes |= {"pretraining steps": 0}
    if learner in ("aral", "consistency"):
        changes["confidence"] = 1.15 / classes
    if learner == "pseudo-label":
        changes["entropy"] = 0.98 * float(np.log(classes))
    if learner == "no-co-training" or (learner == "aral-paper" and preset in ("mnist", "fashion-mnist")):
        changes["ramp of generated"] = LATE_RAMP
    if learner == "no-co-training" and preset == "imagenet":
        changes["classifier input side"] = 32
    return changes


def run(
    preset: str,
    learner: str,
    more: Changes,
    folder: Path,
    stop_after: Sequence[int] = (),
    places: int = PLACES,
) -> Json:
    """Two rounds of a learner; with ``stop_after`` stopped so often and taken up from its checkpoint."""
    data = adapter.data_set(images(preset))
    place = preset if preset != "folder" else str(folder)
    spec = adapter.specification(place, learner, changes_for(preset, learner) | dict(more))
    for steps in (*stop_after, None):
        with adapter.started(spec, data, folder / "run") as running:
            if adapter.finish(running, steps):
                return as_json(adapter.outcome(running), places)
    raise AssertionError("the run never ended")


def selections(preset: str, learner: str, folder: Path) -> Json:
    """Every acquisition on one trained learner."""
    data = adapter.data_set(images(preset))
    spec = adapter.specification(preset, learner, changes_for(preset, learner), "random")
    found = {}
    with adapter.started(spec, data, folder / "run") as running:
        adapter.finish(running)
        for name in ACQUISITIONS:
            chosen = adapter.select(running, name, 12)
            if chosen is not None:
                found[name] = {"ids": chosen[0], "scores": rounded(chosen[1])}
    return found


def grid(folder: Path) -> Json:
    """The accuracies of a small comparison."""
    changes = dict(ROUNDS) | {"steps": 6}
    return adapter.grid_accuracies(
        "digits", ("random", "vaal", "pseudo-label+margin"), (0, 1), changes, folder / "grid"
    )


VARIANTS: Mapping[str, tuple[str, str, Changes]] = {
    "cold start": ("digits", "supervised", {"warm start": False}),
    "cold start, no average": ("cifar10", "aral-released", {"warm start": False, "average decay": 0.0}),
    "cold start of aral": ("digits", "aral", {"warm start": False}),
    "mixed, averaged labels": ("cifar10", "aral", {"mixing": 0.75, "average labels": True, "align": True}),
    "not mixed": ("cifar10", "aral", {"mixing": 0.0, "average labels": False}),
    "mixed with pretraining": ("digits", "aral", {"mixing": 0.5}),
    "partition in rounds": ("digits", "aral", {"partition loss in rounds": 1.0, "weight of generated": 0.5}),
    "contrast": ("digits", "aral", {"contrast": 1.0, "neighbours in": "pixels"}),
    "no neighbours": ("digits", "aral", {"neighbours": 0, "graph weight": 0.0, "first query": "typiclust"}),
    "aligned consistency": ("digits", "consistency", {"align": True, "average labels": True}),
    "weight decay, rate floor": (
        "svhn",
        "supervised",
        {"weight decay of discriminator": 0.1, "rate floor": 5e-4},
    ),
    "warm up": ("digits", "pseudo-label", {"warm up": 3}),
    "sampled codes": ("digits", "vaal", {"sampler sees": "sample", "weight of reconstruction": 0.1}),
    "labelled share": ("digits", "aral-paper", {"labelled share": 0.05, "feature matching": 0.0}),
    "matching norm": ("digits", "aral-released", {"matching norm": "absolute"}),
    "logistic GAN, soft labels": ("digits", "no-co-training", {"GAN loss": "logistic", "GAN labels": "soft"}),
    "generated only, ramp": ("digits", "generated-only", {"ramp of generated": LATE_RAMP}),
    "validation": ("digits", "supervised", {"validation share": 0.3, "validation steps": 2}),
    "first query at random": ("digits", "vaal", {"first query": "random"}),
}
"""Settings that no preset has, by what they are about."""

UNLIKE_LEARNERS = (
    *(
        "aral",
        "pseudo-label",
        "consistency",
        "vaal",
        "bgadl",
        "aral-paper",
        "aral-released",
        "aral-no-active",
    ),
    *("aral-no-encoder", "aral-paper-no-active", "aral-paper-no-encoder", "no-co-training", "generated-only"),
)

UNLIKE_WEIGHTS: Changes = {
    "weight of reconstruction": 0.3,
    "weight of divergence": 0.7,
    "weight of hiding from the sampler": 0.4,
    "weight of the GAN": 1.3,
    "weight of classification": 0.8,
    "weight of generated": 0.6,
    "feature matching": 1.7,
    "labelled share": 0.45,
    "weight of self-training": 0.9,
    "partition loss in rounds": 0.35,
    "weight of disagreement": 1.2,
    "weight of imbalance": 1.6,
    "weight of imitation": 0.65,
    "contrast": 0.25,
    "weight of the predictor": 1.1,
    "graph weight": 0.55,
    "groups per class": [1, 2],
    "communities per class": 3,
    "temperature": 0.6,
}
"""No two weights are equal, and none is 0 or 1: taken one for another, or forgotten, they are noticed."""

UNLIKE_OPTIMISERS: Changes = {
    "encoder": {"rate": 1.1e-3, "beta1": 0.1, "beta2": 0.991, "weight_decay": 0.01},
    "generator": {"rate": 1.2e-3, "beta1": 0.2, "beta2": 0.992, "weight_decay": 0.02},
    "discriminator": {"rate": 1.3e-3, "beta1": 0.3, "beta2": 0.993, "weight_decay": 0.03},
    "sampler": {"rate": 1.4e-3, "beta1": 0.4, "beta2": 0.994, "weight_decay": 0.04},
    "decoder": {"rate": 1.5e-3, "beta1": 0.5, "beta2": 0.995, "weight_decay": 0.05},
    "critic": {"rate": 1.6e-3, "beta1": 0.6, "beta2": 0.996, "weight_decay": 0.06},
    "partition": {"rate": 1.7e-3, "beta1": 0.7, "beta2": 0.997, "weight_decay": 0.07},
    "partition loss in rounds": 1.0,
    "weight of generated": 1.0,
    "weak augmentation": {"shift": 0.1, "rotation": 5, "flip": True, "colour": 0.1},
    "strong augmentation": {"shift": 0.2, "scale": 0.1, "rotation": 9, "shear": 4, "cut_out": 0.3},
    "augmentation before labels": {"shift": 0.15, "scale": 0.2, "colour": 0.2, "cut_out": 0.2},
}
"""The same for optimisers and augmentations."""

RESUMED: Mapping[str, tuple[str, str, Changes, tuple[int, ...]]] = {
    "aral, before the labels and in both rounds": ("digits", "aral", {}, (2, 4, 5)),
    "mixed, averaged labels": ("cifar10", "aral", {}, (3, 4)),
    "aral-paper": ("digits", "aral-paper", {}, (6,)),
    "no-co-training": ("svhn", "no-co-training", {}, (2, 3)),
    "cold start": ("digits", "vaal", {"warm start": False}, (5,)),
}


def resumed(preset: str, learner: str, more: Changes, stop_after: Sequence[int], folder: Path) -> Json:
    """A run that is stopped and resumed.

    Raises:
        AssertionError: it does not end with the weights and queries of one that was not stopped.
    """
    (folder / "once").mkdir()
    (folder / "again").mkdir()
    whole = run(preset, learner, more, folder / "once", places=1)
    again = run(preset, learner, more, folder / "again", stop_after, places=1)
    for part in ("weights", "queries", "metrics", "confusion"):
        assert again[part] == whole[part], f"{part} of the resumed run differ"
    return {part: again[part] for part in ("weights", "queries", "metrics")}


# Cases of projects

ANIMALS = ("cat", "dog", "bird")


def photograph(folder: Path, count: int) -> dict[str, str]:
    """Write images, an exact copy, a broken file; the class of each image by name."""
    folder.mkdir()
    numbers = np.random.Generator(np.random.Philox(5))
    pictures, labels = stripes(numbers, count, len(ANIMALS), 3, 32)
    truth = {}
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        name = f"img-{number:03d}.png"
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / name)
        truth[name] = ANIMALS[label]
    (folder / "z-copy.png").write_bytes((folder / "img-004.png").read_bytes())
    (folder / "z-broken.png").write_bytes(b"not an image")
    near = pictures[7].copy()
    near[0, 0, 0] ^= 3
    Image.fromarray(near.transpose(1, 2, 0)).save(folder / "z-near.png")
    truth |= {"z-near.png": truth["img-007.png"], "z-copy.png": truth["img-004.png"]}
    return truth


def project(folder: Path) -> Json:
    """One person labels, changes their mind, changes the classes, trains three times, imports and exports."""
    truth = photograph(folder / "photos", 70)
    log: dict[str, Json] = {}
    with adapter.served_project(folder / "photos", ANIMALS, 60, 6, 0.2) as (served, imported):
        log["imported"] = imported
        log["classes"] = served.classes()
        log["unlabelled"] = served.grid("Ann", "unlabelled")
        served.train()
        log["pretrained"] = served.state("Ann")
        log["cards"] = cards = served.next_images("Ann", 12)
        log["the same cards after a reload"] = served.next_images("Ann", 12)
        names = [card[0] for card in cards]
        log["answered"] = served.answer("Ann", [(name, truth[name]) for name in names[:6]])
        odd = [(names[6], "skip"), (names[7], "unsure"), (names[8], "bad image"), (names[9], "none of these")]
        log["other answers"] = served.answer("Ann", odd)
        log["undone"] = served.answer("Ann", [(names[0], "undo"), (names[6], "undo")])
        wrong = "dog" if truth[names[1]] != "dog" else "cat"
        log["relabelled"] = served.answer("Ann", [(names[1], wrong), (names[0], truth[names[0]])])
        log["refused"] = served.refused("Ann", names[2], 99)
        log["history"] = served.history("Ann")
        served.train()
        log["trained"] = served.state("Ann")
        for number in range(2):
            log[f"round {number}"] = label_next(served, truth, 14)
            served.train()
            log[f"trained {number}"] = served.state("Ann")
        log["grid"] = served.grid("Ann", "predicted")
        log["near"] = served.grid("Bob", "near")
        log["progress"] = served.progress()
        some = [names[0], names[3], "img-004.png", "nowhere.png"]
        log["label studio"] = served.label_studio(some, (names[2], "bird"))
        served.change_class("add", "fish", "", "Ann")
        served.change_class("rename", "bird", "big bird", "Ann")
        served.change_class("describe", "cat", "It meows.", "Ann")
        unnamed = [card[0] for card in served.next_images("Ann", 4)]
        log["fish"] = served.answer("Ann", [(name, "fish") for name in unnamed])
        log["exports before the merge"] = served.exports(folder / "first")
        served.change_class("merge", "fish", "dog", "Ann")
        served.change_settings("Ann", suggestions_on=False, budget=66)
        log["classes after the changes"] = served.classes()
        served.train()
        log["trained after the changes"] = served.state("Ann")
        log["cards without suggestions"] = served.next_images("Ann", 8)
        lines = ("img-010.png,cat,Bob", "img-011.png,horse,Bob", "img-010.png,cat,Bob", "no.png,cat,Bob")
        (folder / "labels.csv").write_text("\n".join(("path,label,annotator", *lines)) + "\n")
        log["labels taken"] = [served.take_labels(folder / "labels.csv") for _ in range(2)]
        log["history of Ann"], log["history of Bob"] = served.history("Ann"), served.history("Bob")
        log["exports"] = served.exports(folder / "last")
        log["progress at the end"] = served.progress()
        log["unlabelled at the end"] = served.grid("Bob", "unlabelled")
    return log


def label_next(served: adapter.Served, truth: Mapping[str, str], count: int) -> Json:
    """Answer the next cards truthfully, by the present names of the classes."""
    cards = served.next_images("Ann", count)
    return {"cards": cards, "counts": served.answer("Ann", [(card[0], truth[card[0]]) for card in cards])}


def two_people(folder: Path) -> Json:
    """Two people answer the same images, and do not always agree."""
    truth = photograph(folder / "photos", 40)
    log: dict[str, Json] = {}
    with adapter.served_project(folder / "photos", ANIMALS, 30, 5, 0.3) as (served, imported):
        log["imported"] = imported
        served.change_settings("Ann", overlap=2)
        for person, first in (("Ann", 0), ("Bob", 1)):
            for turn in range(2):
                cards = served.next_images(person, 7)
                log[f"{person} {turn}"] = cards
                said = [truth[name] for name, *_ in cards]
                said[first] = "dog" if person == "Ann" else "bird"
                log[f"{person} {turn} counts"] = served.answer(
                    person, [(card[0], label) for card, label in zip(cards, said, strict=True)]
                )
        served.train()
        log["state"] = served.state("Bob")
        log["progress"] = served.progress()
        log["exports"] = served.exports(folder / "out")
    return log


# All cases


def cases() -> dict[str, Case]:
    """Every case by name; each gets an empty folder."""
    found: dict[str, Case] = {}
    for preset in PRESETS:
        for learner in LEARNERS:
            found[f"run/{preset}/{learner}"] = partial(run, preset, learner, {})
    for name, (preset, learner, more) in VARIANTS.items():
        found[f"variant/{name}/{preset}/{learner}"] = partial(run, preset, learner, more, places=1)
    for name, changes in (("weights", UNLIKE_WEIGHTS), ("optimisers", UNLIKE_OPTIMISERS)):
        for learner in UNLIKE_LEARNERS:
            found[f"unlike {name}/digits/{learner}"] = partial(run, "digits", learner, changes, places=1)
    for preset, learner in (
        ("digits", "aral"),
        ("digits", "aral-paper"),
        ("cifar10", "aral"),
        ("cifar10", "vaal"),
    ):
        found[f"selections/{preset}/{learner}"] = partial(selections, preset, learner)
    for name, (preset, learner, more, stops) in RESUMED.items():
        found[f"resumed/{name}"] = partial(resumed, preset, learner, more, stops)
    found |= {"grid": grid, "project/one person": project, "project/two people": two_people}
    return found


def settings_of_presets() -> Json:
    """Every setting of each preset and learner, for information: of learners what differs from ``supervised``."""
    found: dict[str, Json] = {}
    with tempfile.TemporaryDirectory() as folder:
        for preset in PRESETS:
            place = preset if preset != "folder" else folder
            tables = {
                learner: {
                    key: value
                    for key, value in adapter.values_of(
                        adapter.specification(place, learner, {}, small=False)
                    ).items()
                    if key != "data"
                }
                for learner in LEARNERS
            }
            found[preset] = {"supervised": tables["supervised"]}
            for learner in LEARNERS:
                changed = changed_values(tables["supervised"], tables[learner])
                found[preset] |= {learner: changed} if learner != "supervised" else {}
        plain = found["folder"]["supervised"]
        for side in (32, 64, 112):
            for effort in ("quick", "normal", "thorough"):
                for learner in ("aral", "supervised"):
                    spec = adapter.labelling_specification(Path(folder), side, 500, 4, 300, effort, learner)
                    values = adapter.values_of(spec) | {"data": None}
                    found[f"labelling, {side} pixels, {effort}, {learner}"] = changed_values(plain, values)
    return found


def changed_values(plain: Mapping[str, Json], other: Mapping[str, Json]) -> dict[str, Json]:
    """What another table adds or changes; what it lacks is left out."""
    return {key: value for key, value in other.items() if key not in plain or plain[key] != value}
