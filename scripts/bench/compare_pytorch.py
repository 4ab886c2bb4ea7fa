#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times a training step of gnn_hpc and of the PyTorch reference on the same batch, alternately, with the same number of threads.

    scripts/bench/compare_pytorch.py comformer [--dataset perov_5] [--threads 2] [--repeat 5] [--rounds 2] [--python PYTHON]

    scripts/bench/compare_pytorch.py dmpnn_diffpool [--no-loop] ...            (polymers: see --help after it)
    scripts/bench/compare_pytorch.py hgnn_moe [--what coupler hgnn gnn] ...   (the language model: see --help after it)

Runs `gnn_hpc bench inputs/SYSTEM_DATASET.yaml` and `SYSTEM.py bench` of the reference in turn (a machine that slows down slows both),
prints the median step of each and, last, one JSON line with "ratio" = reference / gnn_hpc. The workload is the same: the first
64 crystals of the file, default width, k 25, cutoff 6; the number of atoms must agree (and that of edges with --unique: gnn_hpc merges
equal edges, the reference duplicates them, as users run it).
The reference needs torch, numpy and h5py: --python, or the environment variable GNN_HPC_REFERENCE_PYTHON, names an interpreter that has them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WORKLOADS = {  # system -> dataset -> (input file, options that make its data and model those of the reference's bench)
    "comformer": {
        "perov_5": ("inputs/comformer_perov5.yaml", ["data.path={shared}/data/crystals/perov_5_val.csv.gz"]),
        "carbon_24": ("inputs/comformer_carbon24.yaml", ["data.path={shared}/data/crystals/carbon_24_val.csv.gz"]),
    },
}
MODEL = {
    "comformer": [f"model.{width}=256" for width in ("node_features", "edge_features", "triplet_input_features", "fc_features")]
    + ["graph.max_neighbors={k}", "graph.cutoff=6.0", "graph.use_lattice=true", "train.batch_size={batch}"],
}


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


def check_torch(python, modules="torch, numpy, h5py"):
    probe = subprocess.run([python, "-c", f"import {modules}; print(torch.__version__)"], capture_output=True, text=True)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        fail(f"{python} cannot import what the reference needs ({reason}); name an interpreter that has {modules} "
             "with --python or GNN_HPC_REFERENCE_PYTHON")
    return probe.stdout.strip()


def main():
    if "dmpnn_diffpool" in sys.argv[1:2]:  # several comparisons at once: a program of its own
        import compare_dmpnn_diffpool
        compare_dmpnn_diffpool.compare(run_json, check_torch, fail)
        return
    if "hgnn_moe" in sys.argv[1:2]:
        import compare_hgnn_moe
        compare_hgnn_moe.compare(run_json, check_torch, fail)
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("system", choices=sorted(WORKLOADS))
    p.add_argument("--dataset", default="perov_5", choices=sorted({d for s in WORKLOADS.values() for d in s}))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--k", type=int, default=25)
    p.add_argument("--repeat", type=int, default=3, help="timed steps of the reference a round")
    p.add_argument("--our-repeat", type=int, default=10, help="timed steps of gnn_hpc a round")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--unique", action="store_true", help="the reference, too, on unique weighted edges")
    p.add_argument("--program", default=os.path.join(REPOSITORY, "build", "openmp", "gnn_hpc"))
    p.add_argument("--shared", default=os.environ.get("GNN_HPC_SHARED", os.path.join(REPOSITORY, "..", "shared")))
    p.add_argument("--python", default=os.environ.get("GNN_HPC_REFERENCE_PYTHON", sys.executable))
    p.add_argument("override", nargs="*", help="key=value for gnn_hpc")
    a = p.parse_intermixed_args()
    shared = os.path.realpath(a.shared)
    reference = os.path.join(shared, "reference", a.system + ".py")
    if not os.path.exists(reference):
        fail(f"no reference at {reference}; set GNN_HPC_SHARED or --shared")
    if not os.path.exists(a.program):
        fail(f"no program at {a.program}; run scripts/build.sh or name one with --program")
    torch = check_torch(a.python)

    input_file, data = WORKLOADS[a.system][a.dataset]
    settings = [s.format(shared=shared, k=a.k, batch=a.batch) for s in data + MODEL[a.system]] + a.override
    ours = [a.program, "bench", input_file, "--what", "step", "--repeat", str(a.our_repeat), *settings]
    theirs = [a.python, reference, "bench", "--what", "step", "--dataset", a.dataset, "--threads", str(a.threads), "--batch",
              str(a.batch), "--k", str(a.k), "--repeat", str(a.repeat)] + (["--unique"] if a.unique else [])

    our_times, their_times, mine, peer = [], [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        ours += [f"data.cache_dir={folder}", f"run.dir={folder}"]
        for turn in range(a.rounds):
            mine = run_json(ours, a.threads, "gnn_hpc bench")
            peer = run_json(theirs, a.threads, "the reference's bench")
            our_times.append(mine["median_seconds"])
            their_times.append(peer["median_seconds"])
            print(f"round {turn + 1}: gnn_hpc {our_times[-1]:.4f} s, reference {their_times[-1]:.4f} s", flush=True)
    if mine["nodes"] != peer["nodes"] or (a.unique and mine["edges"] != peer["edges"]):
        fail(f"the workloads differ: {mine['nodes']} atoms, {mine['edges']} edges here, {peer['nodes']} and {peer['edges']} there", 1)
    our, their = statistics.median(our_times), statistics.median(their_times)
    print(f"gnn_hpc    {our:.4f} s a step (median of {a.rounds} x {a.our_repeat})")
    print(f"reference  {their:.4f} s a step (median of {a.rounds} x {a.repeat}, torch {torch}{', unique edges' if a.unique else ''})")
    print(json.dumps(dict(system=a.system, dataset=a.dataset, threads=a.threads, batch=a.batch, k=a.k, gnn_hpc_seconds=our,
                          reference_seconds=their, nodes=peer.get("nodes"), edges=peer.get("edges"),
                          unique_edges=mine.get("edges"), torch=torch, ratio=their / our)))


if __name__ == "__main__":
    main()
