# SPDX-License-Identifier: Apache-2.0
"""What the comparisons with the PyTorch reference have in common: options, running a program that prints JSON, clear failures."""
import argparse
import importlib.util
import json
import os
import subprocess
import sys

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

SYSTEMS = ("comformer", "dmpnn_diffpool", "hgnn_moe")


def fail(message, code=2):
    print("compare_pytorch: " + message, file=sys.stderr)
    sys.exit(code)


def parser(description, repeat, our_repeat, rounds):
    """An argument parser with the options of all comparisons; `repeat`: timed repetitions of the reference a round."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("system", choices=SYSTEMS)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--repeat", type=int, default=repeat, help="timed repetitions of the reference a round")
    p.add_argument("--our-repeat", type=int, default=our_repeat, help="timed repetitions of gnn_hpc a round")
    p.add_argument("--rounds", type=int, default=rounds)
    p.add_argument("--program", default=os.path.join(REPOSITORY, "build", "openmp", "gnn_hpc"))
    p.add_argument("--shared", default=os.environ.get("GNN_HPC_SHARED", os.path.join(REPOSITORY, "..", "shared")))
    p.add_argument("--python", default=os.environ.get("GNN_HPC_REFERENCE_PYTHON", sys.executable))
    p.add_argument("override", nargs="*", help="key=value for gnn_hpc")
    return p


def parse(p, modules="torch, numpy, h5py"):
    """The arguments, with `reference` (its program), `shared` made absolute and `torch` (its version); fails where something is missing."""
    a = p.parse_intermixed_args()
    a.shared = os.path.realpath(a.shared)
    a.reference = os.path.join(a.shared, "reference", a.system + ".py")
    if not os.path.exists(a.reference):
        fail(f"no reference at {a.reference}; set GNN_HPC_SHARED or --shared")
    if not os.path.exists(a.program):
        fail(f"no program at {a.program}; run scripts/build.sh or name one with --program")
    probe = subprocess.run([a.python, "-c", f"import {modules}; print(torch.__version__)"], capture_output=True, text=True)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        fail(f"{a.python} cannot import what the reference needs ({reason}); name an interpreter that has {modules} "
             "with --python or GNN_HPC_REFERENCE_PYTHON")
    a.torch = probe.stdout.strip()
    return a


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


def load_reference(path):
    """The reference's program as a module."""
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
