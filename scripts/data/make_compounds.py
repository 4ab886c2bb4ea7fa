#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes inputs/data/compounds.csv from compounds_table.py: every compound's primitive cell as P1 CIF text beside its facts.

    python3 scripts/data/make_compounds.py [--out FILE] [--check]

Standard library only. Each structure type is its space-group operations (generators) and sites; orbits are closed here and
brought to the primitive cell. --check prints the shortest distance of each compound in units of the covalent radii.
"""
import argparse
import csv
import math
import os
import re
import sys

from compounds_table import COMPOUNDS

KJ_PER_EV = 96.48533
F = ["x,y+1/2,z+1/2", "x+1/2,y,z+1/2"]           # centrings
I = ["x+1/2,y+1/2,z+1/2"]
R = ["x+2/3,y+1/3,z+1/3"]
INVERSION = "-x,-y,-z"
CYCLE = "z,x,y"
GROUPS = {
    "P1": [], "Fm-3m": F + [CYCLE, "-x,-y,z", "y,x,z", INVERSION], "F-43m": F + [CYCLE, "-x,-y,z", "y,x,z"],
    "R-3m": R + ["-y,x-y,z", INVERSION, "y,x,-z"], "R-3c": R + ["-y,x-y,z", INVERSION, "y,x,-z+1/2"], "R-3": R + ["-y,x-y,z", INVERSION],
    "P42/mnm": ["-x,-y,z", "-y+1/2,x+1/2,z+1/2", "-x+1/2,y+1/2,-z+1/2", INVERSION],
    "Pnma": ["-x+1/2,-y,z+1/2", "-x,y+1/2,-z", INVERSION],
    "Fd-3m": ["x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "-x+3/4,-y+1/4,z+1/2", "-x+1/4,y+1/2,-z+3/4", CYCLE, "y+3/4,x+1/4,-z+1/2", INVERSION],
    "Ia-3": I + ["-x+1/2,-y,z+1/2", "-x,y+1/2,-z+1/2", CYCLE, INVERSION],
    "Pa-3": ["-x+1/2,-y,z+1/2", "-x,y+1/2,-z+1/2", CYCLE, INVERSION], "P213": ["-x+1/2,-y,z+1/2", "-x,y+1/2,-z+1/2", CYCLE],
    "I41/amd": I + ["-x+1/2,-y+1/2,z+1/2", "-y,x+1/2,z+1/4", "-x+1/2,y,-z+3/4", "-x,-y+1/2,-z+1/4"],
    "P63/m": ["-y,x-y,z", "-x,-y,z+1/2", INVERSION], "P3221": ["-y,x-y,z+2/3", "y,x,-z"],
    "I-42d": I + ["-x,-y,z", "y,-x,-z", "-x+1/2,y,-z+3/4"], "I4/mcm": I + ["-x,-y,z", "-y,x,z", "-x,y,-z+1/2", INVERSION],
    "I4/mmm": I + ["-x,-y,z", "-y,x,z", "-x,y,-z", INVERSION],
}


def cubic(a):
    return (a, a, a, 90, 90, 90)


def tetragonal(a, c):
    return (a, a, c, 90, 90, 90)


def hexagonal(a, c):
    return (a, a, c, 90, 90, 120)


T, U = 1 / 3, 2 / 3
# type -> function of (symbols, parameters) -> (cell, group, [(symbol, x, y, z), ...]); symbols in the order of the formula
TYPES = {
    "rock salt": lambda m, x, a: (cubic(a), "Fm-3m", [(m, 0, 0, 0), (x, .5, .5, .5)]),
    "caesium chloride": lambda m, x, a: (cubic(a), "P1", [(m, 0, 0, 0), (x, .5, .5, .5)]),
    "zinc blende": lambda m, x, a: (cubic(a), "F-43m", [(m, 0, 0, 0), (x, .25, .25, .25)]),
    "wurtzite": lambda m, x, a, c, u: (hexagonal(a, c), "P1", [(m, T, U, 0), (m, U, T, .5), (x, T, U, u), (x, U, T, u + .5)]),
    "boron nitride": lambda m, x, a, c: (hexagonal(a, c), "P1", [(m, T, U, .25), (m, U, T, .75), (x, T, U, .75), (x, U, T, .25)]),
    "tungsten carbide": lambda m, x, a, c: (hexagonal(a, c), "P1", [(m, 0, 0, 0), (x, T, U, .5)]),
    "nickel arsenide": lambda m, x, a, c: (hexagonal(a, c), "P1", [(m, 0, 0, 0), (m, 0, 0, .5), (x, T, U, .25), (x, U, T, .75)]),
    "fluorite": lambda m, x, a: (cubic(a), "Fm-3m", [(m, 0, 0, 0), (x, .25, .25, .25)]),
    "antifluorite": lambda m, x, a: (cubic(a), "Fm-3m", [(x, 0, 0, 0), (m, .25, .25, .25)]),
    "rutile": lambda m, x, a, c, u: (tetragonal(a, c), "P42/mnm", [(m, 0, 0, 0), (x, u, u, 0)]),
    "anatase": lambda m, x, a, c, z: (tetragonal(a, c), "I41/amd", [(m, 0, 0, 0), (x, 0, 0, z)]),
    "perovskite": lambda m, b, x, a: (cubic(a), "P1", [(m, 0, 0, 0), (b, .5, .5, .5), (x, .5, .5, 0), (x, .5, 0, .5), (x, 0, .5, .5)]),
    "tetragonal perovskite": lambda m, b, x, a, c, zb, z1, z2: (
        tetragonal(a, c), "P1", [(m, 0, 0, 0), (b, .5, .5, zb), (x, .5, .5, z1), (x, .5, 0, z2), (x, 0, .5, z2)]),
    "orthorhombic perovskite": lambda m, b, x, a, bb, c, xa, za, x1, z1, x2, y2, z2: (
        (a, bb, c, 90, 90, 90), "Pnma", [(m, xa, .25, za), (b, .5, 0, 0), (x, x1, .25, z1), (x, x2, y2, z2)]),
    "corundum": lambda m, x, a, c, z, u: (hexagonal(a, c), "R-3c", [(m, 0, 0, z), (x, u, 0, .25)]),
    "ilmenite": lambda m, b, o, a, c, za, zb, x, y, z: (hexagonal(a, c), "R-3", [(m, 0, 0, za), (b, 0, 0, zb), (o, x, y, z)]),
    "spinel": lambda *p: (cubic(p[-2]), "Fd-3m", [(p[0], .125, .125, .125), (p[-4], .5, .5, .5), (p[-3], p[-1], p[-1], p[-1])]),
    "bixbyite": lambda m, x, a: (cubic(a), "Ia-3", [(m, .25, .25, .25), (m, -.0325, 0, .25), (x, .3907, .1520, .3804)]),
    "lanthanum oxide": lambda m, x, a, c, zm, zo: (
        hexagonal(a, c), "P1", [(m, T, U, zm), (m, U, T, -zm), (x, 0, 0, 0), (x, T, U, zo), (x, U, T, -zo)]),
    "cuprite": lambda m, x, a: (cubic(a), "P1", [(m, 0, 0, 0), (m, .5, .5, 0), (m, .5, 0, .5), (m, 0, .5, .5), (x, .25, .25, .25), (x, .75, .75, .75)]),
    "pyrite": lambda m, x, a, u: (cubic(a), "Pa-3", [(m, 0, 0, 0), (x, u, u, u)]),
    "cadmium iodide": lambda m, x, a, c, z: (hexagonal(a, c), "P1", [(m, 0, 0, 0), (x, T, U, z), (x, U, T, -z)]),
    "brucite": lambda m, o, h, a, c, zo, zh: (
        hexagonal(a, c), "P1", [(m, 0, 0, 0), (o, T, U, zo), (o, U, T, -zo), (h, T, U, zh), (h, U, T, -zh)]),
    "cadmium chloride": lambda m, x, a, c, z: (hexagonal(a, c), "R-3m", [(m, 0, 0, 0), (x, 0, 0, z)]),
    "molybdenite": lambda m, x, a, c, z: (
        hexagonal(a, c), "P1", [(m, T, U, .25), (m, U, T, .75), (x, T, U, z), (x, U, T, z + .5), (x, U, T, -z), (x, T, U, .5 - z)]),
    "aluminium diboride": lambda m, x, a, c: (hexagonal(a, c), "P1", [(m, 0, 0, 0), (x, T, U, .5), (x, U, T, .5)]),
    "calcium carbide": lambda m, x, a, c, z: (tetragonal(a, c), "I4/mmm", [(m, 0, 0, 0), (x, 0, 0, z)]),
    "rhenium trioxide": lambda m, x, a: (cubic(a), "P1", [(m, 0, 0, 0), (x, .5, 0, 0), (x, 0, .5, 0), (x, 0, 0, .5)]),
    "aluminium fluoride": lambda m, x, a, c, u: (hexagonal(a, c), "R-3c", [(m, 0, 0, 0), (x, u, 0, .25)]),
    "lanthanum chloride": lambda m, cl, a, c, x, y: (hexagonal(a, c), "P63/m", [(m, T, U, .25), (cl, x, y, .25)]),
    "lithium nitride": lambda m, x, a, c: (hexagonal(a, c), "P1", [(x, 0, 0, 0), (m, 0, 0, .5), (m, T, U, 0), (m, U, T, 0)]),
    "quartz": lambda m, o, a, c, u, x, y, z: (hexagonal(a, c), "P3221", [(m, u, 0, U), (o, x, y, z + U)]),
    "chalcopyrite": lambda m, b, s, a, c, x: (tetragonal(a, c), "I-42d", [(m, 0, 0, 0), (b, 0, 0, .5), (s, x, .25, .125)]),
    "platinum sulphide": lambda m, x, a, c: (tetragonal(a, c), "P1", [(m, 0, .5, 0), (m, .5, 0, .5), (x, 0, 0, .25), (x, 0, 0, .75)]),
    "litharge": lambda m, x, a, c, z: (tetragonal(a, c), "P1", [(x, 0, 0, 0), (x, .5, .5, 0), (m, 0, .5, z), (m, .5, 0, -z)]),
    "lithium hydroxide": lambda m, o, h, a, c, zo, zh: (
        tetragonal(a, c), "P1", [(m, 0, 0, 0), (m, .5, .5, 0), (o, 0, .5, zo), (o, .5, 0, -zo), (h, 0, .5, zh), (h, .5, 0, -zh)]),
    "matlockite": lambda m, o, x, a, c, zm, zx: (
        tetragonal(a, c), "P1", [(o, 0, 0, 0), (o, .5, .5, 0), (m, 0, .5, zm), (m, .5, 0, -zm), (x, 0, .5, zx), (x, .5, 0, -zx)]),
    # The ends of the linear ion are the last element; its centre is the middle one (or the same).
    "sodium azide": lambda *p: (hexagonal(p[-3], p[-2]), "R-3m", [(p[0], 0, 0, 0), (p[1], 0, 0, .5), (p[-4], 0, 0, p[-1])]),
    "potassium azide": lambda *p: (tetragonal(p[-3], p[-2]), "I4/mcm", [(p[0], 0, 0, .25), (p[1], 0, .5, 0), (p[-4], p[-1], p[-1] + .5, 0)]),
    "potassium hexachloroplatinate": lambda k, m, x, a, u: (cubic(a), "Fm-3m", [(k, .25, .25, .25), (m, 0, 0, 0), (x, u, 0, 0)]),
    "sodium chlorate": lambda m, cl, o, a, um, uc, x, y, z: (cubic(a), "P213", [(m, um, um, um), (cl, uc, uc, uc), (o, x, y, z)]),
    "tetradymite": lambda m, x, a, c, zm, zx: (hexagonal(a, c), "R-3m", [(m, 0, 0, zm), (x, 0, 0, 0), (x, 0, 0, zx)]),
    "calcite": lambda m, c_, o, a, c, x: (hexagonal(a, c), "R-3c", [(m, 0, 0, 0), (c_, 0, 0, .25), (o, x, 0, .25)]),
    "cinnabar": lambda m, s, a, c, xm, xs: (hexagonal(a, c), "P3221", [(m, xm, 0, U), (s, xs, 0, U + .5)]),
}

# Covalent radii (Cordero et al., Dalton Trans. 2832, 2008), for --check.
RADII = dict(
    H=.31, Li=1.28, Be=.96, B=.84, C=.76, N=.71, O=.66, F=.57, Na=1.66, Mg=1.41, Al=1.21, Si=1.11, P=1.07, S=1.05, Cl=1.02, K=2.03, Ca=1.76, Sc=1.70,
    Ti=1.60, V=1.53, Cr=1.39, Mn=1.50, Fe=1.42, Co=1.38, Ni=1.24, Cu=1.32, Zn=1.22, Ga=1.22, Ge=1.20, As=1.19, Se=1.20, Br=1.20, Rb=2.20, Sr=1.95,
    Y=1.90, Zr=1.75, Nb=1.64, Mo=1.54, Ru=1.46, Pd=1.39, Ag=1.45, Cd=1.44, In=1.42, Sn=1.39, Sb=1.39, Te=1.38, I=1.39, Cs=2.44, Ba=2.15, La=2.07,
    Ce=2.04, Nd=2.01, Gd=1.96, Dy=1.92, Er=1.89, Yb=1.87, Lu=1.87, Ta=1.70, W=1.62, Pt=1.36, Hg=1.32, Tl=1.45, Pb=1.46, Bi=1.48, Th=2.06, U=1.96,
    Np=1.90, Pu=1.87)


def parse_op(text):
    rows = []
    for part in text.split(","):
        row, shift = [0, 0, 0], 0.0
        for sign, token in re.findall(r"([+-]?)([xyz]|\d+/\d+|\d+)", part):
            s = -1 if sign == "-" else 1
            if token in "xyz":
                row["xyz".index(token)] += s
            elif "/" in token:
                p, q = token.split("/")
                shift += s * int(p) / int(q)
            else:
                shift += s * int(token)
        rows.append((row, shift))
    return rows


def same(p, q):
    return all(abs((s - t) - round(s - t)) < 1e-5 for s, t in zip(p, q))


def orbit(ops, point):
    points, at = [tuple(t % 1 for t in point)], 0
    while at < len(points):
        p, at = points[at], at + 1
        for op in ops:
            q = tuple((sum(r * t for r, t in zip(row, p)) + shift) % 1 for row, shift in op)
            if not any(same(q, o) for o in points):
                points.append(q)
    return points


def matrix(cell):
    a, b, c = cell[:3]
    al, be, ga = (math.radians(t) for t in cell[3:])
    x = (math.cos(al) - math.cos(be) * math.cos(ga)) / math.sin(ga)
    return [[a, 0, 0], [b * math.cos(ga), b * math.sin(ga), 0], [c * math.cos(be), c * x, c * math.sqrt(max(0, math.sin(be) ** 2 - x * x))]]


def times(v, m):
    return [sum(v[k] * m[k][c] for k in range(3)) for c in range(3)]


def inverse(m):
    det = sum(m[0][c] * (m[1][(c + 1) % 3] * m[2][(c + 2) % 3] - m[1][(c + 2) % 3] * m[2][(c + 1) % 3]) for c in range(3))
    cof = [[(m[(r + 1) % 3][(c + 1) % 3] * m[(r + 2) % 3][(c + 2) % 3] - m[(r + 1) % 3][(c + 2) % 3] * m[(r + 2) % 3][(c + 1) % 3]) / det
            for c in range(3)] for r in range(3)]
    return [[cof[c][r] for c in range(3)] for r in range(3)]


PRIMITIVE = {  # rows: primitive vectors in units of the conventional ones
    "F": [[0, .5, .5], [.5, 0, .5], [.5, .5, 0]], "I": [[-.5, .5, .5], [.5, -.5, .5], [.5, .5, -.5]],
    "R": [[U, T, T], [-T, T, T], [-T, -U, T]]}


def build(prototype, symbols, values):
    cell, group, sites = TYPES[prototype](*symbols, *values)
    ops = [parse_op(t) for t in GROUPS[group]]
    lattice = matrix(cell)
    atoms = [(s, p) for s, *xyz in sites for p in orbit(ops, xyz)]
    if group[0] in PRIMITIVE:
        change = PRIMITIVE[group[0]]
        back = inverse(change)
        lattice = [times(row, lattice) for row in change]
        reduced = []
        for s, p in atoms:
            q = tuple(t % 1 for t in times(p, back))
            if not any(s == o and same(q, r) for o, r in reduced):
                reduced.append((s, q))
        atoms = reduced
    return lattice, atoms


def cell_parameters(lattice):
    length = [math.sqrt(sum(t * t for t in row)) for row in lattice]
    cosine = lambda i, j: sum(p * q for p, q in zip(lattice[i], lattice[j])) / length[i] / length[j]
    return length + [math.degrees(math.acos(max(-1, min(1, cosine(i, j))))) for i, j in ((1, 2), (0, 2), (0, 1))]


def elements(formula):
    """Symbols in order of appearance and their counts; one level of parentheses."""
    flat = re.sub(r"\(([^)]*)\)(\d+)", lambda m: m[1] * int(m[2]), formula)
    counts = {}
    for symbol, n in re.findall(r"([A-Z][a-z]?)(\d*)", flat):
        counts[symbol] = counts.get(symbol, 0) + int(n or 1)
    return list(counts), counts


def cif_text(formula, lattice, atoms):
    p = cell_parameters(lattice)
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"data_{formula}", "_symmetry_space_group_name_H-M   'P 1'"]
    lines += [f"_cell_{n}   {v:.8f}" for n, v in zip(names, p)]
    lines += ["loop_", " _symmetry_equiv_pos_site_id", " _symmetry_equiv_pos_as_xyz", "  1  'x, y, z'", "loop_"]
    lines += [" _atom_site_" + t for t in ("type_symbol", "label", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z", "occupancy")]
    for i, (s, q) in enumerate(atoms):
        x, y, z = ((0.0 if t > 1 - 5e-9 else t) for t in q)
        lines.append(f"  {s}  {s}{i}  1  {x:.8f}  {y:.8f}  {z:.8f}  1")
    return "\n".join(lines) + "\n"


def shortest(lattice, atoms):
    """Smallest distance in units of the sum of covalent radii, with the pair and the distance."""
    best = (9e9, "", 0.0)
    for i, (s, p) in enumerate(atoms):
        for t, q in atoms[i:]:
            for n in ((a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)):
                d = math.dist((0, 0, 0), times([y - x + k for x, y, k in zip(p, q, n)], lattice))
                if d > 1e-6:
                    best = min(best, (d / (RADII[s] + RADII[t]), f"{s}-{t}", d))
    return best


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(here, "..", "..", "inputs", "data", "compounds.csv"))
    parser.add_argument("--check", action="store_true", help="print shortest distances; write nothing")
    args = parser.parse_args()
    rows, seen = [], {}
    for prototype, (names, lines) in COMPOUNDS.items():
        names = names.split()
        for formula, *values, enthalpy, source in lines:
            symbols, counts = elements(formula)
            if len(values) != len(names):
                sys.exit(f"{prototype} {formula}: {len(values)} parameters, expected {len(names)}")
            lattice, atoms = build(prototype, symbols, values)
            found = {s: sum(t == s for t, _ in atoms) for s in symbols}
            units = found[symbols[0]] / counts[symbols[0]]
            if any(found[s] != units * counts[s] for s in symbols) or len(atoms) != sum(found.values()):
                sys.exit(f"{prototype} {formula}: the cell holds {found}")
            if args.check:
                ratio, pair, d = shortest(lattice, atoms)
                print(f"{formula:8s} {prototype:28s} {len(atoms):3d} atoms  {pair:6s} {d:.3f} A = {ratio:.2f} radii")
            seen[formula] = seen.get(formula, 0) + 1
            given = dict(zip(names, values))
            free = " ".join(f"{k}={given[k]}" for k in names if k not in "abc")
            rows.append([f"{formula}-{prototype.replace(' ', '-')}", formula, prototype, given["a"], given.get("b", ""), given.get("c", ""), free,
                         enthalpy, f"{enthalpy / KJ_PER_EV / sum(counts.values()):.5f}", source, cif_text(formula, lattice, atoms)])
    if args.check:
        return
    with open(args.out, "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["id", "formula", "prototype", "a", "b", "c", "free_parameters", "formation_enthalpy_kj_per_mol",
                      "formation_enthalpy_ev_per_atom", "source", "cif"])
        out.writerows(rows)
    print(f"{len(rows)} compounds of {len(COMPOUNDS)} structure types -> {os.path.relpath(args.out)}")


if __name__ == "__main__":
    main()
