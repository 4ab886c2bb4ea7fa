#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files of ParToken in tests/data: synthetic chains through the PyTorch reference (partoken.py beside this file).

    python tests/reference/make_partoken.py [--only NAME ...] [--out tests/data]
    python tests/reference/make_partoken.py --random 40 --seed 5 --out FOLDER    # further models with random options, to try by hand

Chains are those of make_gvp.py: nothing is taken from a data set. The same command writes the same numbers. A file is refused whose decisions (seeds,
members, cap, end of a chain, codes, centres) another rounding could turn, that does not show what it is for, or whose optimiser's steps amplify
rounding. Needs torch, numpy and h5py; never needed to build or to run gnn_hpc.
"""
import argparse
import math
import os

import h5py
import numpy as np
import torch

import gvp
import partoken as ref
from make_gvp import HERE, chains, mark

EPOCH = 3           # of the temperature
CLOSE = 1e-3        # decisions are farther apart
AMPLIFIED = 1e-10   # most that a relative change of the weights by 1e-11 may change a walk, relative
SMALL = dict(num_classes=3, node_h=(8, 2), edge_h=(6, 1), num_layers=1, nhid=5, max_clusters=3, cluster_size_max=4, codebook_size=6, heads=2, k_hop=2,
             lambda_psc=0.3, lambda_card=0.2, drop_rate=0.2, corrected=True)


class NoDropout(gvp.Draws):
    """Training mode in which every mask keeps all."""

    def keep(self, site, shape, rate, dtype):
        return torch.full(shape, 1.0 - rate, dtype=dtype)


# ------------------------------------------------------------------------------------------ inputs
def directed(graph, rng):
    """Keeps a third of the edges, none of some residues, none into or none out of others."""
    src, dst = graph["edge_index"]
    n = len(graph["node_s"])
    fate = torch.as_tensor(rng.integers(0, 8, n))  # 0: alone, 1: receives nothing, 2: sends nothing
    keep = torch.as_tensor(rng.random(len(src)) < 0.34)
    keep &= (fate[src] != 0) & (fate[dst] != 0) & (fate[dst] != 1) & (fate[src] != 2)
    return {**graph, "edge_index": graph["edge_index"][:, keep], "edge_s": graph["edge_s"][keep], "edge_v": graph["edge_v"][keep]}


def inputs(seed, sizes, top_k, gaps, odd_edges, classes):
    rng = np.random.default_rng(seed)
    xyz = chains(rng, sizes, gaps)
    sequences = ["".join(gvp.AA1[i] for i in rng.integers(0, 20, len(x))) for x in xyz]
    graphs = [gvp.featurise(x, 99 if odd_edges else top_k) for x in xyz]
    if odd_edges:
        graphs = [directed(g, rng) for g in graphs]
    return gvp.collate(graphs, sequences, [int(i) for i in rng.integers(0, classes, len(xyz))])


# ------------------------------------------------------------------------------------------ decisions
def seed_margin(soft, batch, graphs):
    """Smallest difference of the two largest noisy logits of a chain, both divided by the temperature."""
    least = math.inf
    for b in range(graphs):
        s = soft[(batch == b) & (soft > 0)].sort(descending=True).values
        if len(s) > 1:
            least = min(least, float((s[0] / s[1]).log()))
    return least


def margins(model, g, trace, extra, embeddings):
    """How close the decisions of a pass were, by kind: the smallest distance. `embeddings`: the codes that were chosen from."""
    part, tau = model.partitioner, max(model.partitioner.temperature(), 1e-6)
    out = dict(seed=math.inf, member=math.inf, cap=math.inf, end=math.inf, code=math.inf)
    size = torch.bincount(g.batch, minlength=g.num_graphs)
    for c in range(part.S):
        if c:
            share = ref.seg_sum(((extra["assign"] >= 0) & (extra["assign"] < c)).double(), g.batch, g.num_graphs) / size
            out["end"] = min(out["end"], float((share - part.stop).abs().min()))
        if f"step{c}.soft" not in trace:
            continue
        out["seed"] = min(out["seed"], seed_margin(trace[f"step{c}.soft"].detach(), g.batch, g.num_graphs))
        if f"step{c}.theta" not in trace:
            continue
        p = torch.sigmoid((trace[f"step{c}.score"] - trace[f"step{c}.theta"][g.batch]) / tau).detach()
        candidate = trace[f"step{c}.candidate"]
        if candidate.any():
            out["member"] = min(out["member"], float((p[candidate] - 0.5).abs().min()))
        for b in range(g.num_graphs):
            own = p[candidate & (g.batch == b)].sort(descending=True).values
            if int((own > 0.5).sum()) > part.size_max - 1:
                out["cap"] = min(out["cap"], float(own[part.size_max - 2] - own[part.size_max - 1]))
    if "code" in extra and extra["valid"].any():
        d = model.codebook.distance(extra["clusters"][extra["valid"]].detach(), embeddings)
        two = d.sort(1).values[:, :2]
        out["code"] = float(((two[:, 1] - two[:, 0]) / two[:, 1]).min())
    return out


def shown(g, trace, extra, part):
    """What happened in a pass: what some files are for."""
    out = set()
    assign, valid = extra["assign"], extra["valid"]
    free = ref.seg_sum((assign < 0).double(), g.batch, g.num_graphs)
    if valid.all():
        out.add("all clusters")
    if ((free > 0) & ~valid[:, -1]).any():
        out.add("ends with free residues")
    if f"step{part.S - 1}.soft" not in trace:
        out.add("all end early")
    for c in range(part.S):
        if f"step{c}.candidate" not in trace:
            continue
        count = ref.seg_sum(trace[f"step{c}.candidate"].double(), g.batch, g.num_graphs)
        if ((count == 0) & valid[:, c]).any() and (count > 0).any():
            out.add("some without candidates")
        if f"step{c}.theta" in trace:
            raw = trace[f"step{c}.score"] > trace[f"step{c}.theta"][g.batch]
            joined = ref.seg_sum((raw & trace[f"step{c}.candidate"]).double(), g.batch, g.num_graphs)
            if (joined > part.size_max - 1).any():
                out.add("cap")
            if ((joined == 0) & (count > 0)).any():
                out.add("nobody joins")
    return out


class Unfit(Exception):
    """The file would not be a test."""


def require_margins(found, what):
    close = {k: v for k, v in found.items() if v < CLOSE}
    if close:
        raise Unfit(f"{what}: close decisions {close}")


# ------------------------------------------------------------------------------------------ files
class Case:
    """A model, its batch and the draws of one file."""

    def __init__(self, seed, sizes, *, top_k=4, gaps=0.0, odd_edges=False, training=True, bypass=False, loss="composite", epoch=EPOCH, lean=0.0,
                 **options):
        self.seed, self.bypass, self.loss_mode, self.lean, self.epoch = seed, bypass, loss, lean, epoch
        self.kw = {**SMALL, **options}
        self.g = inputs(seed, sizes, top_k, gaps, odd_edges, self.kw["num_classes"])
        self.uniforms = gvp.Draws(seed)
        self.draws = gvp.Draws(seed + 1) if training else None

    def model(self):
        """`lean` moves the threshold: more join a cluster where it is negative."""
        torch.manual_seed(0)  # of weights that are drawn again
        m = ref.calibrate(gvp.randomise(ref.ParToken(**self.kw), self.seed), self.g, self.seed)
        with torch.no_grad():
            m.partitioner.expander.threshold_head["mlp"][2].bias += self.lean
        m.partitioner.epoch += self.epoch
        return m

    def run(self, model, uniforms, draws):
        """logits, extra, trace, margins of one pass."""
        trace, codes = {}, model.codebook.embeddings.clone()
        logits, extra = model(self.g, uniforms, draws, bypass=self.bypass, trace=trace)
        return logits, extra, trace, margins(model, self.g, trace, extra, codes)


def walk(case, nudge=0.0):
    """Ten steps of Adam as the published case `real` has them. `nudge`: relative change of the weights before."""
    model = case.model()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p *= 1 + nudge * torch.randn(p.shape, generator=generator)
    least = {}

    def loss(m, _):
        logits, extra, _, found = case.run(m, case.uniforms, NoDropout())
        for k, v in found.items():
            least[k] = min(v, least.get(k, math.inf))
        return m.losses(logits, case.g.y, extra, case.loss_mode)["total"]

    out = gvp.train_trajectory(model, loss, [case.g])
    out["embeddings_norm"] = model.codebook.embeddings.norm()
    return out, least


def checked_walk(case):
    out, least = walk(case)
    require_margins(least, "a step")
    moved = walk(case, 1e-11)[0]
    change = float(np.abs(moved["loss"] / out["loss"] - 1).max())
    for name, norm in out["param_norms"].items():
        change = max(change, float((moved["param_norms"][name] / norm - 1).abs()))
    if change > AMPLIFIED:
        raise Unfit(f"a relative change of the weights by 1e-11 changes the walk by {change:.1e}")
    return out, change


def evaluations(case, model, before, after, outputs):
    """With and without noise, of the buffers before the step."""
    with torch.no_grad():
        model.load_state_dict({**model.state_dict(), **before})
        outputs["logits_eval"], _, _, noisy = case.run(model, case.uniforms, None)
        outputs["logits_quiet"], extra, _, quiet = case.run(model, None, None)
        outputs["assign_quiet"] = extra["assign"]
        dense = model(case.g, case.uniforms, bypass=case.bypass, stats=ref.DenseStats)[0]
        model.load_state_dict({**model.state_dict(), **after})
    assert (dense - outputs["logits_eval"]).abs().max() < 1e-10, "adjacency matrices and edge lists disagree"
    require_margins(noisy, "evaluation with noise")
    require_margins(quiet, "evaluation")


def write_model(path, seed, sizes, *, trace=True, steps=False, shows=(), **options):
    torch.set_default_dtype(torch.float64)
    case = Case(seed, sizes, **options)
    model = case.model()
    copy = lambda: {n: b.clone() for n, b in model.named_buffers()}
    before = copy()
    logits, extra, traced, found = case.run(model, case.uniforms, case.draws)
    require_margins(found, "the step")
    missing = set(shows) - shown(case.g, traced, extra, model.partitioner)
    if missing:
        raise Unfit(f"does not show {sorted(missing)}")
    losses = model.losses(logits, case.g.y, extra, case.loss_mode)
    losses["total"].backward()
    after = copy()
    outputs = {k: extra[k] for k in ("clusters", "assign", "valid", "importance", "penalty", "node_out", "code", "commit", "presence") if k in extra}
    outputs.update(logits=logits, buffers_after=after)
    outputs["stats"] = ref.partition_stats(extra["assign"], extra["valid"], extra["importance"].detach(), case.g)
    outputs["perplexity"], outputs["entropy"] = model.codebook.perplexity(), model.codebook.entropy()
    outputs["trace"] = {k: v for k, v in traced.items() if trace or k.split(".")[-1] in ("seed", "p")}
    evaluations(case, model, before, after, outputs)
    named = dict(model.named_parameters())
    tree = dict(params=named, buffers=before, inputs=gvp.batch_tree(case.g), outputs=outputs, loss=losses,
                grads={n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in named.items()},
                random={**case.uniforms.table, **(case.draws.table if case.draws else {})})
    change = None
    if steps:
        tree["trajectory"], change = checked_walk(case)
    config = {**ref.DEFAULTS, **case.kw, "psc_temp": model.psc_temp}
    gvp.h5_write(path, tree, dict(system="partoken", case="made up", seed=seed, bypass=case.bypass, lr=1e-3, loss_mode=case.loss_mode, grads="full",
                                  **{k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}))
    finish(path, "model")
    report(path, found, change)


def finish(path, kind):
    """Marks the file, with small data sets in one piece: the index of a compressed one takes two kilobytes."""
    piece = 8192
    with h5py.File(path) as old, h5py.File(path + ".new", "w", libver=("earliest", "v110")) as new:
        def put(name, node):
            if isinstance(node, h5py.Group):
                new.require_group(name)
            else:
                new.create_dataset(name, data=node[()], **({"compression": "gzip", "shuffle": True} if node.nbytes > piece else {}))
        old.visititems(put)
        for key, value in old["config"].attrs.items():
            new["config"].attrs[key] = value
    os.replace(path + ".new", path)
    mark(path, kind, "partoken")


def report(path, found, change=None):
    least = min(found, key=found.get)
    print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes, closest decision: {least} {found[least]:.1e}"
          + (f", 1e-11 becomes {change:.1e} in ten steps" if change is not None else ""), flush=True)


# ------------------------------------------------------------------------------------------ start of the codebook
def lloyd_margin(codebook, samples, start, refills, tol=1e-4, iters=25):
    """Smallest relative difference of the two nearest centres, and of the shift's change from the tolerance, over all rounds; samples that are equal
    to others, and centres that are, do not count."""
    least, centres, last = math.inf, start.clone(), None
    for _ in range(iters):
        d = codebook.distance(samples, centres)
        a = d.argmin(1)
        order = d.sort(1).values
        gap = (order[:, 1] - order[:, 0]) / order[:, 1].clamp(min=1e-12)
        least = min(least, float(gap[gap > 1e-9].min()))
        count = torch.bincount(a, minlength=len(centres))
        new = ref.seg_sum(samples, a, len(centres))
        if (count == 0).any():
            new[count == 0] = samples[refills(int((count == 0).sum()))]
        new = new / count.clamp(min=1).unsqueeze(1)
        shift = (new - centres).norm(dim=1).mean()
        centres = new
        if last is not None:
            least = min(least, float(abs(abs(shift - last) - tol) / tol))
            if abs(shift - last) < tol:
                break
        last = shift
    return least


def write_kmeans(path, seed, *, samples=60, width=5, codes=9, few=4, cosine=False):
    """`perm` starts with samples that are equal: some centres coincide, the later one is empty and is refilled."""
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(5, width, generator=generator) * 2
    xs = base[torch.randint(0, 5, (samples,), generator=generator)] + 0.4 * torch.randn(samples, width, generator=generator)
    xs *= 0.3 + 2 * torch.rand(samples, 1, generator=generator)  # directions and places make different groups
    xs[20:30] = xs[0:10]
    first = torch.tensor([0, 20, 1, 21, 2, 40])
    rest = torch.tensor([i for i in torch.randperm(samples, generator=generator).tolist() if i not in first])
    perm, pool = torch.cat([first, rest]), torch.randint(0, samples, (60,), generator=generator)

    def refiller():
        used = [0]

        def refill(n):
            used[0] += n
            return pool[used[0] - n:used[0]]
        return refill, used

    book, rest_book = ref.Codebook(codes, width, cosine=cosine), ref.Codebook(codes, width, cosine=cosine)
    margin = lloyd_margin(book, xs, xs[perm[:codes]], refiller()[0])
    require_margins(dict(centre=margin), "k-means")
    refill, used = refiller()
    book.kmeans(xs, perm, refill)
    if used[0] == 0:
        raise Unfit("no empty centre")
    other = ref.Codebook(codes, width, cosine=not cosine)
    other.kmeans(xs, perm, refiller()[0])
    if (other.embeddings - book.embeddings).abs().max() < CLOSE:
        raise Unfit("both distances give the same centres")
    rest_book.kmeans(xs[:few], None, None)
    gvp.h5_write(path, dict(inputs=dict(samples=xs, perm=perm, refill=pool), outputs=dict(
        centres=book.embeddings, refills_used=np.array(used), few_centres=rest_book.embeddings)), dict(case="kmeans", K=codes, few=few, cosine=cosine))
    finish(path, "other")
    report(path, dict(centre=margin))


MODELS = {
    "partoken_walks": dict(seed=3, top_k=3, sizes=(6, 13, 8), corrected=False, num_layers=2),
    "partoken_corrected": dict(seed=6302, sizes=(9, 12), steps=True),
    "partoken_published": dict(seed=503, sizes=(11, 8), corrected=False, steps=True, trace=False),
    "partoken_quantized": dict(seed=104, sizes=(9, 6, 8), quantized=True, cosine=True, pooling="mean", k_hop=1),
    "partoken_quantized_steps": dict(seed=205, sizes=(10, 7), quantized=True, steps=True, trace=False),
    "partoken_edge": dict(seed=206, sizes=(1, 2, 6, 5, 12), gaps=0.25, training=False, shows=("some without candidates",)),
    "partoken_bypass": dict(seed=7, sizes=(8, 11), bypass=True, loss="ce", seq_in=True, pooling="mean", steps=True, trace=False),
    "partoken_directed": dict(seed=8, sizes=(9, 14, 1, 12), odd_edges=True, k_hop=3, shows=("some without candidates",)),
    "partoken_seeds_alone": dict(seed=9, sizes=(7, 3, 9), cluster_size_max=1),
    "partoken_one_cluster": dict(seed=410, sizes=(8, 6), max_clusters=1, heads=1),
    "partoken_all_end": dict(seed=11, sizes=(1, 3, 2), max_clusters=5, shows=("all end early",)),
    "partoken_threshold": dict(seed=412, sizes=(12, 6, 9), max_clusters=6, termination_threshold=0.55, lean=-0.5, shows=("ends with free residues",)),
    "partoken_cap": dict(seed=1013, sizes=(14, 12), cluster_size_max=3, lean=-1.0, top_k=6, shows=("cap", "all clusters")),
    "partoken_cold": dict(seed=14, sizes=(9, 10), epoch=90, lean=0.5, pooling="max", trace=False, shows=("nobody joins",)),
    "partoken_loop": dict(seed=1015, sizes=(10, 8), loss="loop", pooling="max", heads=1, k_hop=1, drop_rate=0.0, trace=False, steps=True),
}
OTHER = {
    "partoken_kmeans": dict(seed=1),
    "partoken_kmeans_cosine": dict(seed=2, cosine=True),
}


def random_options(rng):
    heads, bypass = int(rng.choice([1, 2, 3, 4])), bool(rng.random() < 0.2)
    loss = "ce" if bypass else str(rng.choice(["composite", "composite", "loop", "ce"]))
    return dict(sizes=tuple(int(n) for n in rng.integers(1, 16, rng.integers(1, 5))), top_k=int(rng.integers(1, 9)), gaps=float(rng.choice([0, 0.15, 0.6])),
                odd_edges=bool(rng.random() < 0.3), training=bool(rng.random() < 0.8), bypass=bypass, loss=loss, epoch=int(rng.choice([0, 3, 90])),
                lean=float(rng.choice([-1, -0.3, 0, 0.5])), steps=bool(rng.random() < 0.3), trace=bool(rng.integers(2)),
                corrected=bool(rng.integers(2)), quantized=bool(rng.integers(2)), cosine=bool(rng.integers(2)), seq_in=bool(rng.integers(2)),
                pooling=str(rng.choice(["sum", "mean", "max"])), num_layers=int(rng.integers(1, 4)), num_classes=int(rng.integers(2, 6)), heads=heads,
                node_h=(heads * int(rng.integers(2, 9)), int(rng.integers(1, 6))), edge_h=(int(rng.integers(1, 20)), int(rng.integers(1, 4))),
                nhid=int(rng.integers(1, 30)), max_clusters=int(rng.integers(1, 7)), cluster_size_max=int(rng.integers(1, 9)), k_hop=int(rng.integers(1, 5)),
                codebook_size=int(rng.integers(2, 40)), termination_threshold=float(rng.choice([0.37, 0.63, 0.95, 1.0])),
                drop_rate=float(rng.choice([0, 0.3])))


def write_random(out, count, seed):
    """Options whose file would be no test are drawn again."""
    rng, made = np.random.default_rng(seed), 0
    for attempt in range(20 * count):
        if made == count:
            break
        path = os.path.join(out, f"partoken_random{made}.h5")
        try:
            write_model(path, seed * 1000 + attempt, **random_options(rng))
            made += 1
        except Unfit as problem:
            print(f"attempt {attempt}: {problem}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(HERE, "..", "data"))
    p.add_argument("--only", nargs="+", metavar="NAME")
    p.add_argument("--random", type=int, metavar="COUNT")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.random:
        return write_random(a.out, a.random, a.seed)
    for table, write in ((MODELS, write_model), (OTHER, write_kmeans)):
        for name, case in table.items():
            if not a.only or name in a.only:
                try:
                    write(os.path.join(a.out, name + ".h5"), **case)
                except Unfit as problem:
                    raise SystemExit(f"{name}: {problem}") from None


if __name__ == "__main__":
    main()
