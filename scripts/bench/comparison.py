# SPDX-License-Identifier: Apache-2.0
"""What tables of comparisons (tests/reference/compare_SYSTEM.py) are made of, and running a program that prints JSON."""
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


@dataclasses.dataclass
class Peer:
    """What a measurement is compared with: a command that prints JSON, and where its time stands in it."""
    command: list
    seconds: object  # JSON -> seconds (or a rate)
    once: bool = False  # too slow for every round


@dataclasses.dataclass
class Measurement:
    """One row: `gnn_hpc bench` with these arguments against peers by name. Commands that are equal run once a round."""
    name: str
    ours: list
    peers: dict
    key: object = "median_seconds"  # of the JSON of gnn_hpc: a name, or JSON -> seconds
    same: tuple = ()  # pairs (our key, key of the first peer's JSON): workloads that must be equal
    rate: bool = False  # items a second: larger is better
    threads: int = 0  # 0: those of the command line
    shared: bool = False  # several numbers of one run of gnn_hpc, which is made once a round


def value_of(answer, key):
    """What `key`, a name or a function, finds in the JSON of a program."""
    return key(answer) if callable(key) else answer[key]


def fail(message, code=2):
    print("compare_pytorch: " + message, file=sys.stderr)
    sys.exit(code)


def run_json(command, threads, what):
    """The last line of standard output that is a JSON object."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                       OMP_PROC_BIND=os.environ.get("OMP_PROC_BIND", "spread"), OMP_PLACES=os.environ.get("OMP_PLACES", "threads"))
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPOSITORY)
    except OSError as problem:
        fail(f"cannot run {what}: {command[0]}: {problem.strerror}")
    if done.returncode:
        fail(f"{what} ended with code {done.returncode}: {' '.join(command)}\n{done.stderr.strip()[-2000:]}", 1)
    text = done.stdout.strip()
    for candidate in (text, text.splitlines()[-1] if text else ""):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    fail(f"{what} printed no JSON: {text[-500:]}", 1)


def load_module(path):
    """A Python file as a module."""
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
