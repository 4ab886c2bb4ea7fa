#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files of GVP in tests/data: synthetic chains through the PyTorch reference (gvp.py beside this file).

    python tests/reference/make_gvp.py [--only NAME ...] [--out tests/data]
    python tests/reference/make_gvp.py --random 40 --seed 5 --out FOLDER    # further models with random options, to try by hand

Chains are self-avoiding walks with made-up sequences: nothing is taken from a data set. The same command writes the same numbers. Needs torch, numpy
and h5py; never needed to build or to run gnn_hpc.
"""
import argparse
import os

import h5py
import numpy as np
import torch

import gvp as ref

HERE = os.path.dirname(os.path.abspath(__file__))
POOLINGS = ("sum", "mean", "max", "attention")


def chains(rng, sizes, gaps):
    """Synthetic chains; `gaps`: share of residues that lack an atom."""
    out = []
    for n in sizes:
        xyz = ref.synthetic_chain(int(n), int(rng.integers(1 << 30)))
        for r in range(n):
            if rng.random() < gaps:
                xyz[r, rng.integers(4)] = np.nan
        out.append(xyz)
    return out


def mark(path, kind, system="gvp"):
    with h5py.File(path, "a") as f:
        f.attrs["system"], f.attrs["kind"] = system, kind


def write_model(path, seed, sizes, *, top_k=4, gaps=0.0, steps=0, trace=True, dropout=True, **options):
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(seed)
    xyz = chains(rng, sizes, gaps)
    sequences = ["".join(ref.AA1[i] for i in rng.integers(0, 20, len(x))) for x in xyz]
    kw = dict(num_classes=3, node_h=(8, 3), edge_h=(6, 2), num_layers=2, drop_rate=0.2 if dropout else 0.0)
    kw.update(options)
    g = ref.collate([ref.featurise(x, top_k) for x in xyz], sequences, [int(i) for i in rng.integers(0, kw["num_classes"], len(xyz))])
    model = ref.randomise(ref.GVPClassifier(**kw), seed)
    draws = ref.Draws(seed) if dropout else None
    intermediates = {}
    logits = model(g, draws, intermediates)
    loss = ref.cross_entropy(logits, g.y)
    loss.backward()
    outputs = dict(logits=logits, **(intermediates if trace else {}))
    with torch.no_grad():
        outputs["logits_eval"] = model(g)
    named = dict(model.named_parameters())
    tree = dict(params=named, inputs=ref.batch_tree(g), outputs=outputs, loss=loss, grads={n: p.grad for n, p in named.items()})
    if draws is not None:
        tree["random"] = dict(draws.table)
    if steps:
        fresh = ref.randomise(ref.GVPClassifier(**kw), seed)
        tree["trajectory"] = ref.train_trajectory(fresh, lambda m, b: ref.cross_entropy(m(b), b.y), [g], steps=steps)
    attrs = dict(system="gvp", case="made up", seed=seed, lr=1e-3, grads="full",
                 **{k: (list(v) if isinstance(v, tuple) else v) for k, v in
                    {**dict(node_in=(6, 3), edge_in=(32, 1), pooling="sum", seq_in=False, vector_gate=False), **kw}.items()})
    ref.h5_write(path, tree, attrs)
    mark(path, "model")


def pdb_text(xyz, sequence):
    names = {a: n for n, a in zip(ref.AA3, ref.AA1)}
    lines, serial = [], 0
    for r, residue in enumerate(xyz):
        for atom, (x, y, z) in zip(ref.BACKBONE, residue):
            if np.isfinite(x):
                serial += 1
                lines.append(f"ATOM  {serial:5d}  {atom:<3s} {names[sequence[r]]} A{r + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00")
    return "\n".join(lines) + "\nEND\n"


def cif_text(xyz, sequence):
    names = {a: n for n, a in zip(ref.AA3, ref.AA1)}
    items = ("group_PDB id label_atom_id label_comp_id label_asym_id label_seq_id auth_asym_id auth_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z "
             "pdbx_PDB_model_num").split()
    lines, serial = ["data_made_up", "loop_"] + ["_atom_site." + i for i in items], 0
    for r, residue in enumerate(xyz):
        for atom, (x, y, z) in zip(ref.BACKBONE, residue):
            if np.isfinite(x):
                serial += 1
                lines.append(f"ATOM {serial} {atom} {names[sequence[r]]} A {r + 1} A {r + 1} ? {x:.3f} {y:.3f} {z:.3f} 1")
    return "\n".join(lines) + "\n#\n"


def write_graphs(path, seed, sizes):
    """Chains written as PDB and mmCIF, read by the reference's own reader, and their graphs."""
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(seed)
    tree = {"structures": {"_files": {}}}
    for i, xyz in enumerate(chains(rng, sizes, 0.08)):
        sequence = "".join(ref.AA1[k] for k in rng.integers(0, 20, len(xyz)))
        for tail, text in (("pdb", pdb_text(xyz, sequence)), ("cif", cif_text(xyz, sequence))):
            name = f"walk{i}.{tail}"
            c = ref.parse_structure(text, name)[0]
            f = ref.featurise(c.coords, 5)
            if len(c.seq) > 60:
                f["edge_s"], f["edge_v"] = f["edge_s"][::8], f["edge_v"][::8]
            tree["structures"][f"{name}:{c.chain}"] = dict(coords=c.coords, seq=c.seq, residues=",".join(c.residues), **f)
            tree["structures"]["_files"][name] = text
    ref.h5_write(path, tree, dict(case="graph", top_k=5))
    mark(path, "graphs")


MODELS = {
    "gvp_walks": dict(seed=1, sizes=(5, 9, 7), steps=6),
    "gvp_gaps": dict(seed=2, sizes=(1, 2, 6, 12, 5), gaps=0.25, dropout=False, steps=6),
    "gvp_gate": dict(seed=3, sizes=(8, 6), vector_gate=True, gaps=0.1, edge_h=(6, 1)),
    "gvp_max": dict(seed=4, sizes=(4, 11, 1), pooling="max", num_layers=1),
    "gvp_mean": dict(seed=5, sizes=(9, 3), pooling="mean", node_h=(5, 1), edge_h=(3, 3), dropout=False),
    "gvp_attention": dict(seed=6, sizes=(7, 1, 10), pooling="attention", seq_in=True, gaps=0.1),
}


def write_random(out, count, seed):
    rng = np.random.default_rng(seed)
    for i in range(count):
        sizes = tuple(int(n) for n in rng.integers(1, 16, rng.integers(1, 5)))
        write_model(os.path.join(out, f"gvp_random{i}.h5"), seed * 1000 + i, sizes, top_k=int(rng.integers(1, 9)), gaps=float(rng.choice([0, 0.15, 0.6])),
                    dropout=bool(rng.integers(2)), steps=int(rng.choice([0, 5])), pooling=POOLINGS[rng.integers(4)], seq_in=bool(rng.integers(2)),
                    vector_gate=bool(rng.integers(2)), num_layers=int(rng.integers(1, 4)), num_classes=int(rng.integers(1, 6)),
                    node_h=(int(rng.integers(2, 40)), int(rng.integers(1, 9))), edge_h=(int(rng.integers(1, 20)), int(rng.integers(1, 4))))


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
    for name, case in MODELS.items():
        if not a.only or name in a.only:
            write_model(os.path.join(a.out, name + ".h5"), **case)
    if not a.only or "gvp_graphs" in a.only:
        write_graphs(os.path.join(a.out, "gvp_graphs.h5"), 7, (3, 14, 70))


if __name__ == "__main__":
    main()
