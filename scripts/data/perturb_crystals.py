#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a large artificial set of crystals by straining and shaking real ones: input for scaling runs, not for science.

    python3 scripts/data/perturb_crystals.py --count 200000 --out crystals_200k.csv [--seed 1] [--format csv|extxyz]

Sources are CSV files with P1 CIF text (default: those of ../shared/data/crystals). Each comes from a source record drawn at random; its
cell is strained, its atoms are displaced (Gaussians), its label `volume_per_atom` (cubic angstrom) is computed from the result, so that a
model has something true to learn. Same seed, same file. Standard library only; the output is gzipped if it ends in .gz.
"""
import argparse
import csv
import glob
import gzip
import math
import os
import random
import sys


def opened(path, mode):
    return gzip.open(path, mode + "t", newline="", compresslevel=1) if path.endswith(".gz") else open(path, mode, newline="")


def parse_p1(text):
    """Cell parameters, symbols and fractional coordinates of a CIF as the public crystal benchmarks write it."""
    cell, symbols, frac = {}, [], []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        words = lines[at].split()
        at += 1
        if len(words) == 2 and words[0].startswith("_cell_"):
            cell[words[0]] = words[1]
        if words != ["loop_"]:
            continue
        columns = []
        while at < len(lines) and lines[at].strip().startswith("_"):
            columns.append(lines[at].strip())
            at += 1
        if "_atom_site_fract_x" not in columns:
            continue
        place = [columns.index("_atom_site_fract_" + t) for t in "xyz"]
        symbol = columns.index("_atom_site_type_symbol")
        while at < len(lines) and lines[at].strip():
            row = lines[at].split()
            symbols.append(row[symbol])
            frac.append([float(row[p]) for p in place])
            at += 1
    names = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"]
    return [float(cell["_cell_" + n]) for n in names], symbols, frac


def lattice(cell):
    a, b, c = cell[:3]
    al, be, ga = (math.radians(t) for t in cell[3:])
    x = max(-1.0, min(1.0, (math.cos(al) * math.cos(be) - math.cos(ga)) / (math.sin(al) * math.sin(be))))
    g = math.acos(x)
    return [[a * math.sin(be), 0.0, a * math.cos(be)], [-b * math.sin(al) * math.cos(g), b * math.sin(al) * math.sin(g), b * math.cos(al)], [0.0, 0.0, c]]


def perturbed(rng, cell, frac, displacement, strain):
    """A new cell (the six parameters, strained one by one) and coordinates displaced by about `displacement` angstrom."""
    new = [t * (1 + rng.gauss(0, strain)) for t in cell[:3]] + [t + math.degrees(rng.gauss(0, strain)) for t in cell[3:]]
    m = lattice(new)
    volume = abs(m[0][0] * m[1][1] * m[2][2] - m[0][2] * m[1][1] * m[2][0])
    if volume < 0.5 * len(frac) or any(not 10 < t < 170 for t in new[3:]):
        new = list(cell)
        m = lattice(new)
        volume = abs(m[0][0] * m[1][1] * m[2][2] - m[0][2] * m[1][1] * m[2][0])
    moved = [[f + rng.gauss(0, displacement) / length for f, length in zip(p, new)] for p in frac]
    return new, m, moved, volume / len(frac)


def cif_text(cell, symbols, frac):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_perturbed", "_symmetry_space_group_name_H-M   'P 1'"]
    lines += [f"_cell_{n}   {v:.8f}" for n, v in zip(names, cell)]
    lines.append("loop_\n _atom_site_type_symbol\n _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n _atom_site_occupancy")
    lines += [f"  {s}  {x:.8f}  {y:.8f}  {z:.8f}  1" for s, (x, y, z) in zip(symbols, frac)]
    return "\n".join(lines) + "\n"


def frame_text(name, label, m, symbols, frac):
    cell = " ".join(f"{t:.8f}" for row in m for t in row)
    lines = [str(len(symbols)), f'Lattice="{cell}" Properties=species:S:1:pos:R:3 id={name} volume_per_atom={label:.8f} pbc="T T T"']
    for s, p in zip(symbols, frac):
        lines.append(s + "".join(f" {sum(p[k] * m[k][c] for k in range(3)):.8f}" for c in range(3)))
    return "\n".join(lines) + "\n"


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    default = os.path.join(os.environ.get("GNN_HPC_SHARED", os.path.join(here, "..", "..", "..", "shared")), "data", "crystals", "*.csv.gz")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True, help="file to write; .gz compresses")
    parser.add_argument("--format", choices=("csv", "extxyz"), default="csv")
    parser.add_argument("--displacement", type=float, default=0.05, help="standard deviation along each axis, angstrom")
    parser.add_argument("--strain", type=float, default=0.01, help="relative standard deviation of lengths; of angles in radians")
    parser.add_argument("sources", nargs="*", help="CSV files with a cif column (default: the shared crystal sets)")
    args = parser.parse_args()
    csv.field_size_limit(1 << 28)
    originals = []
    for path in args.sources or sorted(glob.glob(default)):
        with opened(path, "r") as f:
            originals += [parse_p1(row["cif"]) for row in csv.DictReader(f)]
    if not originals:
        sys.exit(f"no source crystals ({default}); name CSV files or set GNN_HPC_SHARED")
    rng = random.Random(args.seed)
    with opened(args.out, "w") as f:
        table = csv.writer(f, lineterminator="\n")
        if args.format == "csv":
            table.writerow(["material_id", "volume_per_atom", "cif"])
        for i in range(args.count):
            cell, symbols, frac = originals[rng.randrange(len(originals))]
            cell, m, frac, label = perturbed(rng, cell, frac, args.displacement, args.strain)
            name = f"perturbed-{args.seed}-{i}"
            if args.format == "csv":
                table.writerow([name, f"{label:.8f}", cif_text(cell, symbols, frac)])
            else:
                f.write(frame_text(name, label, m, symbols, frac))
    print(f"{args.count} crystals from {len(originals)} originals, seed {args.seed} -> {args.out}")


if __name__ == "__main__":
    main()
