#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times the polymer models of gnn_hpc and of the PyTorch reference alternately, on the same molecules, with the same number of threads.

    scripts/bench/compare_pytorch.py dmpnn_diffpool [--threads 2] [--rounds 3] [--no-loop] [--python PYTHON]

  dmpnn, diffpool, diffpool_levels2, diffpool_levels2_dense   a training step of 64 molecules, width 300: collated batch to optimiser step
  loop        the DiffPool step with the literal triple loop (every edge, every pair of clusters) for the coarse features, once
  coarsen     pooling alone: coarse edges and their features for 16, 64, 256 molecules, top 3 and dense; with the loop for 64
  featurise   text to graphs, molecules a second with one thread; gnn_hpc's includes reading the CSV and writing the cache

The molecules are those of the reference's bench: 64 of 256 drawn from egc.csv. Runs of both programs take turns, medians of all rounds are
printed and, last, one JSON line with every time and ratio; "ratio" = reference / gnn_hpc of the step with one pooling level.
The reference needs torch, numpy and rdkit: --python, or the environment variable GNN_HPC_REFERENCE_PYTHON, names an interpreter that has them.
"""
import argparse
import json
import os
import statistics
import tempfile
import time

import comparison
from comparison import fail, load_reference, run_json

STEPS = {  # name in the reference's bench -> options of gnn_hpc
    "dmpnn": ["model.encoder=dmpnn"],
    "diffpool": [],
    "diffpool_levels2": ["model.diffpool_depth=2"],
    "diffpool_levels2_dense": ["model.diffpool_depth=2", "model.diffpool_topk=0"],
}
SIZES = (16, 64, 256)


def write_molecules(a):
    """The molecules of the reference's bench as a CSV file, with made-up targets."""
    ref = load_reference(a.reference)
    with open(a.write, "w") as file:
        file.write("smiles,value\n")
        for i, text in enumerate(ref.pick(os.path.join(a.data, "egc.csv"), 256, 7, "smiles")):
            file.write(f"{text},{(i * 37 % 101) / 101.0}\n")
    print(json.dumps({"written": a.write}))


def loop_step(a):
    """A DiffPool step whose coarse features come from the triple loop on dense S, as first published (values copied out)."""
    import torch
    ref = load_reference(a.reference)
    torch.set_num_threads(a.threads)
    graphs = [ref.mol_graph(t) for t in ref.pick(os.path.join(a.data, "egc.csv"), 256, 7, "smiles")][:64]
    batch = ref.collate(graphs, torch.float32)
    y = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    trainer = ref.Trainer(ref.build(ref.Config(diffpool_topk=0), 0, batch, torch.float32), 66)
    trainer.step(batch, y)
    begin = time.perf_counter()
    trainer.step(batch, y)
    step = time.perf_counter() - begin
    begin, dense = time.perf_counter(), torch.Generator().manual_seed(1)
    for g in graphs:
        one = ref.collate([g], torch.float32)
        nodes = len(one.V)
        clusters = int(ref.cluster_counts(torch.tensor([nodes]), 0.5))
        S = torch.softmax(torch.randn(nodes, clusters, generator=dense).requires_grad_(), 1)  # part of a training step
        ref.triple_loop(S, one.E, *one.edge_index)
    loop = time.perf_counter() - begin
    print(json.dumps({"loop_s": loop, "step_s": step + loop}))


def compare():
    p = comparison.parser(__doc__, repeat=7, our_repeat=60, rounds=3)
    p.add_argument("--no-loop", action="store_true", help="leave the triple loop out")
    a = comparison.parse(p, "torch, numpy, rdkit")
    reference, data = a.reference, os.path.join(a.shared, "data", "polymers")
    times, sizes, rates = {}, {}, {}

    def note(name, seconds):
        times.setdefault(name, []).append(seconds)

    with tempfile.TemporaryDirectory() as folder:
        here = [a.python, os.path.abspath(__file__), "--reference", reference, "--data", data, "--threads", str(a.threads)]
        molecules = os.path.join(folder, "molecules.csv")
        run_json([*here, "--write", molecules], 1, "the reference's molecules")

        def ours(what, batch, settings, threads=a.threads):
            command = [a.program, "bench", "inputs/dmpnn_diffpool_egc.yaml", "--what", what, "--batch", str(batch), "--repeat", str(a.our_repeat),
                       f"data.path={molecules}", f"data.cache_dir={folder}/cache", f"run.dir={folder}/run", *settings, *a.override]
            return run_json(command, threads, "gnn_hpc bench")

        for turn in range(a.rounds):
            for name, settings in STEPS.items():
                mine = ours("step", 64, settings)
                note("gnn_hpc_" + name, mine["median_seconds"])
                sizes[name] = (mine["nodes"], mine["edges"])
            for size in SIZES:
                for k in (3, 0):
                    note(f"gnn_hpc_coarsen_batch{size}_topk{k}", ours("coarsen", size, [f"model.diffpool_topk={k}"])["median_seconds"])
            peer = run_json([a.python, reference, "bench", "--threads", str(a.threads), "--repeat", str(a.repeat), "--data", data], a.threads,
                            "the reference's bench")
            for name in STEPS:
                note("reference_" + name, peer[name]["step_s"])
            for size in SIZES:
                for k in (3, 0):
                    note(f"reference_coarsen_batch{size}_topk{k}", peer[f"coarsen_batch{size}_topk{k}_s"])
            rates.setdefault("reference", []).append(peer["featurise_molecules_per_s"])
            if sizes["dmpnn"] != (peer["atoms"], peer["directed_edges"]):
                fail(f"the workloads differ: {sizes['dmpnn']} atoms and edges here, {peer['atoms']} and {peer['directed_edges']} there", 1)
            graph = run_json([a.program, "bench", "inputs/dmpnn_egc.yaml", "--what", "graph", "--repeat", "3", f"data.path={data}/egc.csv",
                              f"data.cache_dir={folder}/egc", f"run.dir={folder}/run", "data.threads=1"], 1, "gnn_hpc bench --what graph")
            rates.setdefault("gnn_hpc", []).append(graph["items_per_second"])
            line = "  ".join(f"{n} {1e3 * times['gnn_hpc_' + n][-1]:.2f} / {1e3 * times['reference_' + n][-1]:.1f} ms" for n in STEPS)
            print(f"round {turn + 1} (gnn_hpc / reference): {line}", flush=True)
        if not a.no_loop:
            peer = run_json([*here, "--loop"], a.threads, "the triple loop")
            note("loop_diffpool", peer["step_s"])
            note("loop_coarsen_batch64", peer["loop_s"])

    median = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: median["reference_" + name] / median["gnn_hpc_" + name]
              for name in [*STEPS, *(f"coarsen_batch{size}_topk{k}" for size in SIZES for k in (3, 0))]}
    for name, ratio in ratios.items():
        print(f"{name:24s} gnn_hpc {1e3 * median['gnn_hpc_' + name]:9.3f} ms   reference {1e3 * median['reference_' + name]:9.2f} ms   ratio {ratio:7.1f}")
    if not a.no_loop:
        ratios["loop_diffpool"] = median["loop_diffpool"] / median["gnn_hpc_diffpool"]
        ratios["loop_coarsen_batch64"] = median["loop_coarsen_batch64"] / median["gnn_hpc_coarsen_batch64_topk0"]
        print(f"step with the triple loop {median['loop_diffpool']:.2f} s, ratio {ratios['loop_diffpool']:.0f}; "
              f"the loop alone {median['loop_coarsen_batch64']:.2f} s, ratio {ratios['loop_coarsen_batch64']:.0f} (both dense)")
    rate = {name: statistics.median(values) for name, values in rates.items()}
    print(f"featurisation, one thread: gnn_hpc {rate['gnn_hpc']:.0f} molecules/s, reference {rate['reference']:.0f}")
    print(json.dumps(dict(system="dmpnn_diffpool", threads=a.threads, batch=64, nodes=sizes["dmpnn"][0], edges=sizes["dmpnn"][1], torch=a.torch,
                          seconds=median, ratios=ratios, molecules_per_second=rate, ratio=ratios["diffpool"])))


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--reference", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--write")
    p.add_argument("--loop", action="store_true")
    options = p.parse_args()
    loop_step(options) if options.loop else write_molecules(options)
