# SPDX-License-Identifier: Apache-2.0
"""ParToken on the first chains of the synthetic set (249 to 359 residues), 7 classes for ours, default widths, composite loss.

  step_k51, step_k30   a training step of 16 chains (--batch) with so many neighbours a residue: collated batch to optimiser step
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare_gvp
from compare_gvp import MODULES, OUR_REPEAT, REPEAT, ROUNDS, arguments  # noqa: F401 (what scripts/bench/compare_pytorch.py asks for)


def measurements(a, folder):
    return compare_gvp.measurements(a, folder, "inputs/partoken_scop.yaml", ("model.codebook_size=512",))
