# SPDX-License-Identifier: Apache-2.0
"""A training step of 64 crystals: default width, k 25, cutoff 6, the first of the file.

  perov_5, carbon_24   the data set; the number of atoms must agree (and that of edges with --unique: gnn_hpc merges equal edges, the
                       reference duplicates them, as users run it)
"""
from comparison import Measurement, Peer

MODULES = "torch, numpy, h5py"
REPEAT, OUR_REPEAT, ROUNDS = 3, 10, 2

DATASETS = {"perov_5": "inputs/comformer_perov5.yaml", "carbon_24": "inputs/comformer_carbon24.yaml"}
WIDTHS = ("node_features", "edge_features", "triplet_input_features", "fc_features")


def arguments(p):
    p.add_argument("--model", default="iComFormer", choices=("iComFormer", "eComFormer"))
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--k", type=int, default=25)
    p.add_argument("--unique", action="store_true", help="the reference, too, on unique weighted edges")


def measurements(a, folder):
    out = []
    for name, input_file in DATASETS.items():
        ours = [input_file, "--what", "step", f"data.path={a.shared}/data/crystals/{name}_val.csv.gz", *(f"model.{w}=256" for w in WIDTHS),
                f"model.name={a.model}", f"graph.max_neighbors={a.k}", "graph.cutoff=6.0", "graph.use_lattice=true", f"train.batch_size={a.batch}",
                f"data.cache_dir={folder}", f"run.dir={folder}"]
        theirs = [a.python, a.reference, "bench", "--what", "step", "--model", a.model.replace("Former", "former"), "--dataset", name, "--threads", str(a.threads), "--batch", str(a.batch),
                  "--k", str(a.k), "--repeat", str(a.repeat)] + (["--unique"] if a.unique else [])
        same = (("nodes", "nodes"), ("edges", "edges")) if a.unique else (("nodes", "nodes"),)
        out.append(Measurement(name, ours, {"reference": Peer(theirs, lambda j: j["median_seconds"])}, same=same))
    return out
