"""One run, fully specified: saved beside its results and enough to repeat them."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from aral.acquisition import is_user_defined, make_acquisition
from aral.benchmarking.methods import Method
from aral.data import NAMES
from aral.errors import BadInput, unknown_name
from aral.learners.spec import Model
from aral.settings import Settings

FOLDER_PRESET = "folder"
SCALES = ("mlp", "compact", "conv32", "resnet", "biggan")
"""Tags of :data:`aral.networks.AnyFamily`."""


class Rounds(Settings):
    """How labels are spent."""

    query_size: int = Field(10, ge=1)  # labels a round
    budget: int = Field(100, ge=1)  # labels in all
    first_query: str = "typiclust"  # acquisition of round 0, before any label
    validation_share: float = Field(0.0, ge=0, le=0.5)  # of the labels, spent but kept from training
    validation_steps: int = Field(100, ge=1)  # training steps between two looks at the validation images


class RunSpec(Settings):
    """Everything that decides the outcome of a run."""

    data: str  # name of a data set, or a folder of class folders
    learner: str
    acquisition: str
    seed: int = 0
    threads: int = Field(2, ge=1)  # of PyTorch; sums are ordered by it, so it belongs to the result
    pool_size: int | None = Field(None, ge=1)  # None: the whole pool
    test_size: int | None = Field(None, ge=1)  # None: the whole test set
    side: int = Field(32, ge=8)  # of images read from class folders (a folder, imagenet), pixels
    rounds: Rounds = Rounds()
    model: Model = Model()

    @property
    def method(self) -> Method:
        """Learner and acquisition."""
        return Method(self.learner, self.acquisition)

    @property
    def folder_name(self) -> str:
        """A name for the run's folder."""
        # A folder may be given as ".", which has no name of its own.
        data = self.data if self.data in NAMES else Path(self.data).expanduser().resolve().name
        return f"{data}-{self.method}-seed{self.seed}"


def preset_names() -> list[str]:
    """Every preset that is shipped."""
    files = resources.files("aral.benchmarking").joinpath("presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_preset(name: str) -> dict[str, Any]:
    """The table of a shipped preset.

    Raises:
        BadInput: there is none of this name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    text = resources.files("aral.benchmarking").joinpath("presets", f"{name}.toml").read_text()
    return tomllib.loads(text)


def read_learner_preset(learner: str) -> dict[str, Any]:
    """What a learner asks for on every data set; an empty table for one that has no wishes."""
    file = resources.files("aral.benchmarking").joinpath("presets", "learners", f"{learner}.toml")
    return tomllib.loads(file.read_text()) if file.is_file() else {}


def resolve(data: str, method: Method, settings: Iterable[str] = (), **fields: Any) -> RunSpec:
    """The specification of a run: the data's preset, the learner's, the data's part for it, single settings.

    Args:
        data: name of a data set, or a folder of class folders.
        method: learner and acquisition.
        settings: ``a.b.c=value`` pairs; values are read as TOML, and as text where that fails.
        fields: further fields of :class:`RunSpec`; ``None`` leaves the preset's value.

    Raises:
        BadInput: a name or a value is wrong; says which, and what would be right.
    """
    name = data if data in NAMES else FOLDER_PRESET
    if name == FOLDER_PRESET and not Path(data).expanduser().is_dir():
        error = unknown_name("data set", data, NAMES)
        raise BadInput(error.problem, f"{error.hint} A folder of class folders also works: ./photos")
    table = read_preset(name)
    for_learner = table.pop("learner", {}).get(method.learner, {})
    for own in (read_learner_preset(method.learner), for_learner):
        table = _merged(_without_other_scale(table, own), own)
    table |= {"data": data, "learner": method.learner, "acquisition": method.acquisition}
    table = _merged(table, {key: value for key, value in fields.items() if value is not None})
    for setting in settings:
        table = _merged(_without_other_scale(table, parsed := _parsed(setting)), parsed)
    spec = validated(table)
    # Names may also have come from a preset or a single setting.
    Method.parse(str(spec.method))
    if not is_user_defined(spec.rounds.first_query):
        make_acquisition(spec.rounds.first_query)
    return spec


def validated(table: Mapping[str, Any]) -> RunSpec:
    """A specification from a table, with errors that name the setting.

    Raises:
        BadInput: a setting is unknown or has a wrong value.
    """
    try:
        return RunSpec.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise _unknown_setting(where, table) from error
        got = first.get("input")
        hint = f"Got {got!r}."
        if isinstance(got, Mapping):  # it is about several settings of a table
            hint = f"Change one of them with --set; 'aral settings {table.get('data', 'DATA')}' shows all."
        raise BadInput(f"Setting {where}: {first['msg']}.", hint) from error


def _unknown_setting(where: str, table: Mapping[str, Any]) -> BadInput:
    known = sorted(_leaves(RunSpec.model_validate(_known(table)).model_dump(), ""))
    # A path inside a tagged union carries the tag, which users do not write.
    plain = [part for part in where.split(".") if part not in SCALES]
    close = difflib.get_close_matches(".".join(plain), known, n=1, cutoff=0.4)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return BadInput(f"Unknown setting '{'.'.join(plain)}'.", f"{hint}All settings: aral settings DATASET")


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """The least table of the same scale of networks, for each scale has settings of its own."""
    known: dict[str, Any] = {key: table[key] for key in ("data", "learner", "acquisition")}
    model = table.get("model")
    networks = model.get("networks") if isinstance(model, dict) else None
    if isinstance(networks, dict) and networks.get("scale") in SCALES:
        known["model"] = {"networks": {"scale": networks["scale"]}}
    return known


def _leaves(table: Mapping[str, Any], prefix: str) -> list[str]:
    names: list[str] = []
    for key, value in table.items():
        names += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


def _without_other_scale(table: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, Any]:
    """The table without the preset's network sizes when a setting asks for networks of another scale."""
    scale = _at(setting, "model.networks.scale")
    if scale is None or scale == _at(table, "model.networks.scale") or "model" not in table:
        return dict(table)
    model = {key: value for key, value in table["model"].items() if key != "networks"}
    return {**table, "model": model}


def _parsed(setting: str) -> dict[str, Any]:
    path, equals, text = setting.partition("=")
    if not equals or not path.strip():
        raise BadInput(f"'{setting}' is no setting.", "Write --set model.training.steps=500")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table: dict[str, Any] = {}
    inner = table
    *parents, leaf = path.strip().split(".")
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[leaf] = value
    return table


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def flattened(spec: RunSpec) -> dict[str, Any]:
    """Every setting by its full name, such as ``model.training.steps``, as JSON has it."""
    table = json.loads(spec.model_dump_json())
    return {name: _at(table, name) for name in _leaves(table, "")}


def differences(one: RunSpec, other: RunSpec) -> list[str]:
    """The settings in which two specifications differ, as ``name: one → other``."""
    first, second = flattened(one), flattened(other)
    found = [(name, first.get(name), second.get(name)) for name in sorted({*first, *second})]
    return [f"{name}: {a} → {b}" for name, a, b in found if a != b]


def _at(table: Mapping[str, Any], name: str) -> Any:
    value: Any = table
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
