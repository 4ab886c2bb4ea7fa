#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes made-up protein chains of four folds as PDB and mmCIF files, and the table of their labels, for a demonstration (inputs/data).

    scripts/data/make_folds.py FOLDER [--chains 144] [--seed 1]

Backbones (N, CA, C, O) are built from dihedral angles (helix -57, -47; strand -120, 130; loops at random, each with some spread) with ideal bond
lengths and angles (Engh and Huber, 1991, rounded), then every atom is moved a little. The folds differ in the order of their pieces only:

    helices       helix loop helix loop ...
    strands       strand loop strand loop ...
    alternating   helix loop strand loop helix ...
    halves        helices first, then strands

Lengths are drawn alike for all of them, and sequences are random, so that neither tells the fold. Files hold six chains each; every third one is
mmCIF. `segments.csv` says which residues each piece has: what a partition of the chains may be compared with (scripts/partition_agreement.py).
The same command writes the same bytes. Python 3 and nothing else.
"""
import argparse
import gzip
import math
import os
import random

FOLDS = ("helices", "strands", "alternating", "halves")
ANGLES = {"helix": (-57.0, -47.0, 6.0), "strand": (-120.0, 130.0, 12.0), "loop": (-80.0, 60.0, 60.0)}
NAMES = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split()
CHAINS_A_FILE = 6


def sub(a, b):
    return [x - y for x, y in zip(a, b)]


def unit(a):
    length = math.sqrt(sum(x * x for x in a))
    return [x / length for x in a]


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def place(a, b, c, bond, angle, dihedral):
    """The atom at `bond` from c, `angle` at c with b, `dihedral` about b-c with a; degrees."""
    t, p = math.radians(angle), math.radians(dihedral)
    bc = unit(sub(c, b))
    n = unit(cross(sub(b, a), bc))
    m = cross(n, bc)
    local = (-bond * math.cos(t), bond * math.sin(t) * math.cos(p), bond * math.sin(t) * math.sin(p))
    return [c[i] + local[0] * bc[i] + local[1] * m[i] + local[2] * n[i] for i in range(3)]


def pieces(fold, length, rng):
    """Kinds of secondary structure, one a residue."""
    out, number = [], 0
    while len(out) < length:
        first_half = len(out) < length / 2
        kind = {"helices": "helix", "strands": "strand", "alternating": ("helix", "strand")[number % 2], "halves": "helix" if first_half else "strand"}[fold]
        out += [kind] * rng.randint(7, 12) + ["loop"] * rng.randint(3, 5)
        number += 1
    return out[:length]


def segments(kinds):
    """Pieces as (first residue, last residue, kind), from 1. Neighbours differ in kind, for loops stand between the others."""
    out, first = [], 0
    for i, kind in enumerate(kinds):
        if i + 1 == len(kinds) or kinds[i + 1] != kind:
            out.append((first + 1, i + 1, kind))
            first = i + 1
    return out


def backbone(kinds, rng):
    """[n][4][3]: N, CA, C, O of every residue."""
    atoms = [[-1.2, 0.8, 0.0], [0.0, 0.0, 0.0], [1.5, 0.0, 0.0]]
    psi = None
    out = []
    for i, kind in enumerate(kinds):
        phi, new_psi, spread = ANGLES[kind]
        phi, new_psi = rng.gauss(phi, spread), rng.gauss(new_psi, spread)
        if i > 0:
            n = place(atoms[-3], atoms[-2], atoms[-1], 1.33, 116.6, psi)
            ca = place(atoms[-2], atoms[-1], n, 1.46, 121.7, rng.gauss(180.0, 3.0))
            atoms += [n, ca, place(atoms[-1], n, ca, 1.52, 111.0, phi)]
        psi = new_psi
        n, ca, c = atoms[-3:]
        out.append([n, ca, c, place(n, ca, c, 1.23, 120.5, psi + 180.0)])
    return [[[x + rng.gauss(0.0, 0.1) for x in atom] for atom in residue] for residue in out]


def pdb(chains):
    lines, serial = [], 0
    for letter, sequence, residues in chains:
        for r, (name, residue) in enumerate(zip(sequence, residues)):
            for atom, (x, y, z) in zip(("N", "CA", "C", "O"), residue):
                serial += 1
                lines.append(f"ATOM  {serial:5d}  {atom:<3s} {name} {letter}{r + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {atom[0]}")
        lines.append("TER")
    return "\n".join(lines + ["END", ""])


def mmcif(chains, name):
    items = ("group_PDB id type_symbol label_atom_id label_comp_id label_asym_id label_seq_id auth_seq_id auth_asym_id pdbx_PDB_ins_code Cartn_x "
             "Cartn_y Cartn_z pdbx_PDB_model_num").split()
    lines, serial = [f"data_{name}", "loop_"] + ["_atom_site." + item for item in items], 0
    for letter, sequence, residues in chains:
        for r, (residue_name, residue) in enumerate(zip(sequence, residues)):
            for atom, (x, y, z) in zip(("N", "CA", "C", "O"), residue):
                serial += 1
                lines.append(f"ATOM {serial} {atom[0]} {atom} {residue_name} {letter} {r + 1} {r + 1} {letter} ? {x:.3f} {y:.3f} {z:.3f} 1")
    return "\n".join(lines + ["#", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("--chains", type=int, default=144)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    rng = random.Random(a.seed)
    os.makedirs(a.folder, exist_ok=True)
    rows, cut, waiting = ["path,chain,label,residues"], ["path,chain,first,last,kind"], []
    folds = [FOLDS[i % len(FOLDS)] for i in range(a.chains)]
    rng.shuffle(folds)
    for i, fold in enumerate(folds):
        length = rng.randint(45, 75)
        letter = "ABCDEF"[i % CHAINS_A_FILE]
        sequence = [rng.choice(NAMES) for _ in range(length)]
        kinds = pieces(fold, length, rng)
        waiting.append((letter, sequence, backbone(kinds, rng)))
        number = i // CHAINS_A_FILE
        name = f"folds{number:02d}.{'cif' if number % 3 == 2 else 'pdb'}.gz"
        rows.append(f"{name},{letter},{fold},{length}")
        cut += [f"{name},{letter},{first},{last},{kind}" for first, last, kind in segments(kinds)]
        if len(waiting) < CHAINS_A_FILE and i + 1 < a.chains:
            continue
        text = mmcif(waiting, name[:7]) if ".cif" in name else pdb(waiting)
        with open(os.path.join(a.folder, name), "wb") as out:
            out.write(gzip.compress(text.encode(), 9, mtime=0))
        waiting = []
    for table, lines in (("folds.csv", rows), ("segments.csv", cut)):
        with open(os.path.join(a.folder, table), "w") as out:
            out.write("\n".join(lines) + "\n")
    print(f"{a.folder}: {a.chains} chains in {(a.chains + CHAINS_A_FILE - 1) // CHAINS_A_FILE} files, folds.csv, segments.csv")


if __name__ == "__main__":
    main()
