#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/dmpnn_diffpool_graphs.h5: molecules and polymers made up here, with the graphs that dmpnn_diffpool.py gives them.

Needs rdkit, numpy, h5py and torch:  make_dmpnn_graphs.py [--out FILE] [--reference FOLDER of dmpnn_diffpool.py]
"""
import argparse
import os
import sys

import h5py
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))

MOLECULES = [
    # atoms of all kinds
    "C", "*", "[*]", "[*][*]", "[H][H]", "[2H]C([2H])O", "[13CH4]", "[NH4+]", "[O-]C=O", "[Fe+2]", "[Na+].[Cl-]", "[CH3]", "[CH2]", "[Cu]", "[Xe]",
    "[U]", "[Ca+2].[O-]C(=O)c1ccccc1.[O-]C(=O)c1ccccc1", "[Sn](C)(C)(C)C", "[Al+3]", "O=[Os](=O)(=O)=O", "F[P-](F)(F)(F)(F)F", "FS(F)(F)(F)(F)F",
    "FP(F)(F)(F)F", "[OH3+]", "[S-2]", "[H]O[H]", "[3H]c1ccccc1", "[238U]", "[SiH4]", "B", "II", "ClC(Br)I",
    # bonds and stereo
    "C/C=C/C", "C/C=C\\C", "F/C=C/C=C\\Cl", "CC=CC", "C[C@H](O)[*]", "C[C@@H](O)[*]", "N[C@@H](C)C(=O)O", "C1CC[C@H]2CCCC[C@@H]2C1",
    "[*]->[Cu]", "C~C", "O=C=O", "[C-]#[O+]", "N#N", "[*]C#C[*]", "[*]N=[N+]=[N-]", "C=C=C", "C#CC#C", "CC(=O)/N=N/C(C)=O",
    "C[S@](=O)CC", "F[Pt@SP1](F)(Cl)Cl", "[*:1]CC([*:2])c1ccccc1.[*:3][Si](C)(C)O[*:4]",
    # rings
    "[*]C1CCC([*])C1", "C1=CC=CC=CC=C1", "c1ccc2ccccc2c1", "C12CC1C2", "C1CC2CCC1C2", "c1ccc2c(c1)[nH]c1ccccc12", "[*]c1ccc([*])s1", "[*]c1ccc([*])o1",
    "[*][Se]c1ccccc1", "c1ccncc1", "O=c1[nH]cc[nH]1", "[*]n1cccc1", "C1=CCC=C1", "c1cc[cH-]c1", "O=C1C=CC(=O)C=C1", "C1CCCCCCCCCCC1", "[*]C1=CC=C([*])C1",
    "c1ccc2[nH]c([*])nc2c1", "c1cc2ccc3cccc4ccc(c1)c2c34",
    # repeat units
    "*CC*", "*CC(*)C", "*CC(*)c1ccccc1", "*CC(*)C#N", "*CC(*)(C)C(=O)OC", "*C(F)(F)C(*)(F)F", "*COC*", "*CCO*", "*[Si](C)(C)O*", "*CC(*)Cl",
    "*OCCOC(=O)c1ccc(cc1)C(*)=O", "*NCCCCCC(*)=O", "*Nc1ccc(cc1)NC(=O)c1ccc(cc1)C(*)=O", "*Oc1ccc(cc1)C(C)(C)c1ccc(cc1)OC(*)=O",
    "*c1ccc(cc1)Oc1ccc(cc1)S(=O)(=O)c1ccc(*)cc1", "*N1C(=O)c2ccc(cc2C1=O)Oc1ccc(*)cc1", "*OP(=N*)(C)C", "*CCCCCC[N+](*)(C)C", "*C=Cc1ccc(*)cc1",
    "*c1cc(CCCCCC)c(*)s1", "*C=C*", "*CC=CC*", "*C/C=C\\C*", "*C/C(C)=C\\C*", "*CC(*)(Cl)Cl", "*CC(*)O", "*CC(*)OC(C)=O", "*CC(*)C(N)=O", "*CC(*)C(=O)[O-].[Na+]",
    "*c1ccc(*)cc1", "*Sc1ccc(*)cc1", "*Oc1c(C)cc(*)cc1C", "*CC(*)N1CCCC1=O", "*[Ge](C)(C)*", "*CC(*)[Si](C)(C)C", "*B(O)O*", "*N=P(*)(OCC(F)(F)F)OCC(F)(F)F",
    "*OC(=O)CCCCC(=O)OCC*", "*SS*", "*S(=O)(=O)c1ccc(*)cc1", "*C(=O)Nc1ccc(Cc2ccc(NC(=O)OCCO*)cc2)cc1",
    # shapes
    "C" * 70, "C.C.C.C", "*" + "CC(C)" * 12 + "*", "C(C(C(C(C)C)C)C)C", "c1ccccc1" + "-c1ccccc1" * 5, "  CCO  ",
]

REJECTED = ["", "   ", "C(", "not a molecule", "c1cccc1", "CC(C)(C)(C)C", "[*", "C1CC", "CC)", "[Qq]", "C%1", "C==C", "[C", "C1CC2", "(C)", "F=F=F", "[*:a]",
            "c1ccccc", "C|", "CC(=O", "N(C)(C)(C)C", "[H", "C#", "n1cccc1"]

FRAGMENTS = [("[*:%d]CC([*:%d])c1ccccc1", 2), ("[*:%d][Si](C)(C)O[*:%d]", 2), ("[*:%d]CCO[*:%d]", 2), ("[*:%d]CC([*:%d])C(=O)OC", 2),
             ("[*:%d]C/C=C\\C[*:%d]", 2), ("[*:%d]c1ccc([*:%d])s1", 2), ("[*:%d]C=C[*:%d]", 2), ("[*:%d]C[*:%d]", 2), ("[*:%d]CC(O[*:%d])CO[*:%d]", 3),
             ("[*:%d]n1c2ccccc2c2cc([*:%d])ccc12", 2), ("[*:%d]OC(=O)c1ccc(C(=O)O[*:%d])cc1", 2), ("[*:%d][N+](C)(C)C[*:%d]", 2),
             ("[*:%d]C(F)(F)C([*:%d])(F)F", 2), ("[*:%d]C[C@H]([*:%d])C", 2)]


def random_polymer(rng):
    """Some fragments; every attachment point receives weights that add up to one, from any of them."""
    chosen = rng.choice(len(FRAGMENTS), int(rng.integers(1, 5)), replace=False)
    at, texts, labels = 1, [], []
    for f in chosen:
        pattern, points = FRAGMENTS[f]
        texts.append(pattern % tuple(range(at, at + points)))
        labels += range(at, at + points)
        at += points
    share = rng.random(len(chosen)) + 0.1
    share /= share.sum()
    if rng.integers(4) == 0:            # chain of blocks: each point has one partner
        order = rng.permutation(labels).tolist()
        if len(order) % 2:
            order.append(order[-1])
        rules = [(order[k], order[k + 1], 1.0, 1.0) for k in range(0, len(order), 2)]
        if len(order) != len(labels):   # the odd one with itself
            rules[-1] = (order[-1], order[-1], 1.0, 1.0)
    else:                               # random: every point with every point
        w = 1.0 / len(labels)
        rules = [(i, j, w, w) for k, i in enumerate(labels) for j in labels[k:]]
        rng.shuffle(rules)
        rules = [(int(i), int(j), wij, wji) for i, j, wij, wji in rules]
    blank = " " if rng.integers(3) == 0 else ""
    text = ".".join(texts) + "|" + "|".join(repr(float(x)) for x in share) + "|" + "".join(f"<{i}-{j}:{a!r}:{b!r}{blank}" for i, j, a, b in rules)
    return text + (f"~{float(np.exp(rng.uniform(0, 8)))!r}" if rng.integers(4) else "")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(HERE, "..", "data", "dmpnn_diffpool_graphs.h5"))
    p.add_argument("--reference", default=HERE)
    p.add_argument("--polymers", type=int, default=24)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    sys.path.insert(0, a.reference)
    import dmpnn_diffpool as ref
    rng = np.random.default_rng(a.seed)
    polymers = ["[*:1]CC[*:2]|1|<~25", "[*:1]CC[*:2].[*:3]CO[*:4] | 0.5 | 0.5 |<1-3: 1 : 1 <2-4:1:1 ~ 3.5"] + [random_polymer(rng) for _ in range(a.polymers)]
    packed = dict(compression="gzip", compression_opts=9, shuffle=True)
    with h5py.File(a.out, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="dmpnn_diffpool", kind="graphs")
        for group, texts, make in (("molecules", MOLECULES, ref.mol_graph), ("polymers", polymers, ref.polymer_graph)):
            graphs = [make(t) for t in texts]
            g = f.create_group(group)
            g.create_dataset("text", data=np.array(texts, dtype=object), dtype=h5py.string_dtype())
            g["n_atoms"], g["n_edges"] = [len(x["V"]) for x in graphs], [x["edge_index"].shape[1] for x in graphs]
            for k in graphs[0]:
                parts = [np.asarray(x[k]) for x in graphs]
                g.create_dataset(k, data=np.array(parts) if k == "dop" else np.concatenate(parts, -1 if k == "edge_index" else 0), **packed)
        f.create_dataset("rejected/text", data=np.array(REJECTED, dtype=object), dtype=h5py.string_dtype())
        for text in REJECTED:
            try:
                ref.mol_graph(text)
            except ref.BadInput:
                continue
            raise SystemExit(f"{text!r} was accepted")
        for n, seed in ((10, 0), (70, 42), (257, 4294967295), (1000, 7)):
            for part, index in zip(("train", "val", "test"), ref.holdout_split(n, seed)):
                f.create_dataset(f"splits/holdout_n{n}_seed{seed}/{part}", data=np.array(index, dtype=np.int32), **packed)
        for n, seed, folds in ((11, 3, 2), (103, 42, 5), (40, 1, 10)):
            for i, parts in enumerate(ref.kfold_splits(n, seed, folds)):
                for part, index in zip(("train", "val", "test"), parts):
                    f.create_dataset(f"splits/kfold{folds}_n{n}_seed{seed}/fold{i}_{part}", data=np.array(index, dtype=np.int32), **packed)
    print(f"{a.out}: {os.path.getsize(a.out)} bytes, {len(MOLECULES)} molecules, {len(polymers)} polymers")


if __name__ == "__main__":
    main()
