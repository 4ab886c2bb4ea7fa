#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ComFormer (iComFormer and eComFormer): executable specification in plain PyTorch + NumPy.

    python comformer.py check
    python comformer.py fixture --case tiny|small|batch|edge|eval --model iComformer --seed 1 --out X.h5
    python comformer.py fixture --case graphs --seed 1 --out X.h5
    python comformer.py bench --what graph|step|load [--model iComformer] [--dataset perov_5] ...

Everything the specification (spec/comformer.md) says about graphs, layers, losses and schedules is here in a
form that runs.  Parameter names and shapes are those of the published checkpoints.  No PyG, no e3nn.
"""
import argparse
import csv
import gzip
import io
import json
import math
import os
import sys
import time

import numpy as np
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data", "crystals")
TIE = 1e-4          # Angstrom; two distances closer than this are "the same shell"
CLASH = 0.15        # Angstrom; closer pairs are not neighbours at all
COS_TIE = 1e-4      # a cosine in [-COS_TIE, COS_TIE] counts as a right angle


# --------------------------------------------------------------------------- structures: readers

SYMBOLS = ("H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y "
           "Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re "
           "Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr").split()
Z_OF = {s: i + 1 for i, s in enumerate(SYMBOLS)}


def lattice_from_parameters(a, b, c, alpha, beta, gamma):
    """Rows are the lattice vectors; c along z, a in the xz plane."""
    al, be, ga = (math.radians(t) for t in (alpha, beta, gamma))
    val = (math.cos(al) * math.cos(be) - math.cos(ga)) / (math.sin(al) * math.sin(be))
    gs = math.acos(max(-1.0, min(1.0, val)))
    return np.array([[a * math.sin(be), 0.0, a * math.cos(be)],
                     [-b * math.sin(al) * math.cos(gs), b * math.sin(al) * math.sin(gs), b * math.cos(al)],
                     [0.0, 0.0, c]])


def parse_cif_p1(text):
    """The P1 subset of CIF written by the public crystal benchmarks: cell, one atom loop, no symmetry."""
    cell, lines, k = {}, text.splitlines(), 0
    species, frac = [], []
    while k < len(lines):
        words = lines[k].split()
        if words and words[0].startswith("_cell_") and len(words) == 2:
            cell[words[0]] = float(words[1].split("(")[0]) if words[0] != "_cell_formula_units_Z" else 0.0
        if words == ["loop_"]:
            k += 1
            cols = []
            while k < len(lines) and lines[k].strip().startswith("_"):
                cols.append(lines[k].strip())
                k += 1
            rows = []
            while k < len(lines) and lines[k].strip() and not lines[k].strip().startswith(("_", "loop_", "data_", "#")):
                rows.append(lines[k].split())
                k += 1
            if "_atom_site_fract_x" in cols:
                pos = [cols.index("_atom_site_fract_" + t) for t in "xyz"]
                sym = cols.index("_atom_site_type_symbol")
                for r in rows:
                    species.append(r[sym])
                    frac.append([float(r[p].split("(")[0]) for p in pos])
            continue
        k += 1
    lat = lattice_from_parameters(*[cell["_cell_length_" + t] for t in "abc"],
                                  *[cell["_cell_angle_" + t] for t in ("alpha", "beta", "gamma")])
    return lat, np.array(frac).reshape(-1, 3), np.array([Z_OF[s] for s in species])


def parse_poscar(text):
    lines = text.splitlines()
    scale = float(lines[1].split()[0])
    lat = np.array([[float(t) for t in lines[2 + i].split()[:3]] for i in range(3)])
    scale = (-scale / abs(np.linalg.det(lat))) ** (1 / 3) if scale < 0 else scale
    lat = lat * scale
    names, counts = lines[5].split(), [int(t) for t in lines[6].split()]
    k = 7 + (lines[7].strip()[:1] in "sS")
    cartesian = lines[k].strip()[:1] in "cCkK"
    xyz = np.array([[float(t) for t in lines[k + 1 + i].split()[:3]] for i in range(sum(counts))])
    frac = (xyz * scale) @ np.linalg.inv(lat) if cartesian else xyz
    return lat, frac, np.array([Z_OF[s] for s, n in zip(names, counts) for _ in range(n)])


def load_csv(path, target, limit=None):
    """CSV with a 'cif' column (gzip or plain) -> list of (lattice, frac, Z, target)."""
    raw = gzip.open(path, "rt") if path.endswith(".gz") else open(path)
    out = []
    with raw as f:
        csv.field_size_limit(1 << 28)
        for row in csv.DictReader(f):
            out.append((*parse_cif_p1(row["cif"]), float(row[target])))
            if limit and len(out) == limit:
                break
    return out


TARGET = {"perov_5": "heat_all", "carbon_24": "energy_per_atom", "mp20_subset": "formation_energy_per_atom", "supercon": "prop"}


def load_dataset(name, split="val", limit=None, root=None):
    return load_csv(os.path.join(root or DATA, f"{name}_{split}.csv.gz"), TARGET[name], limit)


def load_atom_features(path=None):
    """[101, 92]; row 0 is zero, rows 1..100 are elements; heavier elements use row 100."""
    table = np.zeros((101, 92))
    with open(path or os.path.join(DATA, "cgcnn_atom_features.csv")) as f:
        for row in csv.reader(f):
            if row[0] != "Z":
                table[int(row[0])] = [float(t) for t in row[1:]]
    return table


# --------------------------------------------------------------------------- graph construction

def wrap(frac):
    frac = frac - np.floor(frac)
    return np.where(frac >= 1.0, 0.0, frac)


def image_grid(lat, radius, spread):
    """All integer images whose translates can come within `radius` of one another."""
    plane = 1.0 / np.linalg.norm(np.linalg.inv(lat), axis=0)      # distance between lattice planes
    n = np.ceil(radius / plane + spread).astype(int)
    axes = [np.arange(-k, k + 1) for k in n]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def group_by_tolerance(d, tol=TIE):
    """Labels of shells: walking up the sorted distances, a new shell opens at > tol above its first member."""
    order = np.argsort(d, kind="stable")
    label = np.empty(len(d), dtype=int)
    first, g = -np.inf, -1
    for k in order:
        if d[k] - first > tol:
            first, g = d[k], g + 1
        label[k] = g
    return label


def reduced_lattice(lat, tie=TIE):
    """The three lattice vectors that describe the crystal: integer images [3,3] (rows) of l1, l2, l3."""
    radius = np.linalg.norm(lat, axis=1).max() + 1e-2
    img = image_grid(lat, radius, 0.0)
    length = np.linalg.norm(img @ lat, axis=1)
    keep = (length <= radius + tie) & (length > CLASH)
    img, length = img[keep], length[keep]
    order = np.lexsort((img[:, 2], img[:, 1], img[:, 0], group_by_tolerance(length, tie)))
    img = img[order]
    l1 = img[0]
    l2 = next(v for v in img if np.any(np.cross(l1, v) != 0))
    l3 = next(v for v in img if np.dot(np.cross(l1, l2), v) != 0)

    def cosine(p, q):
        p, q = p @ lat, q @ lat
        return p @ q / np.linalg.norm(p) / np.linalg.norm(q)

    if cosine(l1, l2) < -COS_TIE:
        l2 = -l2
    if cosine(l1, l3) < -COS_TIE:
        l3 = -l3
    tri = np.stack([l1, l2, l3])
    return -tri if np.linalg.det(tri @ lat) < 0 else tri


def neighbour_sets(lat, frac, k, cutoff, tie=TIE, radius_guess=None):
    """Per atom i the set N_i of (j, n1, n2, n3): its k nearest periodic neighbours and every tie of the k-th."""
    span = frac.max(0) - frac.min(0)
    longest = np.linalg.norm(lat, axis=1).max()
    r = cutoff if radius_guess is None else radius_guess
    while True:
        img = image_grid(lat, r + 2 * tie, span)
        delta = (img[:, None, None, :] + frac[None, None, :, :] - frac[None, :, None, :]) @ lat   # [image, i, j]
        dist = np.linalg.norm(delta, axis=-1)
        ok = dist > CLASH
        if ((dist <= r + tie) & ok).sum((0, 2)).min() >= k:
            break
        r = longest if r < longest else 2 * r
    sets = []
    for i in range(len(frac)):
        di = np.where(ok[:, i], dist[:, i], np.inf)
        kth = np.partition(di.ravel(), k - 1)[k - 1]
        g, j = np.nonzero(di <= kth + tie)
        sets.append({(int(b), *map(int, img[a])) for a, b in zip(g, j)})
    return sets


def build_graph(lat, frac, k=25, cutoff=6.0, use_lattice=True, tie=TIE):
    """Unique directed edges (u, v, image) sorted by (v, u, image), each with its multiplicity 1 or 2.

    Edge u->v means r = x_v + image . L - x_u, with wrapped coordinates x.
    """
    frac = wrap(np.asarray(frac, float))
    lat = np.asarray(lat, float)
    sets = neighbour_sets(lat, frac, k, cutoff, tie)
    tri = reduced_lattice(lat, tie)
    if use_lattice:
        for i, s in enumerate(sets):
            s.update((i, *map(int, t)) for t in tri)
    mult = {}
    for i, s in enumerate(sets):
        for (j, a, b, c) in s:
            for key in ((j, i, a, b, c), (i, j, -a, -b, -c)):       # (v, u, image): both directions
                mult[key] = mult.get(key, 0) + 1
    keys = sorted(mult)
    arr = np.array(keys, dtype=int).reshape(-1, 5)
    v, u, img = arr[:, 0], arr[:, 1], arr[:, 2:]
    vec = (img + frac[v] - frac[u]) @ lat
    return dict(u=u, v=v, image=img, vec=vec, mult=np.array([mult[t] for t in keys]), lattice_images=tri,
                lattice_vectors=tri @ lat, n_nodes=len(frac))


def collate(graphs, zs, labels, table, dtype=torch.float64, duplicate=True):
    """Concatenate graphs.  duplicate=True repeats every edge of multiplicity 2; otherwise `weight` carries it."""
    off = np.cumsum([0] + [g["n_nodes"] for g in graphs])
    rep = [np.repeat(np.arange(len(g["u"])), g["mult"]) if duplicate else np.arange(len(g["u"])) for g in graphs]
    cat = np.concatenate
    edge_graph = cat([np.full(len(r), b) for b, r in enumerate(rep)])
    f = lambda a: torch.tensor(np.asarray(a), dtype=dtype)
    return dict(
        x=f(table[np.minimum(cat(zs), 100)]),
        edge_index=torch.tensor(np.stack([cat([g["u"][r] + o for g, r, o in zip(graphs, rep, off)]),
                                          cat([g["v"][r] + o for g, r, o in zip(graphs, rep, off)])])),
        edge_vec=f(cat([g["vec"][r] for g, r in zip(graphs, rep)])),
        weight=None if duplicate else f(cat([g["mult"] for g in graphs])),
        edge_graph=torch.tensor(edge_graph),
        lattice=f(np.stack([g["lattice_vectors"] for g in graphs])),
        batch=torch.tensor(np.repeat(np.arange(len(graphs)), np.diff(off))),
        y=f(labels),
    )


# --------------------------------------------------------------------------- layers

def segment_sum(src, index, n):
    return torch.zeros(n, *src.shape[1:], dtype=src.dtype).index_add_(0, index, src)


def weighted_batch_norm(bn, x, w):
    """BatchNorm1d whose rows count w times (w=None: once each)."""
    if w is None or not bn.training:
        return bn(x)
    total = w.sum()
    mean = (w[:, None] * x).sum(0) / total
    var = (w[:, None] * (x - mean) ** 2).sum(0) / total
    with torch.no_grad():
        bn.running_mean += bn.momentum * (mean - bn.running_mean)
        bn.running_var += bn.momentum * (var * total / (total - 1) - bn.running_var)
        bn.num_batches_tracked += 1
    return (x - mean) / torch.sqrt(var + bn.eps) * bn.weight + bn.bias


class RBF(nn.Module):
    def __init__(self, lo, hi, bins):
        super().__init__()
        self.register_buffer("centers", torch.linspace(lo, hi, bins, dtype=torch.float64).to(torch.get_default_dtype()))
        self.gamma = (bins - 1) / (hi - lo)

    def forward(self, s):
        return torch.exp(-self.gamma * (s[..., None] - self.centers) ** 2)


def radial(lo, hi, bins, width):
    return nn.Sequential(RBF(lo, hi, bins), nn.Linear(bins, width), nn.Softplus())


def mlp(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), nn.SiLU(), nn.Linear(n_out, n_out))


class NodeLayer(nn.Module):
    """Gated message passing u -> v with a BatchNorm-sigmoid gate in place of a softmax."""

    def __init__(self, c, heads=1):
        super().__init__()
        self.c, self.heads = c, heads
        self.lin_key, self.lin_query, self.lin_value, self.lin_edge = (nn.Linear(c, heads * c) for _ in range(4))
        self.lin_concate = nn.Linear(heads * c, c)
        self.lin_msg_update, self.key_update = mlp(3 * c, c), mlp(3 * c, c)
        self.bn, self.bn_att = nn.BatchNorm1d(c), nn.BatchNorm1d(c)

    def forward(self, x, b, e, tap):
        u, v = b["edge_index"]
        split = lambda t: t.view(-1, self.heads, self.c)
        q, k, val, ee = split(self.lin_query(x)), split(self.lin_key(x)), split(self.lin_value(x)), split(self.lin_edge(e))
        key = self.key_update(torch.cat([k[v], k[u], ee], -1))
        msg = self.lin_msg_update(torch.cat([val[v], val[u], ee], -1))
        att = q[v] * key / math.sqrt(self.c)
        w = b["weight"]
        rows = None if w is None else w.repeat_interleave(self.heads)
        gate = torch.sigmoid(split(weighted_batch_norm(self.bn_att, att.reshape(-1, self.c), rows)))
        m = (msg * gate).flatten(1)
        agg = segment_sum(m if w is None else m * w[:, None], v, len(x))
        tap("key", key), tap("msg", msg), tap("att", att), tap("gate", gate), tap("agg", agg)
        return nn.functional.softplus(x + self.bn(self.lin_concate(agg)))


class EdgeLayer(nn.Module):
    """Updates an edge feature from its three (lattice vector, angle) companions."""

    def __init__(self, c, heads=1):
        super().__init__()
        self.c, self.heads = c, heads
        hc = heads * c
        self.lemb = nn.Embedding(3, 32)                                   # in checkpoints, unused
        self.lin_key, self.lin_query, self.lin_value = (nn.Linear(c, hc) for _ in range(3))
        for s in (1, 2, 3):
            setattr(self, f"lin_key_e{s}", nn.Linear(c, hc))
            setattr(self, f"lin_value_e{s}", nn.Linear(c, hc))
        self.lin_edge = nn.Linear(c, hc, bias=False)
        self.lin_edge_len = nn.Linear(c + 32, c)                          # in checkpoints, unused
        self.lin_concate = nn.Linear(hc, c)
        self.lin_msg_update, self.key_update = mlp(3 * c, c), mlp(3 * c, c)
        self.bn_att, self.bn = nn.BatchNorm1d(c), nn.BatchNorm1d(c)

    def forward(self, e, b, lat_feat, ang_feat, tap):
        """lat_feat [G,3,C] per crystal; ang_feat [E,3,C]."""
        split = lambda t: t.view(*t.shape[:-1], self.heads, self.c)
        slot = lambda kind: torch.stack([split(getattr(self, f"lin_{kind}_e{s + 1}")(lat_feat[:, s])) for s in range(3)], 1)
        wide = lambda t: split(t)[:, None].expand(-1, 3, -1, -1)
        g = b["edge_graph"]
        xy = split(self.lin_edge(ang_feat))
        key = self.key_update(torch.cat([wide(self.lin_key(e)), slot("key")[g], xy], -1))
        msg = self.lin_msg_update(torch.cat([wide(self.lin_value(e)), slot("value")[g], xy], -1))
        att = wide(self.lin_query(e)) * key / math.sqrt(self.c)
        w = b["weight"]
        rows = None if w is None else w.repeat_interleave(3 * self.heads)
        gate = torch.sigmoid(weighted_batch_norm(self.bn_att, att.reshape(-1, self.c), rows).view(att.shape))
        out = self.lin_concate((msg * gate).flatten(2)).sum(1)            # bias enters three times
        tap("key", key), tap("msg", msg), tap("att", att), tap("gate", gate), tap("sum", out)
        return nn.functional.softplus(e + weighted_batch_norm(self.bn, out, w))


def spherical_harmonics(r):
    """Y0 (1), Y1 (3) and Y2 (5) of the direction of r; |Y_l|^2 = 2l+1.  Order of components is fixed."""
    x, y, z = (r / r.norm(dim=-1, keepdim=True)).unbind(-1)
    s3, s5, s15 = math.sqrt(3), math.sqrt(5), math.sqrt(15)
    y1 = s3 * torch.stack([x, y, z], -1)
    y2 = torch.stack([s15 * x * z, s15 * x * y, s5 * (y * y - 0.5 * (x * x + z * z)), s15 * y * z,
                      0.5 * s15 * (z * z - x * x)], -1)
    return y1, y2


class TensorProductWeights(nn.Module):
    """Holds the per-edge weight network; `fc.2` rows are the three paths, flattened [in channel][out channel]."""

    def __init__(self, c, n_weights):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(c, c), nn.Softplus(), nn.Linear(c, n_weights))


class EquiLayer(nn.Module):
    """Node update through l=0,1,2 features (64 scalars, 8 vectors, 8 rank-2) and back to scalars."""

    def __init__(self, c, ns=64, nv=8):
        super().__init__()
        self.ns, self.nv = ns, nv
        n = ns * ns + 2 * ns * nv
        self.node_linear, self.skip_linear = nn.Linear(c, ns), nn.Linear(c, c)
        self.nlayer_1, self.nlayer_2 = TensorProductWeights(c, n), TensorProductWeights(c, n)
        self.bn, self.node_linear_2 = nn.BatchNorm1d(ns), nn.Linear(ns, c)

    def forward(self, x, b, e, tap):
        ns, nv, n = self.ns, self.nv, len(x)
        u, v = b["edge_index"]                          # gathered from v, averaged over the edges leaving u
        y1, y2 = spherical_harmonics(b["edge_vec"])
        w = torch.ones(len(u), dtype=x.dtype) if b["weight"] is None else b["weight"]
        count = segment_sum(w, u, n).clamp(min=1)
        mean = lambda t: segment_sum(t * w.view(-1, *[1] * (t.dim() - 1)), u, n) / count.view(-1, *[1] * (t.dim() - 1))
        cut = lambda t, a, o: (t[:, : a * o].view(-1, a, o), t[:, a * o:])

        s = self.node_linear(x)                         # [N, ns]
        t = self.nlayer_1.fc(e)
        w0, t = cut(t, ns, ns)
        w1, t = cut(t, ns, nv)
        w2, t = cut(t, ns, nv)
        coef = 1 / math.sqrt(ns)
        sv = s[v]
        f0 = mean(coef * torch.einsum("eu,euw->ew", sv, w0)) + s
        f1 = mean(coef * torch.einsum("eu,euw->ew", sv, w1)[:, :, None] * y1[:, None, :])    # [N, nv, 3]
        f2 = mean(coef * torch.einsum("eu,euw->ew", sv, w2)[:, :, None] * y2[:, None, :])    # [N, nv, 5]

        t = self.nlayer_2.fc(e)
        w0, t = cut(t, ns, ns)
        w1, t = cut(t, nv, ns)
        w2, t = cut(t, nv, ns)
        coef = 1 / math.sqrt(ns + 2 * nv)
        d1 = torch.einsum("eum,em->eu", f1[v], y1) / math.sqrt(3)
        d2 = torch.einsum("eum,em->eu", f2[v], y2) / math.sqrt(5)
        out = mean(coef * (torch.einsum("eu,euw->ew", f0[v], w0) + torch.einsum("eu,euw->ew", d1, w1)
                           + torch.einsum("eu,euw->ew", d2, w2)))
        tap("f0", f0), tap("f1", f1), tap("f2", f2), tap("s2", out)
        sp = nn.functional.softplus
        return sp(self.node_linear_2(sp(self.bn(out)))) + self.skip_linear(x)


# --------------------------------------------------------------------------- models

DEFAULTS = dict(atom_input_features=92, node_features=256, edge_features=256, triplet_input_features=256,
                fc_features=256, output_features=1, node_layer_head=1, edge_layer_head=1)


class ComFormer(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        o = {**DEFAULTS, **options}
        c = o["node_features"]
        self.kind, self.config = kind, o
        self.atom_embedding = nn.Linear(o["atom_input_features"], c)
        self.rbf = radial(-4.0, 0.0, o["edge_features"], c)
        n_layers = 4 if kind == "iComformer" else 3
        if kind == "iComformer":
            self.rbf_angle = radial(-1.0, 1.0, o["triplet_input_features"], c)
        self.att_layers = nn.ModuleList(NodeLayer(c, o["node_layer_head"]) for _ in range(n_layers))
        if kind == "iComformer":
            self.edge_update_layer = EdgeLayer(c, o["node_layer_head"])
        else:
            self.equi_update = EquiLayer(c)
        self.fc = nn.Sequential(nn.Linear(c, o["fc_features"]), nn.SiLU())
        self.fc_out = nn.Linear(o["fc_features"], o["output_features"])

    def forward(self, b, record=None):
        def tap(prefix):
            return lambda name, t: None if record is None else record.__setitem__(f"{prefix}/{name}", t)

        top = tap("top")
        r = b["edge_vec"]
        x = self.atom_embedding(b["x"])
        e = self.rbf(-0.75 / r.norm(dim=1))
        top("x_embed", x), top("e_dist", e)
        if self.kind == "iComformer":
            lat = b["lattice"]
            lat_feat = self.rbf(-0.75 / lat.norm(dim=-1))                             # [G,3,C]
            nei = lat[b["edge_graph"]]
            cosine = ((nei * r[:, None]).sum(-1) / nei.norm(dim=-1) / r.norm(dim=-1)[:, None]).clamp(-1, 1)
            ang_feat = self.rbf_angle(cosine)                                         # [E,3,C]
            top("lat_feat", lat_feat), top("cosine", cosine), top("ang_feat", ang_feat)
        x = self.att_layers[0](x, b, e, tap("att0"))
        top("x0", x)
        if self.kind == "iComformer":
            e = self.edge_update_layer(e, b, lat_feat, ang_feat, tap("edge"))
            top("e_updated", e)
        else:
            x = self.equi_update(x, b, e, tap("equi"))
            top("x_equi", x)
        for k in range(1, len(self.att_layers)):
            x = self.att_layers[k](x, b, e, tap(f"att{k}"))
            top(f"x{k}", x)
        g = int(b["batch"].max()) + 1
        pooled = segment_sum(x, b["batch"], g) / torch.bincount(b["batch"], minlength=g)[:, None]
        out = self.fc_out(self.fc(pooled))
        top("pooled", pooled), top("out", out)
        return out.squeeze(-1)


def loss_fn(pred, y, criterion="mse"):
    return (pred - y).abs().mean() if criterion == "l1" else ((pred - y) ** 2).mean()


def make_optimiser(model, lr=1e-3, weight_decay=1e-5, total_steps=100):
    decay = [p for n, p in model.named_parameters() if not any(t in n for t in ("bias", "bn", "norm"))]
    plain = [p for n, p in model.named_parameters() if any(t in n for t in ("bias", "bn", "norm"))]
    opt = torch.optim.AdamW([{"params": decay}, {"params": plain, "weight_decay": 0.0}], lr=lr, weight_decay=weight_decay)
    return opt, torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=lr, total_steps=total_steps, pct_start=0.3)


def split_indices(n, train=0.8, val=0.1, seed=123):
    import random
    ids = list(range(n))
    random.Random(seed).shuffle(ids)
    a, b = int(train * n), int(val * n)
    return ids[:a], ids[a:a + b], ids[a + b:]


# --------------------------------------------------------------------------- reproducible parameter values

M64 = (1 << 64) - 1


def splitmix_uniform(name, seed, n):
    """n numbers in [0,1): counter-based SplitMix64, keyed by FNV-1a(name) xor seed * golden ratio."""
    h = 0xCBF29CE484222325
    for ch in name.encode():
        h = ((h ^ ch) * 0x100000001B3) & M64
    key = (h ^ (seed * 0x9E3779B97F4A7C15)) & M64
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 9007199254740992.0


def synthetic_value(name, shape, seed):
    n = int(np.prod(shape)) if shape else 1
    c = 2.0 * splitmix_uniform(name, seed, n) - 1.0
    if name.endswith("running_var"):
        a = 1.0 + 0.4 * c
    elif name.endswith("running_mean"):
        a = 0.2 * c
    elif ".bn" in name and name.endswith("weight"):
        a = 1.0 + 0.3 * c
    elif name.endswith("bias"):
        a = 0.2 * c
    else:                                                  # matrices: variance 1 / fan_in
        a = math.sqrt(3.0 / shape[-1]) * c
    return a.reshape(shape)


def fill_parameters(model, seed):
    sd = model.state_dict()
    for k, t in sd.items():
        if t.is_floating_point() and not k.endswith("centers"):
            t.copy_(torch.tensor(synthetic_value(k, tuple(t.shape), seed), dtype=t.dtype))
    model.load_state_dict(sd)


# --------------------------------------------------------------------------- fixtures

TINY = dict(node_features=16, edge_features=16, triplet_input_features=16, fc_features=16)


def hand_structures():
    """name -> (lattice, frac, Z, k, cutoff, use_lattice): shapes that break careless graph builders."""
    d, hexa = np.diag, lattice_from_parameters(3.2, 3.2, 5.1, 90, 90, 120)
    tri = lattice_from_parameters(3.1, 4.2, 5.7, 75, 101, 83)
    obtuse = lattice_from_parameters(3.6, 3.9, 4.4, 112, 118, 107)
    half = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    return {
        "cubic_one_atom": (d([3.0] * 3), np.zeros((1, 3)), [26], 12, 8.0, True),
        "cubic_one_atom_offset": (d([3.0] * 3), np.array([[0.37, 0.21, 0.83]]), [26], 12, 8.0, True),
        "cubic_no_lattice": (d([3.0] * 3), np.zeros((1, 3)), [26], 12, 8.0, False),
        "needle_one_atom": (d([2.5, 3.0, 30.0]), np.array([[0.1, 0.2, 0.3]]), [14], 25, 4.0, True),
        "cscl_tiny_cutoff": (d([4.1] * 3), half, [55, 17], 12, 1.0, True),
        "cscl_25": (d([4.1] * 3), half, [55, 17], 25, 6.0, True),
        "fcc_primitive": (np.array([[0, 2.02, 2.02], [2.02, 0, 2.02], [2.02, 2.02, 0]]), np.zeros((1, 3)), [13], 25, 6.0, True),
        "hexagonal": (hexa, np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]), [22, 22], 25, 6.0, True),
        "triclinic": (tri, np.array([[0.11, 0.52, 0.93], [0.64, 0.07, 0.35], [0.81, 0.77, 0.12]]), [8, 14, 8], 12, 8.0, True),
        "obtuse_unwrapped": (obtuse, np.array([[-0.31, 1.42, 2.07], [0.64, -1.93, 0.35]]), [20, 8], 25, 6.0, True),
        "left_handed": (tri[[1, 0, 2]], np.array([[0.52, 0.11, 0.93], [0.07, 0.64, 0.35]]), [8, 14], 12, 8.0, True),
        "slab_vacuum": (d([2.9, 2.9, 18.0]), np.array([[0, 0, 0.5], [0.5, 0.5, 0.58]]), [29, 29], 12, 4.0, True),
        "clashing_pair": (d([4.0] * 3), np.array([[0.0, 0, 0], [0.02, 0, 0], [0.5, 0.5, 0.5]]), [1, 1, 3], 12, 6.0, True),
        "large_cell_one_atom": (d([12.0, 13.0, 14.0]), np.array([[0.5] * 3]), [2], 12, 4.0, True),
    }


def write_tree(f, tree):
    for k, a in tree.items():
        a = a.detach().numpy() if torch.is_tensor(a) else np.asarray(a)
        if a.dtype.kind == "i":
            a = a.astype(np.int32)
        f.create_dataset(k, data=a, **({"compression": "gzip", "compression_opts": 9, "shuffle": True} if a.size > 200 else {}))


def fingerprint(name, t):
    """Short record of a big tensor: L2 norm, sum, dot with a fixed pseudo-random vector, first 16 entries."""
    a = t.detach().numpy().ravel()
    probe = 2.0 * splitmix_uniform("probe:" + name, 0, a.size) - 1.0
    return np.concatenate([[np.linalg.norm(a), a.sum(), a @ probe], a[:16]])


def pick(name, indices, root=None):
    rows = load_dataset(name, root=root)
    return [rows[i] for i in indices]


def case_structures(case, seed, root=None, split="val"):
    """-> list of (lattice, frac, Z), labels, k, options"""
    rng = np.random.default_rng(seed)
    if case == "tiny":
        h = hand_structures()
        names = ["cscl_tiny_cutoff", "triclinic", "cubic_one_atom_offset"]
        return [h[n][:3] for n in names], rng.normal(size=3), 4, TINY
    if case == "edge":
        h = hand_structures()
        names = ["cubic_one_atom", "needle_one_atom", "clashing_pair", "large_cell_one_atom"]
        return [h[n][:3] for n in names], rng.normal(size=4), 1, TINY
    rows = []
    counts = {"perov_5": 3, "carbon_24": 3} if case in ("small", "eval", "heads") else {"perov_5": 8, "carbon_24": 8}
    for ds, n in counts.items():
        all_rows = load_dataset(ds, split, root=root)
        rows += [all_rows[i] for i in rng.choice(len(all_rows), n, replace=False)]
    labels = rng.normal(size=len(rows))
    opt = {} if case == "batch" else dict(node_features=32, edge_features=40, triplet_input_features=36, fc_features=24)
    if case == "heads":
        opt["node_layer_head"] = 2
    return [r[:3] for r in rows], labels, 12, opt


def make_fixture(args):
    import h5py
    torch.set_default_dtype(torch.float64)
    if args.case == "graphs":
        return make_graph_fixture(args)
    if args.case == "misc":
        return make_misc_fixture(args)
    structs, labels, k, opt = case_structures(args.case, args.seed, args.root, args.split)
    table = load_atom_features()
    graphs = [build_graph(s[0], s[1], k=k, cutoff=6.0, use_lattice=True) for s in structs]
    batch = collate(graphs, [np.asarray(s[2]) for s in structs], labels, table)
    model = ComFormer(args.model, **opt)
    fill_parameters(model, args.seed)
    full = args.case == "batch"
    names = dict(model.named_parameters())
    evaluate = args.case == "eval"
    if evaluate:                                    # sensible running statistics: those of this batch
        for mod in model.modules():
            if isinstance(mod, nn.BatchNorm1d):
                mod.momentum = 1.0
        model(batch)
    initial = {n: t.clone() for n, t in model.state_dict().items()}
    model.train(not evaluate)
    record = {}
    pred = model(batch, record)
    loss = loss_fn(pred, batch["y"])
    loss.backward()
    tree = {"loss": loss, "outputs/prediction": pred}
    for i, s in enumerate(structs):
        tree[f"inputs/structures/{i}/lattice"], tree[f"inputs/structures/{i}/frac"] = s[0], s[1]
        tree[f"inputs/structures/{i}/Z"] = np.asarray(s[2])
    for key in ("x", "edge_index", "edge_vec", "edge_graph", "lattice", "batch", "y"):
        tree["inputs/" + key] = batch[key]
    for n, t in initial.items():
        if args.case == "tiny" or (evaluate and "running" in n):
            tree["params/" + n] = t
    for n, p in names.items():
        g = torch.zeros_like(p) if p.grad is None else p.grad
        if full or (g.numel() > 20000 and args.case != "tiny"):
            tree["grads_fingerprint/" + n] = fingerprint(n, g)
        else:
            tree["grads/" + n] = g
    after = {n: t.clone() for n, t in model.state_dict().items()}
    for n in after:
        if "running" in n:
            tree["buffers_after/" + n] = after[n]
    for n, t in record.items():
        if args.case == "tiny" or (n.startswith("top/") and t.numel() < 12000):
            tree["outputs/" + n] = t
    if args.case in ("tiny", "small") and not evaluate:
        model.load_state_dict(initial)
        model.zero_grad()
        opt_, sched = make_optimiser(model, lr=1e-3, weight_decay=1e-2, total_steps=10)
        losses, lrs, betas = [], [], []
        for _ in range(10):
            opt_.zero_grad()
            value = loss_fn(model(batch), batch["y"])
            value.backward()
            lrs.append(opt_.param_groups[0]["lr"]), betas.append(opt_.param_groups[0]["betas"][0])
            opt_.step(), sched.step()
            losses.append(value.item())
        tree["trajectory/loss"], tree["trajectory/lr"], tree["trajectory/beta1"] = losses, lrs, betas
        for n, p in model.named_parameters():
            tree["trajectory/final_norm/" + n] = p.norm()
    with h5py.File(args.out, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="comformer", kind="model")
        write_tree(f, tree)
        cfg = f.create_group("config")
        cfg.attrs.update(model=args.model, case=args.case, seed=args.seed, k=k, cutoff=6.0, use_lattice=True,
                         train_mode=not evaluate, criterion="mse", weight_decay=1e-2, max_lr=1e-3, total_steps=10,
                         n_parameters=sum(p.numel() for p in model.parameters()), params_from_generator=True,
                         **model.config)
    print(args.out, os.path.getsize(args.out), "loss", loss.item(), "edges", batch["edge_vec"].shape[0])


def make_misc_fixture(args):
    """Data splits, learning-rate schedules, parameter generator samples."""
    import h5py
    tree = {}
    for n, seed in ((10, 123), (57, 123), (1000, 123), (1000, 7), (3787, 123), (2032, 0)):
        for part, ids in zip(("train", "val", "test"), split_indices(n, seed=seed)):
            tree[f"splits/n{n}_seed{seed}/{part}"] = np.array(ids)
    for steps in (7, 100, 1003):
        opt, sched = make_optimiser(nn.Linear(1, 1), lr=1e-3, total_steps=steps)
        lr, beta = [], []
        for _ in range(steps):
            lr.append(opt.param_groups[0]["lr"]), beta.append(opt.param_groups[0]["betas"][0])
            opt.step(), sched.step()
        tree[f"onecycle/steps{steps}/lr"], tree[f"onecycle/steps{steps}/beta1"] = lr, beta
    for name, shape in (("fc.0.weight", (4, 9)), ("fc.0.bias", (5,)), ("att_layers.0.bn.weight", (6,)),
                        ("att_layers.0.bn_att.running_var", (6,)), ("edge_update_layer.bn.running_mean", (6,))):
        tree[f"generator/seed7/{name}"] = synthetic_value(name, shape, 7)
    with h5py.File(args.out, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="comformer", kind="other")
        write_tree(f, tree)
    print(args.out, os.path.getsize(args.out))


def make_graph_fixture(args):
    import h5py
    rng = np.random.default_rng(args.seed)
    cases = {n: (*h[:2], np.asarray(h[2]), *h[3:]) for n, h in hand_structures().items()} if not args.split == "test" else {}
    for ds in ("perov_5", "carbon_24", "mp20_subset", "supercon"):
        rows = load_dataset(ds, args.split, root=args.root)
        for i in rng.choice(len(rows), 12, replace=False):
            cases[f"{ds}_{args.split}_{i}"] = (*rows[i][:3], int(rng.choice([12, 25])), float(rng.choice([4.0, 6.0, 8.0])), True)
    folder = os.path.join(DATA, "jarvis_sample")
    for n in sorted(os.listdir(folder)) if os.path.isdir(folder) and args.split != "test" else []:
        if n.startswith("POSCAR"):
            s = parse_poscar(open(os.path.join(folder, n)).read())
            if len(s[2]) <= 24:
                cases[n.split(".")[0]] = (*s, 12, 8.0, True)
    with h5py.File(args.out, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="comformer", kind="graphs")
        for n, (lat, frac, z, k, cutoff, use_lattice) in cases.items():
            g = build_graph(lat, frac, k, cutoff, use_lattice)
            grp = f.create_group(n)
            grp.attrs.update(k=k, cutoff=cutoff, use_lattice=use_lattice)
            write_tree(grp, {"inputs/lattice": lat, "inputs/frac": frac, "inputs/Z": z, **{"expected/" + a: g[a] for a in (
                "u", "v", "image", "vec", "mult", "lattice_images", "lattice_vectors")}})
    print(args.out, os.path.getsize(args.out), len(cases), "structures")


# --------------------------------------------------------------------------- self-test

def rel(a, b):
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-300)).item()


def check(_args):
    torch.set_default_dtype(torch.float64)
    table = load_atom_features() if os.path.exists(os.path.join(DATA, "cgcnn_atom_features.csv")) else np.random.rand(101, 92)
    h = hand_structures()
    for kind, count in (("iComformer", 4966497), ("eComformer", 5583809)):
        n = sum(p.numel() for p in ComFormer(kind).parameters())
        print(kind, "parameters", n)
        assert n == count, (n, count)
    # the cutoff never changes the graph, only the work
    for n, s in h.items():
        g = [build_graph(s[0], s[1], s[3], c, s[5]) for c in (1.0, 4.0, 8.0)]
        assert all(np.array_equal(g[0]["image"], t["image"]) and np.array_equal(g[0]["mult"], t["mult"]) for t in g), n
        # symmetric multigraph
        e = {(a, b, *i): m for a, b, i, m in zip(g[0]["u"], g[0]["v"], map(tuple, g[0]["image"]), g[0]["mult"])}
        assert all(e[(b, a, -i, -j, -k)] == m for (a, b, i, j, k), m in e.items()), n
    print("graphs: cutoff-independent and symmetric")
    structs = [h["triclinic"], h["cscl_25"], h["obtuse_unwrapped"]]
    labels = np.array([0.3, -1.2, 0.7])

    def run(model, move, duplicate=True, k=12):
        gs, zs = [], []
        for s in structs:
            lat, frac, z = move(np.array(s[0]), np.array(s[1]), np.array(s[2]))
            gs.append(build_graph(lat, frac, k, 6.0, True)), zs.append(z)
        b = collate(gs, zs, labels, table, duplicate=duplicate)
        model.zero_grad()
        out = model(b)
        loss = loss_fn(out, b["y"])
        loss.backward()
        return out.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}, b

    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    q *= np.linalg.det(q)
    for kind in ("iComformer", "eComformer"):
        model = ComFormer(kind, **TINY)
        fill_parameters(model, 5)
        model.eval()
        o, _, _ = run(model, lambda l, f, z: (l, f, z))
        rot, _, _ = run(model, lambda l, f, z: (l @ q, f, z))
        per, _, _ = run(model, lambda l, f, z: (l, f[::-1] + 0.123, z[::-1]))
        model.train()
        o1, g1, _ = run(model, lambda l, f, z: (l, f, z))
        o2, g2, b = run(model, lambda l, f, z: (l, f, z), duplicate=False)
        worst = max(rel(g2[n], g1[n]) for n in g1 if g1[n].abs().max() > 1e-9)
        print(f"{kind}: rotation {rel(rot, o):.1e}  permutation+shift {rel(per, o):.1e}  "
              f"unique weighted edges: output {rel(o2, o1):.1e} gradients {worst:.1e}")
        assert max(rel(rot, o), rel(per, o), rel(o2, o1), worst) < 1e-8
        # finite differences
        name, p = [t for t in model.named_parameters() if t[0].endswith("key_update.0.weight")][0]
        with torch.no_grad():
            def f():
                return loss_fn(model(b), b["y"]).item()
            p[1, 2] += 1e-5
            hi = f()
            p[1, 2] -= 2e-5
            lo = f()
            p[1, 2] += 1e-5
        fd = (hi - lo) / 2e-5
        print(f"   finite difference {name}[1,2]: {fd:.9e} vs {g2[name][1, 2].item():.9e}")
        assert abs(fd - g2[name][1, 2].item()) < 1e-6 * max(1, abs(fd))
    assert splitmix_uniform("x", 1, 3).shape == (3,)
    print("splitmix('fc.0.weight', seed 7)[:3] =", splitmix_uniform("fc.0.weight", 7, 3).tolist())
    print("split_indices(10, seed 123):", split_indices(10))
    print("OK")


# --------------------------------------------------------------------------- bench

def bench(args):
    torch.set_num_threads(args.threads)
    torch.set_default_dtype(torch.float32)
    rows = load_dataset(args.dataset, args.split, args.limit, args.root)
    out = dict(what=args.what, dataset=args.dataset, threads=args.threads, k=args.k, cutoff=args.cutoff)
    if args.what == "load":
        t = time.perf_counter()
        rows = load_dataset(args.dataset, args.split, args.limit, args.root)
        dt = time.perf_counter() - t
        out.update(structures=len(rows), seconds=dt, structures_per_s=len(rows) / dt)
    elif args.what == "graph":
        t = time.perf_counter()
        gs = [build_graph(r[0], r[1], args.k, args.cutoff, True) for r in rows]
        dt = time.perf_counter() - t
        out.update(structures=len(gs), atoms=int(sum(g["n_nodes"] for g in gs)), seconds=dt, structures_per_s=len(gs) / dt,
                   unique_edges=int(sum(len(g["u"]) for g in gs)), edges=int(sum(g["mult"].sum() for g in gs)))
    else:
        rows = rows[:args.batch]
        gs = [build_graph(r[0], r[1], args.k, args.cutoff, True) for r in rows]
        b = collate(gs, [r[2] for r in rows], [r[3] for r in rows], load_atom_features(), torch.float32, not args.unique)
        b["y"] = (b["y"] - b["y"].mean()) / b["y"].std(correction=0)
        torch.manual_seed(0)
        model = ComFormer(args.model)
        opt, sched = make_optimiser(model, total_steps=1000)
        times, losses = [], []
        for _ in range(args.warmup + args.repeat):
            t = time.perf_counter()
            opt.zero_grad()
            loss = loss_fn(model(b), b["y"])
            t1 = time.perf_counter()
            loss.backward()
            t2 = time.perf_counter()
            opt.step(), sched.step()
            times.append((time.perf_counter() - t, t1 - t, t2 - t1)), losses.append(loss.item())
        m = np.median(times[args.warmup:], axis=0)
        out.update(model=args.model, batch=args.batch, unique=args.unique, nodes=len(b["x"]), edges=len(b["edge_vec"]),
                   median_seconds=m[0], forward_seconds=m[1], backward_seconds=m[2], losses=losses[:3])
    print(json.dumps(out))


def main():
    p = argparse.ArgumentParser()
    sub = p.add_subparsers(dest="cmd", required=True)
    sub.add_parser("check")
    f = sub.add_parser("fixture")
    f.add_argument("--case", default="tiny")
    f.add_argument("--model", default="iComformer")
    f.add_argument("--seed", type=int, default=1)
    f.add_argument("--out", required=True)
    f.add_argument("--split", default="val")
    f.add_argument("--root", default=None)
    b = sub.add_parser("bench")
    b.add_argument("--what", default="step")
    b.add_argument("--model", default="iComformer")
    b.add_argument("--dataset", default="perov_5")
    b.add_argument("--split", default="val")
    b.add_argument("--root", default=None)
    b.add_argument("--batch", type=int, default=64)
    b.add_argument("--k", type=int, default=25)
    b.add_argument("--cutoff", type=float, default=6.0)
    b.add_argument("--threads", type=int, default=2)
    b.add_argument("--warmup", type=int, default=1)
    b.add_argument("--repeat", type=int, default=3)
    b.add_argument("--limit", type=int, default=None)
    b.add_argument("--unique", action="store_true", help="unique weighted edges instead of duplicates")
    args = p.parse_args()
    {"check": check, "fixture": make_fixture, "bench": bench}[args.cmd](args)


if __name__ == "__main__":
    main()
