# SPDX-License-Identifier: Apache-2.0
"""The polymer models on the molecules of the reference's bench: 64 of 256 drawn from egc.csv.

  diffpool, dmpnn, diffpool_levels2, diffpool_levels2_dense   a training step of 64 molecules, width 300: collated batch to optimiser step
  coarsen_batch16_topk3, ...   pooling alone: coarse edges and their features for 16, 64, 256 molecules, top 3 and dense (topk0)
  featurise                    text to graphs, molecules a second with one thread; gnn_hpc's includes reading the CSV and writing the cache

Peers are the reference and, once, with the literal triple loop (every edge, every pair of clusters) for the coarse features: `loop`.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "bench"))
from comparison import Measurement, Peer, load_module, run_json  # noqa: E402

MODULES = "torch, numpy, rdkit"
REPEAT, OUR_REPEAT, ROUNDS = 7, 60, 3

STEPS = {  # name in the reference's bench -> options of gnn_hpc
    "diffpool": [],
    "dmpnn": ["model.encoder=dmpnn"],
    "diffpool_levels2": ["model.diffpool_depth=2"],
    "diffpool_levels2_dense": ["model.diffpool_depth=2", "model.diffpool_topk=0"],
}
SIZES = (16, 64, 256)


def write_molecules(a):
    """The molecules of the reference's bench as a CSV file, with made-up targets."""
    ref = load_module(a.reference)
    with open(a.write, "w") as file:
        file.write("smiles,value\n")
        for i, text in enumerate(ref.pick(os.path.join(a.data, "egc.csv"), 256, 7, "smiles")):
            file.write(f"{text},{(i * 37 % 101) / 101.0}\n")
    print(json.dumps({"written": a.write}))


def loop_step(a):
    """A DiffPool step whose coarse features come from the triple loop on dense S, as first published (values copied out)."""
    import torch
    ref = load_module(a.reference)
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


def arguments(p):
    p.add_argument("--no-loop", action="store_true", help="leave the triple loop out")


def measurements(a, folder):
    data = os.path.join(a.shared, "data", "polymers")
    here = [a.python, os.path.abspath(__file__), "--reference", a.reference, "--data", data, "--threads", str(a.threads)]
    molecules = os.path.join(folder, "molecules.csv")
    run_json([*here, "--write", molecules], 1, "the reference's molecules")
    reference = [a.python, a.reference, "bench", "--threads", str(a.threads), "--repeat", str(a.repeat), "--data", data]

    def ours(what, batch, settings):
        return ["inputs/dmpnn_diffpool_egc.yaml", "--what", what, "--batch", str(batch), f"data.path={molecules}", f"data.cache_dir={folder}/cache",
                f"run.dir={folder}/run", *settings]

    def peers(key, loop):
        out = {"reference": Peer(reference, lambda j: j[key])}
        if loop and not a.no_loop:
            out["loop"] = Peer([*here, "--loop"], lambda j: j[loop], once=True)
        return out

    out = []
    for name, settings in STEPS.items():
        found = {"reference": Peer(reference, lambda j, name=name: j[name]["step_s"])}
        if name == "diffpool" and not a.no_loop:
            found["loop"] = Peer([*here, "--loop"], lambda j: j["step_s"], once=True)
        out.append(Measurement(name, ours("step", 64, settings), found, same=(("nodes", "atoms"), ("edges", "directed_edges"))))
    for size in SIZES:
        for k in (3, 0):
            name = f"coarsen_batch{size}_topk{k}"
            out.append(Measurement(name, ours("coarsen", size, [f"model.diffpool_topk={k}"]),
                                   peers(name + "_s", "loop_s" if (size, k) == (64, 0) else None)))
    graph = ["inputs/dmpnn_egc.yaml", "--what", "graph", f"data.path={data}/egc.csv", f"data.cache_dir={folder}/egc", f"run.dir={folder}/run",
             "data.threads=1"]
    out.append(Measurement("featurise", graph, peers("featurise_molecules_per_s", None), key="items_per_second", rate=True))
    return out


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--reference", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--write")
    p.add_argument("--loop", action="store_true")
    options = p.parse_args()
    loop_step(options) if options.loop else write_molecules(options)
