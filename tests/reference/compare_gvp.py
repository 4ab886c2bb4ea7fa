# SPDX-License-Identifier: Apache-2.0
"""GVP on the first chains of the synthetic set (249 to 359 residues), 7 classes, default widths.

  step_k51, step_k30   a training step of 16 chains (--batch) with so many neighbours a residue: collated batch to optimiser step

The chains are written as PDB files, whose three decimals hold their coordinates exactly; the numbers of residues and edges must agree.
"""
import os

from comparison import Measurement, Peer, run_json

MODULES = "torch, numpy, h5py"
REPEAT, OUR_REPEAT, ROUNDS = 1, 3, 2


def arguments(p):
    p.add_argument("--batch", type=int, default=16)


WRITE = """
import json, os, sys
import h5py
file, folder, count, classes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with h5py.File(file) as f:
    coords, ptr = f["coords"][:], f["ptr"][:]
rows = ["path,chain,label,split"]
for g in range(len(ptr) - 1):
    lines, serial = [], 0
    for r, residue in enumerate(coords[ptr[g]:ptr[g + 1]]):
        for name, (x, y, z) in zip(("N", "CA", "C", "O"), residue):
            serial += 1
            lines.append(f"ATOM  {serial:5d}  {name:<3s} ALA A{r + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00")
    with open(os.path.join(folder, f"chain{g}.pdb"), "w") as out:
        out.write("\\n".join(lines) + "\\nEND\\n")
    rows.append(f"chain{g}.pdb,A,{g % classes},{'train' if g < count else 'val' if g % 2 else 'test'}")
with open(os.path.join(folder, "chains.csv"), "w") as out:
    out.write("\\n".join(rows) + "\\n")
print(json.dumps({"chains": len(ptr) - 1}))
"""


def write_chains(a, folder, classes=7):
    """PDB files and their table `chains.csv`; returns the file of all chains."""
    chains = os.path.join(a.shared, "data", "proteins", "bench_synthetic_64.h5")
    run_json([a.python, "-c", WRITE, chains, folder, str(a.batch), str(classes)], 1, "the synthetic chains")
    return chains


def ours(a, folder, config, k, what="step"):
    """Arguments of `gnn_hpc bench`."""
    return [config, "--what", what, "--batch", str(a.batch), f"data.path={folder}/chains.csv", "data.split=column", f"graph.top_k={k}",
            "data.cache_dir=" + folder, "run.dir=" + folder]


def theirs(a, chains, k):
    """The reference's command."""
    return [a.python, a.reference, "bench", "--batch", str(a.batch), "--topk", str(k), "--threads", str(a.threads), "--repeat", str(a.repeat),
            "--chains", chains]


SAME = (("nodes", "nodes"), ("edges", "edges"))


def measurements(a, folder):
    chains = write_chains(a, folder)
    return [Measurement(f"step_k{k}", ours(a, folder, "inputs/gvp_scop.yaml", k), {"reference": Peer(theirs(a, chains, k), lambda j: j["step_s"])},
                        same=SAME) for k in (51, 30)]
