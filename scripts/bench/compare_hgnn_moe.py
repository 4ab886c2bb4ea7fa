#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times the language model of gnn_hpc and of the PyTorch reference alternately, with the same number of threads.

    scripts/bench/compare_pytorch.py hgnn_moe [--what coupler hgnn gnn] [--threads 2] [--rounds 2] [--python PYTHON]

  coupler  the hypergraph coupler alone, forward and backward, on B L tokens: against the published loop, which calls a hypergraph convolution
           for every token (written out here in the tensor operations of the library's convolution, and checked against the reference), against
           the reference's loop with a ready matrix, and against its collapsed form
  hgnn     a training step with the hypergraph coupler, against the reference's
  gnn      a training step with the pairwise coupler, against the reference's and against the published loop over pairs of experts

B = 32, L = 128, E = 4, D = 256, V = 256, 4 layers, dropout 0.1, float. Runs of both programs take turns, medians of all rounds are printed and,
last, one JSON line: every time and ratio, and "ratio" = reference / gnn_hpc of the first of hgnn, gnn, coupler that was measured.
"""
import argparse
import json
import os
import statistics
import tempfile
import time

import comparison
from comparison import load_reference, run_json


def published_step(a):
    """A training step with the GNN coupler as published: a loop over receivers and senders, with a concatenation for each pair."""
    import torch
    import torch.nn.functional as F
    ref = load_reference(a.reference)

    def forward(self, X, tap):
        experts = X.shape[1]
        adjacency, rows = torch.sigmoid(self.adjacency_logits), []
        for i in range(experts):
            message = torch.zeros_like(X[:, i])
            for j in range(experts):
                if i != j:
                    content = torch.sigmoid(self.message_weight(torch.cat([X[:, i], X[:, j]], -1)))
                    message = message + adjacency[i, j] * content * X[:, j]
            rows.append(F.gelu(self.neighbor_transform(message) + self.self_transform(X[:, i])))
        return torch.stack(rows, 1)

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    cfg = ref.Config(embed_dim=a.dim, num_experts=a.experts, num_layers=a.layers, coupler_type="GNN", max_seq_length=a.length)
    check = ref.GraphConv(8, 3)
    X = torch.randn(5, 3, 8)
    assert (check(X, ref.Tap()) - forward(check, X, ref.Tap())).abs().max() < 1e-5  # the same function
    ref.GraphConv.forward = forward
    model = ref.Model(cfg).train()
    ids = torch.randint(1, 256, (a.batch, a.length))
    optimiser = ref.AdamW(model.parameters(), cfg.weight_decay)
    times = []
    for i in range(a.repeat + 1):
        begin = time.perf_counter()
        ref.train_step(model, optimiser, ids, torch.ones_like(ids), 5e-4)
        times.append(time.perf_counter() - begin)
    print(json.dumps({"step_s": statistics.median(times[1:])}))


def published_coupler(a):
    """The coupler with a hypergraph convolution called for every token: incidence lists, degrees and two scatters in every call."""
    import torch
    ref = load_reference(a.reference)
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)

    def convolution(x, nodes, edges, weight, conv):
        x = conv.lin(x)
        degree = torch.zeros(x.shape[0]).index_add(0, nodes, weight[edges])
        size = torch.zeros(weight.shape[0]).index_add(0, edges, torch.ones_like(edges, dtype=x.dtype))
        of_node = torch.where(degree == 0, torch.zeros_like(degree), 1 / degree)
        of_edge = torch.where(size == 0, torch.zeros_like(size), 1 / size)
        y = x.new_zeros(weight.shape[0], x.shape[1]).index_add(0, edges, of_edge[edges, None] * x[nodes])
        return torch.zeros_like(x).index_add(0, nodes, of_node[nodes, None] * y[edges]) + conv.bias

    def forward(coupler, X, nodes, edges):
        rows = []
        for x in X:
            for conv in coupler.convs():
                x = convolution(x, nodes, edges, coupler.hyperedge_weights, conv)
            rows.append(x)
        return coupler.combiner(torch.stack(rows).mean(1))

    cfg = ref.Config(embed_dim=a.dim, num_experts=a.experts, num_layers=a.layers, coupler_type="HGNN", max_seq_length=a.length)
    coupler = ref.HGNNCoupler(cfg)
    pairs = [(i, j) for i in range(a.experts) for j in range(i + 1, a.experts)]
    nodes = torch.tensor([v for pair in pairs for v in pair])
    edges = torch.arange(len(pairs)).repeat_interleave(2)
    tokens = a.batch * a.length
    X, dy = torch.randn(tokens, a.experts, a.dim), torch.randn(tokens, a.dim)
    with torch.no_grad():
        mine, theirs = forward(coupler, X[:9], nodes, edges), coupler(X[:9], ref.Tap())
        assert (mine - theirs).abs().max() < 1e-4 * theirs.abs().max()  # the same function
    X.requires_grad_()
    times = []
    for i in range(a.repeat):
        for p in (X, *coupler.parameters()):
            p.grad = None
        begin = time.perf_counter()
        forward(coupler, X, nodes, edges).backward(dy)
        times.append(time.perf_counter() - begin)
    print(json.dumps({"forward_backward_s": statistics.median(times)}))


def compare():
    p = comparison.parser(__doc__, repeat=3, our_repeat=5, rounds=2)
    p.add_argument("--what", nargs="+", choices=("coupler", "hgnn", "gnn"), default=["coupler", "hgnn", "gnn"])
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--length", type=int, default=128)
    p.add_argument("--dim", type=int, default=256)
    p.add_argument("--experts", type=int, default=4)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--no-published", action="store_true", help="leave the published loops out")
    a = comparison.parse(p)
    reference, shared = a.reference, a.shared

    times, best = {}, {}  # name -> seconds of every round; name -> the last JSON of gnn_hpc

    def note(name, seconds):
        times.setdefault(name, []).append(seconds)
        print(f"  {name}: {seconds:.4f} s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        def ours(what, coupler):
            settings = [f"model.embed_dim={a.dim}", f"model.num_experts={a.experts}", f"model.num_layers={a.layers}", "model.num_heads=0",
                        f"model.max_seq_length={a.length}", f"model.coupler_type={coupler}", f"train.batch_size={a.batch}",
                        f"data.path={shared}/data/text/tinyshakespeare.txt", f"data.cache_dir={folder}", f"run.dir={folder}", *a.override]
            return run_json([a.program, "bench", "inputs/hgnn_moe_shakespeare.yaml", "--what", what, "--repeat", str(a.our_repeat), "--warmup", "2",
                             *settings], a.threads, "gnn_hpc bench")

        def theirs(what, coupler):
            return run_json([a.python, reference, "bench", "--what", what, "--coupler", coupler, "--threads", str(a.threads), "--batch", str(a.batch),
                             "--length", str(a.length), "--dim", str(a.dim), "--experts", str(a.experts), "--layers", str(a.layers),
                             "--repeats", str(a.repeat)], a.threads, "the reference's bench")

        sizes = ["--threads", str(a.threads), "--batch", str(a.batch), "--length", str(a.length), "--dim", str(a.dim), "--experts",
                 str(a.experts), "--layers", str(a.layers)]
        for turn in range(a.rounds):
            print(f"round {turn + 1}", flush=True)
            if "coupler" in a.what:
                best["coupler"] = ours("coupler", "HGNN")
                note("coupler_gnn_hpc", best["coupler"]["median_seconds"])
                peer = theirs("coupler", "HGNN")
                if not a.no_published:
                    note("coupler_published", run_json([a.python, os.path.abspath(__file__), "--published", "coupler", "--reference", reference, *sizes,
                                                        "--repeat", "1"], a.threads, "the published loop")["forward_backward_s"])
                note("coupler_loop", peer["HGNN_looped"]["forward_backward_s"])
                note("coupler_collapsed", peer["HGNN_collapsed"]["forward_backward_s"])
            for coupler in ("hgnn", "gnn"):
                if coupler not in a.what:
                    continue
                best[coupler] = ours("step", coupler.upper())
                note(f"{coupler}_gnn_hpc", best[coupler]["median_seconds"])
                note(f"{coupler}_reference", theirs("step", coupler.upper())["step_s"])
                if coupler == "gnn" and not a.no_published:
                    peer = run_json([a.python, os.path.abspath(__file__), "--published", "step", "--reference", reference, *sizes,
                                     "--repeat", str(a.repeat)], a.threads, "the published loop")
                    note("gnn_published", peer["step_s"])

    median = {name: statistics.median(values) for name, values in times.items()}
    result = dict(system="hgnn_moe", threads=a.threads, batch=a.batch, length=a.length, dim=a.dim, experts=a.experts, layers=a.layers, torch=a.torch,
                  seconds=median, ratios={})
    for theirs_name in ("coupler_published", "coupler_loop", "coupler_collapsed", "hgnn_reference", "gnn_reference", "gnn_published"):
        mine = theirs_name.split("_")[0] + "_gnn_hpc"
        if theirs_name in median:
            result["ratios"][theirs_name] = median[theirs_name] / median[mine]
            print(f"{mine}: {median[mine]:.4f} s, {theirs_name}: {median[theirs_name]:.4f} s, ratio {result['ratios'][theirs_name]:.2f}")
    for coupler in ("hgnn", "gnn"):
        if coupler in best:
            result[f"{coupler}_share_of_gemm_rate"] = best[coupler].get("share_of_gemm_rate")
            print(f"{coupler}: {100 * (best[coupler].get('share_of_gemm_rate') or 0):.0f} % of the measured GEMM rate over the whole step")
    for name in ("hgnn_reference", "gnn_reference", "coupler_collapsed"):
        if name in result["ratios"]:
            result["ratio"] = result["ratios"][name]
            break
    print(json.dumps(result))


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--published", choices=("step", "coupler"), required=True)
    p.add_argument("--reference", required=True)
    for key, value in (("threads", 2), ("batch", 32), ("length", 128), ("dim", 256), ("experts", 4), ("layers", 4), ("repeat", 3)):
        p.add_argument(f"--{key}", type=int, default=value)
    arguments = p.parse_args()
    (published_step if arguments.published == "step" else published_coupler)(arguments)
