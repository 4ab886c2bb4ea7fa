#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden batches of D-MPNN and DiffPool in tests/data: made-up graphs through the PyTorch reference (dmpnn_diffpool.py beside this file).

    python tests/reference/make_dmpnn_models.py [--only NAME ...] [--out tests/data]
    python tests/reference/make_dmpnn_models.py --random 40 --seed 5 --out FOLDER    # further models with random options, to try by hand

Graphs are random trees with some rings closed and a few kinds of atoms and bonds: nothing is taken from a data set. The same command writes
the same numbers. Needs torch, numpy and h5py (no RDKit); never needed to build or to run gnn_hpc.
"""
import argparse
import os
from dataclasses import asdict

import h5py
import numpy as np
import torch

import dmpnn_diffpool as ref

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTHS = dict(d_v=7, d_e=5, d_h=9, ffn_hidden=6)


def tables(rng, d_v, d_e, kinds=4):
    """A few distinct feature rows: 0/1 entries and one real column, as of real molecules."""
    atoms = (rng.random((kinds, d_v)) < 0.4).astype(float)
    bonds = (rng.random((3, d_e)) < 0.5).astype(float)
    atoms[:, -1] = 0.01 * rng.integers(1, 80, kinds)
    return atoms, bonds


def random_graph(rng, atoms, bonds, n, parts=1, polymer=False):
    """A tree over n atoms (a forest of `parts` trees) with some rings closed; degree at most 4."""
    degree, pairs = np.zeros(n, int), []
    for v in range(parts, n):
        open_ = [u for u in range(v) if degree[u] < 4]
        u = int(rng.choice(open_[-3:]))
        pairs.append((u, v) if rng.integers(2) else (v, u))
        degree[u] += 1
        degree[v] += 1
    for _ in range(n // 5):
        u, v = rng.integers(0, n, 2)
        if u != v and degree[u] < 4 and degree[v] < 4 and (u, v) not in pairs and (v, u) not in pairs:
            pairs.append((int(u), int(v)))
            degree[u] += 1
            degree[v] += 1
    weight = [1.0] * (2 * len(pairs))
    if polymer:                                            # weighted bonds between any two atoms, one with itself among them
        for _ in range(int(rng.integers(1, 4))):
            u, v = rng.integers(0, n, 2)
            pairs.append((int(u), int(u if rng.integers(3) == 0 else v)))
            weight += list(rng.choice([0.125, 0.25, 0.375, 0.5, 1.0], 2))
    m = len(pairs)
    ei = np.zeros((2, 2 * m), dtype=np.int64)
    E = np.zeros((2 * m, bonds.shape[1]))
    for k, (u, v) in enumerate(pairs):
        ei[:, 2 * k], ei[:, 2 * k + 1] = (u, v), (v, u)
        E[2 * k:2 * k + 2] = bonds[rng.integers(len(bonds))]
    g = dict(V=atoms[rng.integers(0, len(atoms), n)], E=E, edge_index=ei, rev=np.arange(2 * m) ^ 1)
    if polymer:
        half = n // 2 or 1
        share = rng.choice([0.25, 0.5, 0.75])
        g.update(edge_weight=np.array(weight), atom_weight=np.array([share] * half + [1 - share] * (n - half)), dop=1 + np.log10(rng.integers(1, 500)))
    return g


def write_model(path, seed, sizes, *, parts=(), trace=True, steps=0, trained_width=0, **options):
    """parts: number of separate pieces of the first molecules; steps > 0: that many optimiser steps; trained_width: of the heads, if not of this batch."""
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(seed)
    cfg = ref.Config(**{**WIDTHS, **options})
    cfg.head_width = trained_width
    atoms, bonds = tables(rng, cfg.d_v, cfg.d_e)
    polymer = cfg.encoder == "wdmpnn"
    graphs = [random_graph(rng, atoms, bonds, n, parts[i] if i < len(parts) else 1, polymer) for i, n in enumerate(sizes)]
    b = ref.collate(graphs)
    shape = (b.n_graphs, cfg.n_tasks)
    y = rng.normal(size=shape) if cfg.task == "regression" else rng.integers(0, 2 if cfg.task == "binary" else cfg.n_classes, shape).astype(float)
    if cfg.n_tasks > 1:
        y[rng.random(shape) < 0.25] = np.nan
    y = torch.as_tensor(y)
    x_d = torch.as_tensor(rng.normal(size=(b.n_graphs, cfg.d_xd))) if cfg.d_xd else None
    model = ref.build(cfg, seed, b, gain=1.5)
    model.train()
    record = {} if trace else None
    raw, link, entropy = model(b, x_d, record)
    main = ref.criterion(raw, y, cfg)
    loss = main + link + entropy
    loss.backward()
    tree = {"inputs/y": y, "outputs/raw": raw, "outputs/prediction": model.predict(raw),
            "loss/total": loss, "loss/main": main, "loss/link": link, "loss/entropy": entropy}
    for name in ("V", "E", "edge_index", "rev", "batch", "edge_weight", "atom_weight", "dop"):
        if getattr(b, name) is not None:
            tree["inputs/" + name] = getattr(b, name)
    if x_d is not None:
        tree["inputs/x_d"] = x_d
    for name, p in model.named_parameters():
        g = torch.zeros_like(p) if p.grad is None else p.grad
        tree.update({"params/" + name: p, "grads/" + name: g})
    tree.update({"outputs/" + name: t for name, t in (record or {}).items()})
    if cfg.batch_norm and cfg.encoder != "wdmpnn":
        tree.update({"outputs/running_mean": model.bn.running_mean, "outputs/running_var": model.bn.running_var})
        model.eval()
        with torch.no_grad():
            tree["outputs/raw_eval"] = model(b, x_d)[0]
    attributes = asdict(cfg)
    if steps:
        cfg.warmup_epochs, cfg.epochs, per_epoch = 1, 3, 4
        second = ref.build(cfg, seed, b, gain=1.5)
        trainer = ref.Trainer(second, per_epoch)
        tree["trajectory/lr"] = [ref.learning_rate(t, cfg, per_epoch) for t in range(steps)]
        tree["trajectory/loss"] = [trainer.step(b, y, x_d) for _ in range(steps)]
        for name, p in second.named_parameters():
            tree["trajectory/final_norm/" + name] = p.norm()
    with h5py.File(path, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="dmpnn_diffpool", kind="model")
        for name, value in tree.items():
            value = np.asarray(value.detach() if torch.is_tensor(value) else value)
            z = dict(compression="gzip", compression_opts=9, shuffle=True) if value.size > 16 else {}
            f.create_dataset(name, data=value, **z)
        f.create_group("config").attrs.update(case=os.path.basename(path).split(".")[0], seed=seed, **attributes)
        if steps:
            f["trajectory"].attrs.update(steps_per_epoch=per_epoch, warmup_epochs=1, epochs=3)
    print(f"{path}: {os.path.getsize(path)} bytes, {len(b.V)} atoms, {b.edge_index.shape[1]} edges, loss {loss.item():.6f}")


LEGACY = dict(assign="batch", coarse_edge="adjacency", coarse_graph="legacy", adjacency_scale=2.0, lp_max_nodes=256, aux_reduction="sum")
CASES = {
    "plain": dict(seed=1, sizes=[6, 1, 11, 2], encoder="dmpnn", steps=6),
    "undirected": dict(seed=2, sizes=[9, 5, 1], encoder="dmpnn", undirected=True, depth=4, aggregation="sum", ffn_layers=2, trace=False),
    "depth_one": dict(seed=3, sizes=[7, 3], encoder="dmpnn", depth=1, aggregation="norm", batch_norm=True, d_xd=2, trace=False),
    "weighted": dict(seed=4, sizes=[8, 3, 12, 1], encoder="wdmpnn", task="binary", n_tasks=2, steps=4),
    "pooled": dict(seed=5, sizes=[9, 1, 14, 4], parts=[3], steps=6),
    "three_levels": dict(seed=6, sizes=[16, 9, 1], diffpool_depth=3, diffpool_topk=4, undirected=True, depth=2, d_h=6),
    "dense": dict(seed=7, sizes=[13, 6], diffpool_depth=2, diffpool_topk=0, use_mean=False, batch_norm=True, task="multiclass", n_tasks=2, trace=False),
    "clamped": dict(seed=8, sizes=[20, 8, 3], diffpool_depth=2, trained_width=4, coarse_edge="adjacency", lp_max_nodes=10, trace=False),
    "legacy": dict(seed=9, sizes=[12, 7, 1], diffpool_depth=2, d_h=6, **LEGACY),
}


def random_case(rng):
    encoder = str(rng.choice(["dmpnn", "wdmpnn", "diffpool", "diffpool", "diffpool"]))
    batch_columns = rng.integers(4) == 0
    doubled = rng.integers(4) == 0
    o = dict(
        encoder=encoder, d_v=int(rng.integers(1, 20)), d_e=int(rng.integers(1, 15)), d_h=int(rng.integers(1, 41)), depth=int(rng.integers(1, 6)),
        aggregation=str(rng.choice(["mean", "sum", "norm"])), undirected=bool(rng.integers(3) == 0), batch_norm=bool(rng.integers(4) == 0),
        ffn_hidden=int(rng.integers(1, 30)), ffn_layers=int(rng.integers(1, 4)), diffpool_depth=int(rng.integers(1, 4)),
        diffpool_ratio=float(rng.choice([0.07, 0.1, 0.25, 0.4, 0.5, 0.75, 1.0])), diffpool_topk=int(rng.choice([0, 1, 2, 3, 3, 5, 50])),
        assign="batch" if batch_columns else "shared", coarse_edge=str(rng.choice(["bond_mean", "adjacency"])),
        coarse_graph="legacy" if doubled else "clean", adjacency_scale=float(rng.choice([1.0, 2.0])), lp_max_nodes=int(rng.choice([0, 0, 12])),
        lambda_lp=float(rng.choice([0.0, 0.5, 1.3])), lambda_ent=float(rng.choice([1e-3, 0.2])), aux_reduction=str(rng.choice(["mean", "sum"])),
        use_mean=bool(rng.integers(4) > 0), d_xd=int(rng.choice([0, 0, 1, 6])), task=str(rng.choice(["regression", "binary", "multiclass"])),
        n_tasks=int(rng.integers(1, 4)), n_classes=int(rng.integers(2, 6)), clip_norm=float(rng.choice([0.0, 1.0, 10.0])))
    graphs = int(rng.integers(2, 12))
    return dict(sizes=[int(n) for n in rng.choice([1, 2, 3, 5, 8, 13, 21, 40], graphs)], parts=[1, int(rng.integers(1, 3))] if rng.integers(2) else [],
                trained_width=0 if batch_columns or rng.integers(3) else int(rng.integers(1, 9)), steps=int(rng.choice([0, 3])), **o)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(HERE, "..", "data"))
    parser.add_argument("--only", nargs="*", choices=CASES)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    os.makedirs(a.out, exist_ok=True)
    if a.random:
        rng = np.random.default_rng(a.seed)
        for i in range(a.random):
            case = random_case(rng)
            case["parts"] = [p for p, n in zip(case["parts"], case["sizes"]) if p <= n] if case["parts"] else []
            write_model(os.path.join(a.out, f"dmpnn_random_{a.seed}_{i}.h5"), a.seed * 1000 + i, **case)
        return
    for name, case in CASES.items():
        if not a.only or name in a.only:
            write_model(os.path.join(a.out, f"dmpnn_diffpool_{name}.h5"), **case)


if __name__ == "__main__":
    main()
