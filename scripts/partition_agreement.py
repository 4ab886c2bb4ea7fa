#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far clusters of residues follow known segments of the chains: helices, domains, binding sites.

    scripts/partition_agreement.py RESIDUES.csv SEGMENTS.csv [--kinds] [--part test] [--draws 200] [--seed 1] [--json]

RESIDUES.csv is the table of residues of a run or a prediction (columns id, residue, cluster, perhaps part; an empty cluster: in none), SEGMENTS.csv
says what is known (columns path, chain, first, last, kind; ids are path:chain). Of every chain the adjusted Rand index over the residues that
have a cluster and a segment, clusters against segments (with --kinds: against kinds, all helices of a chain being one group):

    index 1    the same groups        index 0    as alike as groups drawn at random are on average        below 0    less alike than those

Contiguous pieces of a chain agree with its segments better than scattered groups do, whoever cut them. So the same number is printed for chains cut
at random into contiguous pieces of the clusters' sizes (in the order of the chain, residues without a cluster left out): what is above it the
partition has learned. Python 3 and nothing else.
"""
import argparse
import csv
import gzip
import json
import math
import random
import re
import sys
from collections import Counter, defaultdict


class BadInput(Exception):
    pass


# ------------------------------------------------------------------------------------------------------------ tables

def rows_of(path, needed):
    """Rows of a CSV file with their line numbers."""
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", newline="", encoding="utf-8") as f:
            reader = csv.DictReader(f)
            missing = [c for c in needed if c not in (reader.fieldnames or [])]
            if missing:
                raise BadInput(f"{path}: no column {', '.join(missing)}")
            for row in reader:
                if any(row[c] is None for c in needed):
                    raise BadInput(f"{path}, line {reader.line_num}: fewer fields than columns")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadInput(f"{path}: {problem}") from None


def whole(path, line, text):
    match = re.fullmatch(r"-?\d+", text.strip())
    if match is None:
        raise BadInput(f"{path}, line {line}: '{text}' is no residue number")
    return int(text)


def read_segments(path):
    """By chain: list of (first, last, number of the segment, kind)."""
    out = defaultdict(list)
    for line, row in rows_of(path, ("path", "chain", "first", "last", "kind")):
        first, last = whole(path, line, row["first"]), whole(path, line, row["last"])
        if last < first:
            raise BadInput(f"{path}, line {line}: the segment ends at {last}, before it begins at {first}")
        pieces = out[f"{row['path']}:{row['chain']}"]
        if any(first <= b and a <= last for a, b, _, _ in pieces):
            raise BadInput(f"{path}, line {line}: residues {first} to {last} overlap another segment of the chain")
        pieces.append((first, last, len(pieces), row["kind"]))
    return dict(out)


def read_residues(path, part):
    """By (part, chain), in the order of the file: list of (residue number, cluster); residues with an insertion code count as their number."""
    out = {}
    for line, row in rows_of(path, ("id", "residue", "cluster")):
        if part is not None and row.get("part", part) != part:
            continue
        number = whole(path, line, re.sub(r"(?<=\d)[A-Za-z]$", "", row["residue"].strip()))
        out.setdefault((row.get("part", ""), row["id"]), []).append((number, row["cluster"]))
    if not out:
        raise BadInput(f"{path}: no residues" + (f" of part '{part}'" if part is not None else ""))
    return out


# ------------------------------------------------------------------------------------------------------------ agreement

def pairs(counts):
    return sum(n * (n - 1) // 2 for n in counts)


def adjusted_rand(a, b):
    """Of two labellings of the same items; 1 where both put all items together or all apart."""
    both, one, other, all_pairs = pairs(Counter(zip(a, b)).values()), pairs(Counter(a).values()), pairs(Counter(b).values()), pairs([len(a)])
    expected = one * other / all_pairs if all_pairs else 0.0
    most = 0.5 * (one + other)
    return 1.0 if most == expected else (both - expected) / (most - expected)


def contiguous(clusters, rng):
    """Labels of as many items, cut into pieces of the clusters' sizes in a random order."""
    sizes = list(Counter(clusters).values())
    rng.shuffle(sizes)
    return [number for number, size in enumerate(sizes) for _ in range(size)]


def labels(residues, pieces, kinds):
    """Clusters and segments of the residues that have both."""
    clusters, known = [], []
    for number, cluster in residues:
        piece = next((p for p in pieces if p[0] <= number <= p[1]), None)
        if cluster != "" and piece is not None:
            clusters.append(cluster)
            known.append(piece[3] if kinds else piece[2])
    return clusters, known


def mean_and_error(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def measure(chains, segments, kinds, draws, rng):
    """Numbers over chains that have at least two residues with cluster and segment."""
    index, baseline, residues, counted, clusters = [], [], 0, 0, 0
    for (_, name), items in chains.items():
        if name not in segments:
            raise BadInput(f"chain '{name}' has no segments; those that have: {', '.join(list(segments)[:3])}, ...")
        residues += len(items)
        ours, known = labels(items, segments[name], kinds)
        counted += len(ours)
        clusters += len(set(ours))
        if len(ours) < 2:
            continue
        index.append(adjusted_rand(ours, known))
        baseline.append(sum(adjusted_rand(contiguous(ours, rng), known) for _ in range(draws)) / draws)
    if not index:
        raise BadInput("no chain has two residues with a cluster and a segment")
    (mean, error), (random_mean, _), (gain, gain_error) = (mean_and_error(v) for v in (index, baseline, [a - b for a, b in zip(index, baseline)]))
    return dict(chains=len(index), without=len(chains) - len(index), residues=residues, coverage=counted / residues, clusters=clusters / len(chains),
                adjusted_rand=mean, error=error, contiguous=random_mean, gain=gain, gain_error=gain_error)


def report(part, r):
    name = f"{part}: " if part else ""
    left_out = f" ({r['without']} left out: fewer than two residues with a cluster and a segment)" if r["without"] else ""
    print(f"{name}{r['chains']} chains{left_out}, {r['residues']} residues, {100 * r['coverage']:.1f} % in clusters, {r['clusters']:.2f} clusters a chain")
    print(f"  adjusted Rand index {r['adjusted_rand']:.3f} +- {r['error']:.3f} (standard error over chains)")
    print(f"  contiguous pieces of the same sizes {r['contiguous']:.3f}; difference {r['gain']:+.3f} +- {r['gain_error']:.3f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("residues")
    p.add_argument("segments")
    p.add_argument("--kinds", action="store_true", help="groups are kinds of segments")
    p.add_argument("--part", help="only this part of the data set (train, val, test)")
    p.add_argument("--draws", type=int, default=200, help="random contiguous partitions a chain")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    if a.draws < 1:
        p.error("--draws must be at least 1")
    try:
        segments, chains = read_segments(a.segments), read_residues(a.residues, a.part)
        parts = {}
        for key, items in chains.items():
            parts.setdefault(key[0], {})[key] = items
        results = {part: measure(of_part, segments, a.kinds, a.draws, random.Random(a.seed)) for part, of_part in parts.items()}
    except BadInput as problem:
        print(f"partition_agreement: {problem}", file=sys.stderr)
        return 3
    if a.json:
        plain = {part: {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in r.items()} for part, r in results.items()}
        print(json.dumps(plain))
    else:
        for part, r in results.items():
            report(part, r)
    return 0


if __name__ == "__main__":
    sys.exit(main())
