"""Learning curves of several methods and seeds as raw rows: every figure of docs/benchmarks.md on accuracy.

    python benchmarks/curves.py mnist-objectives mnist --methods aral:released+aral,aral+aral --seeds 1

Runs live in runs/NAME and are resumed when the command is repeated. Rows are written after each run, each with the
commit and machine it was measured on. A run that has a row is not repeated, even where its folder is gone: to
measure anew, delete the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import torch

from method_names import NAMES

ROOT = Path(__file__).parent
RESULTS = ROOT / "results"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit() -> str:
    """The commit the figures belong to, with a mark when the tree has changes."""
    text = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout
    return text.strip()


def typed_command() -> str:
    """The command of this script; files and folders of this machine by their last two names only."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(without_root, sys.argv[1:])])


def without_root(argument: str) -> str:
    """An argument, but of an absolute path, alone or after ``=``, the last two names."""
    name, equals, value = argument.rpartition("=")
    names = [part for part in Path(value).parts if part != "/"]
    return f"{name}{equals}{'/'.join(names[-2:])}" if value.startswith("/") else argument


def one_run(arguments: argparse.Namespace, method: str, seed: int, folder: Path) -> dict[str, object]:
    """Run or resume one method and seed; the parsed summary."""
    command = [sys.executable, "-m", "aral", "run", arguments.data, "--method", method, "--seed", str(seed)]
    command += ["--folder", str(folder), "--threads", str(arguments.threads), "--json"]
    for setting in arguments.set:
        command += ["--set", setting]
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    measured = {
        "names": NAMES,
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    return (
        result | {"asked": method, "command": " ".join(["aral", *map(without_root, command[3:])])} | measured
    )


def main() -> None:
    """Run everything that is asked for, ``--workers`` at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="of the result file and of the folder below runs/")
    parser.add_argument("data")
    parser.add_argument("--methods", required=True, help="comma-separated")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="as for aral run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    target = RESULTS / f"{arguments.name}.json"
    RESULTS.mkdir(exist_ok=True)
    header = {
        "command": typed_command(),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "seeds": list(range(arguments.seeds)),
    }
    runs: list[dict[str, object]] = json.loads(target.read_text())["runs"] if target.exists() else []
    known = {(run["asked"], run["seed"]) for run in runs}
    units = [(method, seed) for seed in range(arguments.seeds) for method in arguments.methods.split(",")]

    def execute(unit: tuple[str, int]) -> None:
        method, seed = unit
        if unit in known:
            return
        runs.append(one_run(arguments, method, seed, Path("runs") / arguments.name / f"{method}-seed{seed}"))
        runs.sort(key=lambda run: (str(run["method"]), str(run["seed"])))
        target.write_text(json.dumps(header | {"runs": runs}, indent=1) + "\n")

    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(execute, units))


if __name__ == "__main__":
    main()
