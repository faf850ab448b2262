"""Golden runs: short runs of everything, digested, so that a change of the code that changes a result is noticed.

    python benchmarks/golden.py record --out NEW.json
    python benchmarks/golden.py compare benchmarks/results/golden.json NEW.json

A record holds, for each case, digests of the weights, the queries with their scores, and the metrics of a few
float32 training steps on one thread; and for a labelling project what its routes answer and what it exports. With
the same processor and the same versions, weights must be equal bit by bit; elsewhere statistics of them must agree
within 1e-5. Names are not compared: weights are sorted by shape within the role of a network, losses by value.
``--only WORD`` records the cases whose name holds the word; ``compare`` then needs ``--partial``.

The cases are in ``golden_cases.py``; all that touches the package is in ``golden_adapter.py``.

On another processor about a fifth of the cases, nearly all with convolutions, leave the tolerance: Adam makes full
steps even where a gradient is zero but for rounding. There, record the old commit on the same machine first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from golden_cases import Case, Json, cases, settings_of_presets

ROOT = Path(__file__).parent
TOLERANCE = 1e-5


# Recording


def machine() -> dict[str, Json]:
    """What results may depend on bit by bit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    facts = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith(("model name", "model\t", "stepping"))
    ]
    return {
        "processor": " / ".join(facts[:3]) or platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **{name: metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")},
        "settings": {
            key: os.environ[key]
            for key in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
            if key in os.environ
        },
    }


def git(*words: str) -> str:
    """What git says, an empty text outside of a repository."""
    done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout.strip()


def record(chosen: Mapping[str, Case], say: Callable[[str], None] = lambda line: None) -> dict[str, Json]:
    """Run cases; what each gave."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    results = {}
    for name, case in chosen.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            results[name] = case(Path(folder))
        say(f"{time.monotonic() - began:6.1f} s  {name}")
    return results


def write(path: Path, whole: Mapping[str, Json]) -> None:
    """As JSON with one line for each part of a case: short, and differences of two files can be read."""
    lines = []
    for section, body in whole.items():
        if section not in ("cases", "settings"):
            lines.append(f"{json.dumps(section)}: {json.dumps(body)}")
            continue
        inner = [f"{json.dumps(name)}: {in_lines(case)}" for name, case in body.items()]
        lines.append(f"{json.dumps(section)}: {{\n" + ",\n".join(inner) + "\n}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def in_lines(case: Json) -> str:
    """A case as JSON, a line for each of its keys."""
    short = partial(json.dumps, separators=(",", ":"))
    return "{\n" + ",\n".join(f" {short(key)}:{short(value)}" for key, value in case.items()) + "}"


# Comparing


def mismatches(old: Json, new: Json, exact: bool, path: str = "") -> Iterator[str]:
    """Where two results differ: numbers by more than the tolerance, everything else at all.

    Args:
        old: what is expected.
        new: what was found.
        exact: whether hashes of weights must be equal.
        path: where in the case.
    """
    if path.endswith("/weights"):
        yield from weight_mismatches(old, new, exact, path)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            if key not in old or key not in new:
                yield f"{path}/{key}: only in the {'new' if key not in old else 'old'} record"
            else:
                yield from mismatches(old[key], new[key], exact, f"{path}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from mismatches(one, other, exact, f"{path}/{number}")
    elif not same(old, new):
        yield f"{path}: {json.dumps(old)[:120]} → {json.dumps(new)[:120]}"


def weight_mismatches(old: Json, new: Json, exact: bool, path: str) -> Iterator[str]:
    """Where the digests of weights differ."""
    for role in sorted(old.keys() | new.keys()):
        before = {entry[0]: entry[1:] for entry in old.get(role, [])}
        after = {entry[0]: entry[1:] for entry in new.get(role, [])}
        for shape in sorted(before.keys() | after.keys()):
            where = f"{path}/{role}/{shape}"
            if shape not in before or shape not in after or before[shape][0] != after[shape][0]:
                counts = [table.get(shape, [0])[0] for table in (before, after)]
                yield f"{where}: {counts[0]} → {counts[1]} tensors"
                continue
            (_, one, first), (_, other, second) = before[shape], after[shape]
            apart = max(abs(a - b) / max(1e6, abs(a)) for a, b in zip(first, second, strict=True))
            if apart > TOLERANCE or (exact and one != other):
                yield f"{where}: differ by {apart:.1e}"


def same(old: Json, new: Json) -> bool:
    """Whether two plain values agree; floating-point numbers within the tolerance."""
    plain = (int, float)
    if (
        isinstance(old, plain)
        and isinstance(new, plain)
        and (isinstance(old, float) or isinstance(new, float))
    ):
        return abs(old - new) <= TOLERANCE * max(1.0, abs(old))
    return type(old) is type(new) and bool(old == new)


def compare(old: Mapping[str, Json], new: Mapping[str, Json], only_new: bool = False) -> dict[str, list[str]]:
    """The mismatches of two records by case; cases that only the new one has are passed over.

    Args:
        old: the record that is expected.
        new: the other.
        only_new: pass over the cases that the new record lacks, too.
    """
    exact = old["machine"] == new["machine"]
    found: dict[str, list[str]] = {}
    for name, case in old["cases"].items():
        if name in new["cases"]:
            found[name] = sorted(mismatches(case, new["cases"][name], exact))
        elif not only_new:
            found[name] = ["missing in the new record"]
    return {name: lines for name, lines in found.items() if lines}


def whole_record(only: str = "") -> dict[str, Json]:
    """A record of all cases, or of those whose name holds a word."""
    began = time.monotonic()
    chosen = {name: case for name, case in cases().items() if only in name}
    results = record(chosen, lambda line: print(line, flush=True))
    return {
        "commit": git("describe", "--always", "--dirty"),
        "source": git("log", "-1", "--format=%H", "--", "../src"),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.monotonic() - began),
        "python": platform.python_version(),
        "machine": machine(),
        "cases": results,
        "settings": {} if only else settings_of_presets(),
    }


def main() -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run all cases and write what they give")
    recording.add_argument("--out", type=Path, required=True)
    recording.add_argument("--only", default="", help="only cases whose name holds this")
    comparing = commands.add_parser("compare", help="list what differs; exit code 1 if anything does")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--partial", action="store_true", help="the new record holds some cases only")
    arguments = parser.parse_args()
    if arguments.command == "record":
        write(arguments.out, whole_record(arguments.only))
        return 0
    old, new = (json.loads(path.read_text()) for path in (arguments.old, arguments.new))
    found = compare(old, new, arguments.partial)
    exact = old["machine"] == new["machine"]
    for name, lines in found.items():
        print(f"{name}: {len(lines)} differences")
        for line in lines[:8]:
            print(f"    {line}")
    checked = len(old["cases"].keys() & new["cases"].keys())
    how = "bit by bit" if exact else f"within {TOLERANCE}, for machine or versions differ"
    print(f"{checked - len(found.keys() & new['cases'].keys())} of {checked} cases are equal ({how}); "
          f"{len(found)} of {len(old['cases'])} mismatch.")  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
