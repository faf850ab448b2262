"""Commands of SLURM that run jobs as processes of this machine, so that submitit can be tested without a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

SBATCH = """
script = Path(sys.argv[1])
job = str(1 + len(list(FOLDER.glob("*.script"))))
(FOLDER / f"{job}.script").write_text(script.read_text())
if (FOLDER / "refusing").exists():
    sys.exit("sbatch: error: QOSMaxSubmitJobPerUserLimit")
environment = os.environ | {
    "SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
}
whole = f"bash {FOLDER / job}.script; echo $? > {FOLDER / job}.exit"
process = subprocess.Popen(["bash", "-c", whole], env=environment, start_new_session=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
(FOLDER / f"{job}.process").write_text(str(process.pid))
print(f"Submitted batch job {job}")
"""

SRUN = """
words = sys.argv[1:]
job = os.environ["SLURM_JOB_ID"]
for name, descriptor in (("--output", 1), ("--error", 2)):
    path = words[words.index(name) + 1].replace("%j", job).replace("%t", "0")
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
command = words[words.index("--error") + 2:]
os.execvp(command[0], command)
"""

SACCT = """
print("JobID|State|NodeList")
for job in (word for word in sys.argv if word.isdecimal()):
    end, process = FOLDER / f"{job}.exit", FOLDER / f"{job}.process"
    if end.exists():
        state = "COMPLETED" if end.read_text().strip() == "0" else "FAILED"
    else:
        state = "RUNNING" if process.exists() and Path(f"/proc/{process.read_text()}").exists() else "NODE_FAIL"
    print(f"{job}|{state}|here")
"""

SCANCEL = """
for job in sys.argv[1:]:
    try:
        os.killpg(int((FOLDER / f"{job}.process").read_text()), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
"""


def make_slurm_commands(folder: Path) -> None:
    """Write ``sbatch``, ``srun``, ``sacct`` and ``scancel`` to a folder, which is to be put on PATH.

    The folder keeps the script of each job, ``NUMBER.script``. A file ``refusing`` makes sbatch refuse.
    """
    for name, body in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        head = f"#!{sys.executable}\nimport os, signal, subprocess, sys\nfrom pathlib import Path\n"
        path = folder / name
        path.write_text(f"{head}FOLDER = Path({str(folder)!r})\n{body}")
        path.chmod(0o700)
