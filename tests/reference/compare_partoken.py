# SPDX-License-Identifier: Apache-2.0
"""ParToken on the first chains of the synthetic set (249 to 359 residues), 2 classes, default widths, composite loss.

  step_k51, step_k30        a training step of 8 chains (--batch) with so many neighbours a residue: collated batch to optimiser step
  partitioner, _dense       the partitioner alone on the residues of these chains, k 30, forward and backward; edge lists, adjacency matrices
  forward, forward_dense    its forward pass alone
  against_gvp_k51, _k30     our step against that of our own GVP, same batch and widths: ratio = GVP / ParToken, at most 1

The chains are written as PDB files, whose three decimals hold their coordinates exactly; the numbers of residues and edges must agree. The
reference draws its noise and masks anew in every pass, as we do. It times its partitioner
with every step, so that one run of it serves all of k 30. Its attention scores and cardinality have no gradient (here model.fidelity=upstream).
"""
import os

from comparison import Measurement, Peer, load_module

gvp = load_module(os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare_gvp.py"))

MODULES = "torch, numpy, h5py"
REPEAT, OUR_REPEAT, ROUNDS = 1, 3, 2
CONFIG, GVP_CONFIG = "inputs/partoken_scop.yaml", "inputs/gvp_scop.yaml"
CODES = "model.codebook_size=512"  # the reference's


def arguments(p):
    p.add_argument("--batch", type=int, default=8)


def partitioner(a, folder, chains):
    """Ours of `bench --what partitioner`, theirs of the block `partitioner_alone`."""
    ours = gvp.ours(a, folder, CONFIG, 30, "partitioner")
    same = ((lambda j: j["input"]["residues"], "nodes"), (lambda j: j["input"]["edges"], "edges"))
    out = []
    for form in ("sparse", "dense"):
        tail = "" if form == "sparse" else "_dense"
        for name, passes, key in (("partitioner", ("forward", "backward"), "forward_backward"), ("forward", ("forward",), "forward")):
            def mine(j, form=form, passes=passes):
                return sum(j["input"][form][f"{p}_seconds"] for p in passes)

            def peer(j, form=form, key=key):
                return j["partitioner_alone"][form][key]
            out.append(Measurement(name + tail, ours, {"reference": Peer(gvp.theirs(a, chains, 30), peer)}, key=mine, same=same, shared=True))
    return out


def measurements(a, folder):
    chains = gvp.write_chains(a, folder, classes=2)
    out = [Measurement(f"step_k{k}", gvp.ours(a, folder, CONFIG, k) + [CODES],
                       {"reference": Peer(gvp.theirs(a, chains, k), lambda j: j["step_s"])}, same=gvp.SAME) for k in (51, 30)]
    out += partitioner(a, folder, chains)
    for k in (51, 30):
        own_gvp = [a.program, "bench", *gvp.ours(a, folder, GVP_CONFIG, k), "--repeat", str(a.our_repeat)]
        out.append(Measurement(f"against_gvp_k{k}", gvp.ours(a, folder, CONFIG, k) + [CODES],
                               {"own GVP": Peer(own_gvp, lambda j: j["median_seconds"])}, same=gvp.SAME))
    return out
