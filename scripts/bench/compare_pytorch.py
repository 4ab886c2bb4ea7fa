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
import json
import statistics
import sys
import tempfile

import compare_dmpnn_diffpool
import compare_hgnn_moe
import comparison
from comparison import fail, run_json

DATASETS = {  # options that make data and model those of the reference's bench
    "perov_5": ("inputs/comformer_perov5.yaml", "data.path={shared}/data/crystals/perov_5_val.csv.gz"),
    "carbon_24": ("inputs/comformer_carbon24.yaml", "data.path={shared}/data/crystals/carbon_24_val.csv.gz"),
}
MODEL = [f"model.{width}=256" for width in ("node_features", "edge_features", "triplet_input_features", "fc_features")] + [
    "graph.max_neighbors={k}", "graph.cutoff=6.0", "graph.use_lattice=true", "train.batch_size={batch}"]


def compare():
    p = comparison.parser(__doc__, repeat=3, our_repeat=10, rounds=2)
    p.add_argument("--dataset", default="perov_5", choices=sorted(DATASETS))
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--k", type=int, default=25)
    p.add_argument("--unique", action="store_true", help="the reference, too, on unique weighted edges")
    a = comparison.parse(p)
    input_file, data = DATASETS[a.dataset]
    settings = [s.format(shared=a.shared, k=a.k, batch=a.batch) for s in [data, *MODEL]] + a.override
    ours = [a.program, "bench", input_file, "--what", "step", "--repeat", str(a.our_repeat), *settings]
    theirs = [a.python, a.reference, "bench", "--what", "step", "--dataset", a.dataset, "--threads", str(a.threads), "--batch",
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
    print(f"reference  {their:.4f} s a step (median of {a.rounds} x {a.repeat}, torch {a.torch}{', unique edges' if a.unique else ''})")
    print(json.dumps(dict(system=a.system, dataset=a.dataset, threads=a.threads, batch=a.batch, k=a.k, gnn_hpc_seconds=our,
                          reference_seconds=their, nodes=peer.get("nodes"), edges=peer.get("edges"),
                          unique_edges=mine.get("edges"), torch=a.torch, ratio=their / our)))


if __name__ == "__main__":
    comparisons = {"comformer": compare, "dmpnn_diffpool": compare_dmpnn_diffpool.compare, "hgnn_moe": compare_hgnn_moe.compare}
    named = [name for name in sys.argv[1:] if name in comparisons]
    comparisons[named[0] if named else "comformer"]()
