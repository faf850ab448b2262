"""Settings that a grid varies: each value, or each combination of values, is a method of its own."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aral.errors import BadInput
from aral.representations.settings import safe_name

MARK = "@"
"""Between a method and what was varied, as in ``supervised+margin@steps=500``."""

_OF_THE_DATA = (
    "data",
    "arrays",
    "labels",
    "test_share",
    "pool",
    "pool_size",
    "test_size",
    "side",
    "representation",
)
_OF_THE_METHOD = ("learner.name", "acquisition", "chosen", "varied", "representation_chosen")


@dataclass(frozen=True)
class Refused:
    """A method and values that do not fit together.

    Attributes:
        method: the method by name.
        settings: the values, as single settings; those that the method does not have are not compared.
        reason: why, as a sentence.
    """

    method: str
    settings: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.method} with {', '.join(self.settings)}: {self.reason}"


def combinations(vary: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of the values, as single settings; the last setting varies fastest.

    Args:
        vary: settings with several values each, such as ``learner.training.steps=500,1000``.

    Raises:
        BadInput: one names no setting or fewer than two values, occurs twice, or decides the data, the method or the
            seed, which are no settings of a method.
    """
    read = [_read(text) for text in vary]
    names = [name for name, _ in read]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            f"{twice[0]} is varied twice.", f"Give all its values at once: --vary {twice[0]}=1,2,3"
        )
    return list(itertools.product(*([f"{name}={value}" for value in values] for name, values in read)))


def _read(text: str) -> tuple[str, list[str]]:
    name, equals, values = (part.strip() for part in text.partition("="))
    found = _values(values)
    if not equals or not name or len(set(found)) < 2:
        raise BadInput(
            f"'{text}' does not vary a setting.",
            "Write a setting and its values: --vary learner.training.steps=500,1000",
        )
    if len(set(found)) < len(found):
        raise BadInput(f"'{text}' has a value twice.", "Write each value once.")
    top = name.partition(".")[0]
    if top in _OF_THE_DATA:
        raise BadInput(
            f"{name} decides the data, which all methods of a comparison share.",
            f"Make one comparison for each value: --set {name}={found[0]} --folder DIR",
        )
    if name == "seed":
        raise BadInput("Seeds are no setting of a method.", "Write --seeds 5, or --seeds 0,5,7")
    if name in _OF_THE_METHOD:
        raise BadInput(
            f"{name} is a part of the method.", "Name the methods: --methods supervised+random,graph-ssl"
        )
    return name, found


def _values(text: str) -> list[str]:
    """The values as they would be written after ``=``; commas within brackets and quotes separate none."""
    parts = text.split(",")
    found, part = [], ""
    for each in parts:
        part = f"{part},{each}" if part else each
        if _is_whole(part):
            found.append(part.strip())
            part = ""
    return [each for each in [*found, part.strip()] if each]


def _is_whole(text: str) -> bool:
    """Whether text is a value of TOML, or a word without brackets and quotes."""
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return not any(sign in text for sign in "[]{}\"'")
    return True


def named(varied: Iterable[str]) -> str:
    """What a method's name ends in: ``@steps=500,rate=0.1``; empty where nothing was varied.

    A setting is called by the last part of its name, or by its whole name where two end in the same.
    """
    pairs = [each.partition("=")[::2] for each in varied]
    leaves = [name.rpartition(".")[2] for name, _ in pairs]
    words = [
        f"{leaf if leaves.count(leaf) == 1 else name}={safe_name(value.strip().strip(chr(34)))}"
        for leaf, (name, value) in zip(leaves, pairs, strict=True)
    ]
    return f"{MARK}{','.join(words)}" if words else ""
