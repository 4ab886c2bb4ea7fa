#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/data/make_folds.py and scripts/partition_agreement.py. Standard library only.

    tests/scripts/segments.py
"""
import csv
import importlib.util
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
AGREEMENT = os.path.join(REPOSITORY, "scripts", "partition_agreement.py")
FOLDS = os.path.join(REPOSITORY, "inputs", "data", "folds")


def module(path):
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    out = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(out)
    return out


agreement = module(AGREEMENT)
folds = module(os.path.join(REPOSITORY, "scripts", "data", "make_folds.py"))


def rand_by_pairs(a, b):
    """The index from its definition: pairs of items that are together in both, one by one."""
    both = one = other = count = 0
    for i in range(len(a)):
        for j in range(i):
            together, known = a[i] == a[j], b[i] == b[j]
            both, one, other, count = both + (together and known), one + together, other + known, count + 1
    expected = one * other / count
    return (both - expected) / ((one + other) / 2 - expected)


class Index(unittest.TestCase):
    def test_by_hand(self):
        # pairs together: in both 1 (0,1); a: 2 (0,1),(2,3); b: 3 of the triple; 6 in all: (1 - 1) / (2.5 - 1)
        self.assertAlmostEqual(agreement.adjusted_rand([0, 0, 1, 1], [0, 0, 0, 1]), 0.0)
        self.assertAlmostEqual(agreement.adjusted_rand([0, 0, 1, 1], [1, 1, 0, 0]), 1.0)
        self.assertAlmostEqual(agreement.adjusted_rand([0, 0, 1, 1], [0, 1, 0, 1]), -0.5)

    def test_against_pairs(self):
        rng = random.Random(3)
        for _ in range(50):
            n = rng.randint(4, 30)
            a, b = [rng.randint(0, 3) for _ in range(n)], [rng.randint(0, 4) for _ in range(n)]
            if len(set(a)) > 1:
                self.assertAlmostEqual(agreement.adjusted_rand(a, b), rand_by_pairs(a, b), places=12)

    def test_nothing_to_tell_apart(self):
        self.assertEqual(agreement.adjusted_rand([0, 0, 0], [5, 5, 5]), 1.0)
        self.assertEqual(agreement.adjusted_rand([0, 1, 2], [2, 1, 0]), 1.0)
        self.assertEqual(agreement.adjusted_rand([0, 0, 0, 0], [0, 0, 1, 1]), 0.0)

    def test_chance_is_zero(self):
        rng = random.Random(4)
        values = [agreement.adjusted_rand([rng.randint(0, 3) for _ in range(40)], [i // 10 for i in range(40)]) for _ in range(2000)]
        self.assertLess(abs(sum(values) / len(values)), 0.005)

    def test_contiguous_pieces_keep_sizes(self):
        cut = agreement.contiguous(["a", "b", "a", "c", "a"], random.Random(1))
        self.assertEqual(sorted(cut.count(x) for x in set(cut)), [1, 1, 3])
        self.assertEqual(cut, sorted(cut))


class Program(unittest.TestCase):
    SEGMENTS = "path,chain,first,last,kind\nx.pdb,A,1,3,helix\nx.pdb,A,4,5,loop\nx.pdb,A,6,8,helix\n"

    def run_on(self, residues, segments=SEGMENTS, *options):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("r.csv", residues), ("s.csv", segments)):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write(text)
            return subprocess.run([sys.executable, AGREEMENT, *options, "r.csv", "s.csv"], cwd=folder, capture_output=True, text=True)

    def table(self, clusters, part="test", name="x.pdb:A"):
        return "".join(f"{part},{name},{i + 1},{c},,\n" for i, c in enumerate(clusters))

    HEAD = "part,id,residue,cluster,token,importance\n"

    def test_perfect_partition(self):
        done = self.run_on(self.HEAD + self.table("11100222"), self.SEGMENTS, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        r = json.loads(done.stdout)["test"]
        self.assertEqual((r["chains"], r["residues"], r["coverage"], r["clusters"], r["adjusted_rand"]), (1, 8, 1.0, 3.0, 1.0))
        self.assertLess(r["contiguous"], 1.0)
        self.assertIsNone(r["error"])

    def test_residues_without_a_cluster_do_not_count(self):
        clusters = ["1", "1", "", "0", "0", "2", "2", ""]
        r = json.loads(self.run_on(self.HEAD + self.table(clusters), self.SEGMENTS, "--json").stdout)["test"]
        self.assertEqual((r["coverage"], r["adjusted_rand"]), (0.75, 1.0))

    def test_kinds(self):
        two = json.loads(self.run_on(self.HEAD + self.table("11100111"), self.SEGMENTS, "--json", "--kinds").stdout)["test"]
        self.assertEqual(two["adjusted_rand"], 1.0)

    def test_parts_and_tables_without_them(self):
        text = self.HEAD + self.table("11100222", "val") + self.table("10101010", "test")
        both = json.loads(self.run_on(text, self.SEGMENTS, "--json").stdout)
        self.assertEqual(list(both), ["val", "test"])
        self.assertGreater(both["val"]["adjusted_rand"], both["test"]["adjusted_rand"])
        self.assertEqual(list(json.loads(self.run_on(text, self.SEGMENTS, "--json", "--part", "test").stdout)), ["test"])
        plain = "id,residue,cluster\n" + "".join(f"x.pdb:A,{i + 1},{i // 4}\n" for i in range(8))
        self.assertEqual(list(json.loads(self.run_on(plain, self.SEGMENTS, "--json").stdout)), [""])

    def test_insertion_codes_count_as_their_number(self):
        text = self.HEAD + self.table("11100222").replace(",2,1", ",1A,1")
        self.assertEqual(json.loads(self.run_on(text, self.SEGMENTS, "--json").stdout)["test"]["adjusted_rand"], 1.0)

    def test_the_same_each_time(self):
        self.assertEqual(self.run_on(self.HEAD + self.table("11001122")).stdout, self.run_on(self.HEAD + self.table("11001122")).stdout)

    def test_bad_input(self):
        good = self.HEAD + self.table("11100222")
        for residues, segments, options, message in (
                ("id,residue\nx,1\n", self.SEGMENTS, (), "no column cluster"),
                (good.replace(",3,", ",three,"), self.SEGMENTS, (), "line 4: 'three' is no residue number"),
                (good, self.SEGMENTS.replace("x.pdb", "y.pdb"), (), "chain 'x.pdb:A' has no segments"),
                (good, self.SEGMENTS.replace("4,5", "3,5"), (), "line 3: residues 3 to 5 overlap"),
                (good, self.SEGMENTS.replace("4,5", "5,4"), (), "line 3: the segment ends at 4, before it begins at 5"),
                (good, self.SEGMENTS, ("--part", "vla"), "no residues of part 'vla'"),
                (self.HEAD + self.table([""] * 8), self.SEGMENTS, (), "no chain has two residues with a cluster and a segment"),
                (self.HEAD, self.SEGMENTS, (), "no residues")):
            done = self.run_on(residues, segments, *options)
            self.assertEqual(done.returncode, 3, message)
            self.assertIn(message, done.stderr)
        self.assertEqual(subprocess.run([sys.executable, AGREEMENT, "absent.csv", "absent.csv"], capture_output=True).returncode, 3)


class Folds(unittest.TestCase):
    def test_segments_tile_the_committed_chains(self):
        segments = agreement.read_segments(os.path.join(FOLDS, "segments.csv"))
        with open(os.path.join(FOLDS, "folds.csv"), newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual(len(rows), len(segments))
        allowed = {"helices": {"helix", "loop"}, "strands": {"strand", "loop"}}
        for row in rows:
            pieces = segments[f"{row['path']}:{row['chain']}"]
            self.assertEqual([p[0] for p in pieces], [1] + [p[1] + 1 for p in pieces[:-1]])
            self.assertEqual(pieces[-1][1], int(row["residues"]))
            self.assertLessEqual({p[3] for p in pieces}, allowed.get(row["label"], {"helix", "strand", "loop"}))

    def test_the_tables_come_out_again(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, os.path.join(REPOSITORY, "scripts", "data", "make_folds.py"), folder], check=True, capture_output=True)
            for name in ("folds.csv", "segments.csv"):
                with open(os.path.join(folder, name), encoding="utf-8") as made, open(os.path.join(FOLDS, name), encoding="utf-8") as kept:
                    self.assertEqual(made.read(), kept.read())
            self.assertEqual(sorted(os.listdir(folder)), sorted(os.listdir(FOLDS)))

    def test_segments_of_kinds(self):
        self.assertEqual(folds.segments(["helix", "helix", "loop", "strand"]), [(1, 2, "helix"), (3, 3, "loop"), (4, 4, "strand")])
        self.assertEqual(folds.segments([]), [])

    def test_dihedral_angles_are_those_of_the_kinds(self):
        kinds = folds.pieces("helices", 40, random.Random(1))
        atoms = folds.backbone(kinds, random.Random(2))
        helix = [i for i in range(1, 40) if kinds[i] == "helix"]
        phi = [dihedral(atoms[i - 1][2], *atoms[i][:3]) for i in helix]
        self.assertLess(abs(sum(phi) / len(phi) + 57.0), 6.0)


def dihedral(a, b, c, d):
    """Degrees about b-c."""
    ab, bc, cd = folds.sub(b, a), folds.sub(c, b), folds.sub(d, c)
    n, m = folds.cross(ab, bc), folds.cross(bc, cd)
    x, y = sum(p * q for p, q in zip(n, m)), sum(p * q for p, q in zip(folds.cross(n, m), folds.unit(bc)))
    return math.degrees(math.atan2(y, x))


if __name__ == "__main__":
    unittest.main()
