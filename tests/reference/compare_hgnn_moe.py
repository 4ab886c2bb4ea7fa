# SPDX-License-Identifier: Apache-2.0
"""The language model: B = 32, L = 128, E = 4, D = 256, V = 256, 4 layers, dropout 0.1, float.

  hgnn     a training step with the hypergraph coupler, against the reference's
  gnn      a training step with the pairwise coupler, against the reference's and against the published loop over pairs of experts
  coupler  the hypergraph coupler alone, forward and backward, on B L tokens: against its collapsed form, the reference's loop with a ready
           matrix, and the published loop, which calls a hypergraph convolution for every token (written out here in the tensor operations of
           the library's convolution, and checked against the reference)
"""
import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "bench"))
from comparison import Measurement, Peer, load_module  # noqa: E402

MODULES = "torch, numpy, h5py"
REPEAT, OUR_REPEAT, ROUNDS = 3, 5, 2


def published_step(a):
    """A training step with the GNN coupler as published: a loop over receivers and senders, with a concatenation for each pair."""
    import torch
    import torch.nn.functional as F
    ref = load_module(a.reference)

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
    ref = load_module(a.reference)
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


def arguments(p):
    for key, value in (("batch", 32), ("length", 128), ("dim", 256), ("experts", 4), ("layers", 4)):
        p.add_argument(f"--{key}", type=int, default=value)
    p.add_argument("--no-published", action="store_true", help="leave the published loops out")


def measurements(a, folder):
    sizes = [word for key in ("threads", "batch", "length", "dim", "experts", "layers") for word in (f"--{key}", str(getattr(a, key)))]

    def ours(what, coupler):
        return ["inputs/hgnn_moe_shakespeare.yaml", "--what", what, "--warmup", "2", f"model.embed_dim={a.dim}", f"model.num_experts={a.experts}",
                f"model.num_layers={a.layers}", "model.num_heads=0", f"model.max_seq_length={a.length}", f"model.coupler_type={coupler}",
                f"train.batch_size={a.batch}", f"data.path={a.shared}/data/text/tinyshakespeare.txt", f"data.cache_dir={folder}", f"run.dir={folder}"]

    def reference(what, coupler):
        return [a.python, a.reference, "bench", "--what", what, "--coupler", coupler, *sizes, "--repeats", str(a.repeat)]

    def published(what, repeat):
        return [a.python, os.path.abspath(__file__), "--published", what, "--reference", a.reference, *sizes, "--repeat", str(repeat)]

    coupler = reference("coupler", "HGNN")
    peers = {
        "hgnn": {"reference": Peer(reference("step", "HGNN"), lambda j: j["step_s"])},
        "gnn": {"reference": Peer(reference("step", "GNN"), lambda j: j["step_s"]),
                "published": Peer(published("step", a.repeat), lambda j: j["step_s"])},
        "coupler": {"collapsed": Peer(coupler, lambda j: j["HGNN_collapsed"]["forward_backward_s"]),
                    "loop": Peer(coupler, lambda j: j["HGNN_looped"]["forward_backward_s"]),
                    "published": Peer(published("coupler", 1), lambda j: j["forward_backward_s"])},
    }
    if a.no_published:
        for found in peers.values():
            found.pop("published", None)
    return [Measurement("hgnn", ours("step", "HGNN"), peers["hgnn"]), Measurement("gnn", ours("step", "GNN"), peers["gnn"]),
            Measurement("coupler", ours("coupler", "HGNN"), peers["coupler"])]


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--published", choices=("step", "coupler"), required=True)
    p.add_argument("--reference", required=True)
    for key, value in (("threads", 2), ("batch", 32), ("length", 128), ("dim", 256), ("experts", 4), ("layers", 4), ("repeat", 3)):
        p.add_argument(f"--{key}", type=int, default=value)
    arguments = p.parse_args()
    (published_step if arguments.published == "step" else published_coupler)(arguments)
