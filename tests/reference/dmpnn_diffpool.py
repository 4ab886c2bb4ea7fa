#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Executable specification of the D-MPNN / DiffPool polymer property model (plain PyTorch + RDKit).

Read together with spec/dmpnn_diffpool.md. Everything numeric is written for clarity and for float64;
`check` proves the identities the C++ code may rely on, `fixture` writes golden HDF5 files and `bench`
times one training step.
"""
import argparse
import csv
import json
import math
import os
import statistics
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

# ----------------------------------------------------------------------------------------------
# 1. Featurisation: SMILES -> directed molecular graph
# ----------------------------------------------------------------------------------------------
ATOMIC_NUMBERS = list(range(1, 37)) + [53]        # 37 bits + unknown
DEGREES = [0, 1, 2, 3, 4, 5]                      # total degree (explicit H count in)
CHARGES = [-1, -2, 1, 2, 0]
CHIRAL = [0, 1, 2, 3]                             # RDKit ChiralType as integer
NUM_H = [0, 1, 2, 3, 4]
HYBRID = ["S", "SP", "SP2", "SP2D", "SP3", "SP3D", "SP3D2"]
ATOM_DIM = (37 + 1) + (6 + 1) + (5 + 1) + (4 + 1) + (5 + 1) + (7 + 1) + 1 + 1   # 72
BOND_TYPES = ["SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"]                          # no unknown bit
BOND_DIM = 1 + 4 + 1 + 1 + (6 + 1)                                               # 14


class BadInput(ValueError):
    """An input the application must report with row and column, never skip silently."""


def atom_features(a):
    x = np.zeros(ATOM_DIM)
    at = 0
    for value, table in ((a.GetAtomicNum(), ATOMIC_NUMBERS), (a.GetTotalDegree(), DEGREES),
                         (a.GetFormalCharge(), CHARGES), (int(a.GetChiralTag()), CHIRAL),
                         (int(a.GetTotalNumHs()), NUM_H), (str(a.GetHybridization()), HYBRID)):
        x[at + (table.index(value) if value in table else len(table))] = 1.0
        at += len(table) + 1
    x[at] = float(a.GetIsAromatic())
    x[at + 1] = 0.01 * a.GetMass()
    return x


def bond_features(b):
    x = np.zeros(BOND_DIM)                        # x[0] is the "no bond" bit, never set here
    name = str(b.GetBondType())
    if name in BOND_TYPES:
        x[1 + BOND_TYPES.index(name)] = 1.0
    x[5] = float(b.GetIsConjugated())
    x[6] = float(b.IsInRing())
    x[7 + min(int(b.GetStereo()), 6)] = 1.0       # stereo 0..5, everything else in the last bit
    return x


def parse_smiles(smiles):
    from rdkit import Chem
    mol = Chem.MolFromSmiles(smiles.strip()) if isinstance(smiles, str) and smiles.strip() else None
    if mol is None:
        raise BadInput(f"invalid SMILES {smiles!r}")
    return mol


def mol_graph(smiles):
    """Atoms in RDKit order; bond k gives directed edges 2k (begin->end) and 2k+1 (end->begin)."""
    mol = parse_smiles(smiles)
    if mol.GetNumAtoms() == 0:
        raise BadInput("empty molecule")
    V = np.stack([atom_features(a) for a in mol.GetAtoms()])
    bonds = list(mol.GetBonds())
    E = np.zeros((2 * len(bonds), BOND_DIM))
    ei = np.zeros((2, 2 * len(bonds)), dtype=np.int64)
    for k, b in enumerate(bonds):
        u, v = b.GetBeginAtomIdx(), b.GetEndAtomIdx()
        E[2 * k:2 * k + 2] = bond_features(b)
        ei[:, 2 * k], ei[:, 2 * k + 1] = (u, v), (v, u)
    return dict(V=V, E=E, edge_index=ei, rev=np.arange(ei.shape[1]) ^ 1)


def parse_polymer(text):
    """`A.B|wA|wB|<i-j:wij:wji<...~Xn` -> (fragment SMILES, weights, [(i, j, wij, wji)], 1 + log10 Xn)."""
    head = text.split("<")[0].split("|")
    frags, weights = head[0].split("."), [float(w) for w in head[1:] if w != ""]
    if len(frags) != len(weights):
        raise BadInput(f"{len(frags)} fragments but {len(weights)} weights in {text!r}")
    rules = text.split("<")[1:]
    xn = 1.0
    if rules and "~" in rules[-1]:
        rules[-1], tail = rules[-1].split("~")
        xn = float(tail)
    edges, incoming = [], {}
    for r in (r for r in rules if r):
        part = r.split(":")
        if len(part) != 3 or part[0].count("-") != 1:
            raise BadInput(f"malformed connection rule {r!r}")
        i, j = part[0].split("-")
        wij, wji = float(part[1]), float(part[2])
        edges.append((i, j, wij, wji))
        incoming[j] = incoming.get(j, 0.0) + wij
        if i != j:                                   # an i-i rule counts once
            incoming[i] = incoming.get(i, 0.0) + wji
    for k, s in incoming.items():
        if abs(s - 1.0) > 1e-5:
            raise BadInput(f"incoming weights of attachment point {k} sum to {s}, not 1")
    return frags, weights, edges, 1.0 + math.log10(xn)


def polymer_graph(text):
    """Stochastic polymer graph: wildcards removed, one weighted bond pair per connection rule."""
    from rdkit import Chem
    frags, weights, rules, dop = parse_polymer(text)
    mol, atom_w = None, []
    for s, w in zip(frags, weights):
        m = parse_smiles(s)
        atom_w += [w] * m.GetNumAtoms()
        mol = m if mol is None else Chem.CombineMols(mol, m)
    attach, order, core = {}, {}, []
    for a in mol.GetAtoms():
        if a.GetAtomicNum() == 0:
            nb = a.GetNeighbors()
            if len(nb) != 1:
                raise BadInput(f"attachment point with {len(nb)} neighbours in {text!r}")
            label = str(a.GetAtomMapNum())
            attach[label] = nb[0].GetIdx()
            order[label] = mol.GetBondBetweenAtoms(a.GetIdx(), nb[0].GetIdx()).GetBondType()
        else:
            core.append(a.GetIdx())
    new = {old: k for k, old in enumerate(core)}
    # atom features are taken while the wildcards are still bonded (saturation is then right)
    V = np.stack([atom_features(mol.GetAtomWithIdx(i)) for i in core])
    partial = Chem.SanitizeFlags.SANITIZE_ALL ^ Chem.SanitizeFlags.SANITIZE_KEKULIZE
    rw = Chem.RWMol(mol)
    for i in sorted(set(range(mol.GetNumAtoms())) - set(core), reverse=True):
        rw.RemoveAtom(i)
    Chem.SanitizeMol(rw, sanitizeOps=partial)
    src, dst, E, w = [], [], [], []
    for a in range(len(core)):
        for b in range(a + 1, len(core)):
            bond = rw.GetBondBetweenAtoms(a, b)
            if bond is not None:
                f = bond_features(bond)
                src += [a, b]; dst += [b, a]; E += [f, f]; w += [1.0, 1.0]
    n = len(core)
    double = Chem.RWMol(Chem.CombineMols(rw, rw))     # bond to a second copy: ring flags stay right
    for i, j, wij, wji in rules:
        if i not in attach or j not in attach:
            raise BadInput(f"rule {i}-{j} names an attachment point that is not in {text!r}")
        if order[i] != order[j]:
            raise BadInput(f"attachment points {i} and {j} have different bond orders")
        a, b = new[attach[i]], new[attach[j]]
        double.AddBond(a, n + b, order[i])
        Chem.SanitizeMol(double, sanitizeOps=partial)
        f = bond_features(double.GetBondBetweenAtoms(a, n + b))
        double.RemoveBond(a, n + b)
        Chem.SanitizeMol(double, sanitizeOps=partial)
        src += [a, b]; dst += [b, a]; E += [f, f]; w += [wij, wji]
    ei = np.array([src, dst], dtype=np.int64).reshape(2, -1)
    return dict(V=V, E=np.array(E).reshape(-1, BOND_DIM), edge_index=ei, rev=np.arange(ei.shape[1]) ^ 1,
                edge_weight=np.array(w), atom_weight=np.array([atom_w[i] for i in core]), dop=dop)


@dataclass
class Batch:
    V: torch.Tensor
    E: torch.Tensor
    edge_index: torch.Tensor
    rev: torch.Tensor
    batch: torch.Tensor
    n_graphs: int
    edge_weight: torch.Tensor = None
    atom_weight: torch.Tensor = None
    dop: torch.Tensor = None


def collate(graphs, dtype=torch.float64):
    f = lambda k: torch.as_tensor(np.concatenate([g[k] for g in graphs]), dtype=dtype)
    nv = np.cumsum([0] + [len(g["V"]) for g in graphs])
    ne = np.cumsum([0] + [g["edge_index"].shape[1] for g in graphs])
    b = Batch(V=f("V"), E=f("E"),
              edge_index=torch.as_tensor(np.concatenate([g["edge_index"] + o for g, o in zip(graphs, nv)], 1)),
              rev=torch.as_tensor(np.concatenate([g["rev"] + o for g, o in zip(graphs, ne)])),
              batch=torch.as_tensor(np.repeat(np.arange(len(graphs)), np.diff(nv))), n_graphs=len(graphs))
    if "edge_weight" in graphs[0]:
        b.edge_weight, b.atom_weight = f("edge_weight"), f("atom_weight")
        b.dop = torch.tensor([g["dop"] for g in graphs], dtype=dtype)
    return b


# ----------------------------------------------------------------------------------------------
# 2. Model
# ----------------------------------------------------------------------------------------------
@dataclass
class Config:
    encoder: str = "diffpool"       # dmpnn | diffpool | wdmpnn
    d_v: int = ATOM_DIM
    d_e: int = BOND_DIM
    d_h: int = 300
    depth: int = 3                  # number of edge states h^0..h^{depth-1}; depth-1 message steps
    aggregation: str = "mean"       # dmpnn: mean | sum | norm (sum / 100)
    undirected: bool = False
    dropout: float = 0.0
    # pooling
    diffpool_depth: int = 1         # pooling levels
    diffpool_ratio: float = 0.5
    diffpool_topk: int = 3          # 0: dense softmax (every cluster)
    assign: str = "shared"          # shared: logit columns 0..c_g-1; batch: columns off_g..off_g+c_g-1
    head_width: int = 0             # columns of the assignment head (0: set from the first batch)
    coarse_edge: str = "bond_mean"  # bond_mean (width d_e) | adjacency (width 1)
    coarse_graph: str = "clean"     # clean: each ordered pair once, true reverse | legacy: see spec
    adjacency_scale: float = 1.0    # 2.0 in the legacy code
    lp_max_nodes: int = 0           # 0: no limit; legacy 256 (larger graphs get no link loss)
    lambda_lp: float = 0.5
    lambda_ent: float = 1e-3
    aux_reduction: str = "mean"     # over the graphs of a batch: mean | sum (legacy)
    use_mean: bool = True           # final pooling over clusters: mean | sum
    # read-out
    batch_norm: bool = False
    d_xd: int = 0                   # extra descriptors concatenated before the FFN
    ffn_hidden: int = 300
    ffn_layers: int = 1
    ffn_dropout: float = 0.0
    task: str = "regression"        # regression | binary | multiclass
    n_tasks: int = 1
    n_classes: int = 3
    # optimiser
    init_lr: float = 1e-4
    max_lr: float = 1e-3
    final_lr: float = 1e-4
    warmup_epochs: int = 2
    epochs: int = 300
    clip_norm: float = 10.0


def seg_sum(x, index, n):
    return torch.zeros((n,) + x.shape[1:], dtype=x.dtype).index_add(0, index, x)


class BondMessagePassing(nn.Module):
    """h0_e = W_i [x_src | e_e];  h = relu(h0);  h <- relu(h0 + W_h (sum_{e'->src} h_e' - h_rev))."""

    def __init__(self, d_v, d_e, d_h, depth, undirected=False, dropout=0.0):
        super().__init__()
        self.W_i = nn.Linear(d_v + d_e, d_h, bias=False)
        self.W_h = nn.Linear(d_h, d_h, bias=False)
        self.W_o = nn.Linear(d_v + d_h, d_h)
        self.depth, self.undirected = depth, undirected
        self.drop = nn.Dropout(dropout)

    def forward(self, V, E, edge_index, rev, edge_weight=None, trace=None):
        src, dst = edge_index
        n = V.shape[0]
        w = 1.0 if edge_weight is None else edge_weight[:, None]
        h0 = self.W_i(torch.cat([V[src], E], 1))
        h = torch.relu(h0)
        states = [h]
        for _ in range(1, self.depth):
            if self.undirected:
                h = (h + h[rev]) / 2
            m = seg_sum(w * h, dst, n)[src] - h[rev]
            h = self.drop(torch.relu(h0 + self.W_h(m)))
            states.append(h)
        M = seg_sum(w * h, dst, n)
        Z = self.drop(torch.relu(self.W_o(torch.cat([V, M], 1))))
        if trace is not None:
            trace.update(h_pre=h0, M=M, Z=Z, **{f"h{t}": s for t, s in enumerate(states)})
        return Z


def cluster_counts(counts, ratio):
    """c_g = max(1, ceil(n_g * ratio)), the product in single precision."""
    c = torch.ceil(counts.to(torch.float32) * torch.tensor(ratio, dtype=torch.float32))
    return c.long().clamp(min=1)


def sparse_assignment(logits, batch, c, cfg):
    """Row softmax over the k largest logits of the node's own clusters.

    Returns P [N, K] (values, rows sum to 1) and J [N, K] (cluster index inside the graph), K = k, or
    max c for dense; unused slots have P = 0 and J = 0. Ties keep the smaller column."""
    N, cmax = logits.shape[0], int(c.max())
    off = torch.cumsum(c, 0) - c
    col = torch.arange(cmax)[None, :].expand(N, cmax)
    valid = col < c[batch][:, None]
    first = off[batch][:, None] if cfg.assign == "batch" else 0
    own = logits.gather(1, torch.where(valid, col + first, torch.zeros_like(col)))
    own = own.masked_fill(~valid, -math.inf)
    K = cmax if cfg.diffpool_topk == 0 else min(cfg.diffpool_topk, cmax)
    J = torch.argsort(own, dim=1, descending=True, stable=True)[:, :K]
    J = J.sort(1).values
    top = own.gather(1, J)
    P = torch.softmax(top, 1)
    return P, torch.where(top > -math.inf, J, torch.zeros_like(J))


def auxiliary_losses(P, J, batch, c, edge_index, n_graphs, cfg):
    """Per graph: lambda_lp * ||A - S S^T||_F and lambda_ent * mean_i H(S_i)."""
    lp, ent = [], []
    scale = cfg.adjacency_scale
    for g in range(n_graphs):
        idx = (batch == g).nonzero()[:, 0]
        n = len(idx)
        S = torch.zeros(n, int(c[g]), dtype=P.dtype)
        S = S.scatter_add(1, J[idx].clamp(max=int(c[g]) - 1), P[idx])
        loc = torch.full((len(batch),), -1); loc[idx] = torch.arange(n)
        mine = batch[edge_index[0]] == g
        e = loc[edge_index[:, mine]]
        A = torch.zeros(n, n, dtype=P.dtype)
        if scale == 1.0:
            A[e[0], e[1]] = 1.0
        else:
            A.index_put_((e[0], e[1]), torch.full((e.shape[1],), scale, dtype=P.dtype), accumulate=True)
        if cfg.lp_max_nodes and n > cfg.lp_max_nodes:
            lp.append(P.new_zeros(()))
        else:
            lp.append(cfg.lambda_lp * (A - S @ S.T).pow(2).sum().sqrt())
        Sc = S.clamp_min(1e-8)
        ent.append(cfg.lambda_ent * -(Sc * Sc.log()).sum(1).mean())
    lp, ent = torch.stack(lp), torch.stack(ent)
    return (lp.mean(), ent.mean()) if cfg.aux_reduction == "mean" else (lp.sum(), ent.sum())


def coarse_edges(P, J, E, edge_index, batch, c, cfg):
    """Edges between clusters p != q of one graph with W_pq = sum_e S[src,p] S[dst,q] > 0.

    O(E K^2) segment sums; sorted by (graph, p, q). Feature: (sum_e S S e_e) / max(W, 1e-8), or scale*W."""
    off = torch.cumsum(c, 0) - c
    C, K = int(c.sum()), P.shape[1]
    src, dst = edge_index
    w = P[src][:, :, None] * P[dst][:, None, :]
    p = (off[batch[src]][:, None] + J[src])[:, :, None].expand(-1, K, K)
    q = (off[batch[dst]][:, None] + J[dst])[:, None, :].expand(-1, K, K)
    keep = ((w > 0) & (p != q)).reshape(-1)
    w, key = w.reshape(-1)[keep], (p * C + q).reshape(-1)[keep]
    owner = torch.arange(len(src)).repeat_interleave(K * K)[keep]
    uniq, inv = torch.unique(key, return_inverse=True)
    m = len(uniq)
    W = seg_sum(w, inv, m)
    if cfg.coarse_edge == "bond_mean":
        F = seg_sum(w[:, None] * E[owner], inv, m) / W.clamp_min(1e-8)[:, None]
    else:
        F = (cfg.adjacency_scale * W)[:, None]
    ei = torch.stack([uniq // C, uniq % C])
    if cfg.coarse_graph == "clean":
        rev = torch.searchsorted(uniq, ei[1] * C + ei[0])
        return F, ei, rev, W
    # legacy list: per graph all (p,q) then all (q,p), "reverse" = the other of positions (2i, 2i+1)
    graph = torch.bucketize(ei[0], torch.cumsum(c, 0), right=True)
    perm, swap = [], []
    for g in range(len(c)):
        idx = (graph == g).nonzero()[:, 0]
        perm += [idx, idx]; swap += [torch.zeros_like(idx), torch.ones_like(idx)]
    perm, swap = torch.cat(perm), torch.cat(swap).bool()
    ei = torch.where(swap, ei.flip(0)[:, perm], ei[:, perm])
    return F[perm], ei, torch.arange(ei.shape[1]) ^ 1, W


class DiffPool(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        d_e = [cfg.d_e] + [cfg.d_e if cfg.coarse_edge == "bond_mean" else 1] * (cfg.diffpool_depth - 1)
        self.encoders = nn.ModuleList(
            BondMessagePassing(cfg.d_v if l == 0 else cfg.d_h, d_e[l], cfg.d_h, cfg.depth, cfg.undirected, cfg.dropout)
            for l in range(cfg.diffpool_depth))
        for l in range(cfg.diffpool_depth):
            self.set_head(l, cfg.head_width or 1)

    def set_head(self, level, width):
        d = self.cfg.d_h
        setattr(self, f"_pool_head_{level}", nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, width)))

    def forward(self, b, trace=None):
        cfg = self.cfg
        V, E, ei, rev, batch = b.V, b.E, b.edge_index, b.rev, b.batch
        lp = ent = 0.0
        for l, enc in enumerate(self.encoders):
            t = None if trace is None else {}
            Z = enc(V, E, ei, rev, trace=t)
            c = cluster_counts(torch.bincount(batch, minlength=b.n_graphs), cfg.diffpool_ratio)
            logits = getattr(self, f"_pool_head_{l}")(Z)
            if cfg.assign == "shared":                # a graph larger than any seen in training
                c = c.clamp(max=logits.shape[1])
            P, J = sparse_assignment(logits, batch, c, cfg)
            a, h = auxiliary_losses(P, J, batch, c, ei, b.n_graphs, cfg)
            lp, ent = lp + a, ent + h
            off = torch.cumsum(c, 0) - c
            node = (off[batch][:, None] + J).reshape(-1)
            Vc = seg_sum((P[:, :, None] * Z[:, None, :]).reshape(-1, Z.shape[1]), node, int(c.sum()))
            last = l + 1 == len(self.encoders)
            if not last or trace is not None:         # the last level's coarse edges are never used
                Ec, eic, revc, W = coarse_edges(P, J, E, ei, batch, c, cfg)
            if trace is not None:
                trace.update({f"level{l}/{k}": v for k, v in
                              dict(t, S_value=P, S_cluster=J, clusters=c, V_coarse=Vc, E_coarse=Ec,
                                   edge_index_coarse=eic, rev_coarse=revc, W_coarse=W, lp=a, ent=h).items()})
            V, batch = Vc, torch.arange(b.n_graphs).repeat_interleave(c)
            if not last:
                E, ei, rev = Ec, eic, revc
        H = seg_sum(V, batch, b.n_graphs)
        return (H / c[:, None] if cfg.use_mean else H), lp, ent


class Predictor(nn.Module):
    def __init__(self, d_in, cfg):
        super().__init__()
        out = cfg.n_tasks * (cfg.n_classes if cfg.task == "multiclass" else 1)
        dims = [d_in] + [cfg.ffn_hidden] * cfg.ffn_layers + [out]
        blocks = [nn.Sequential(nn.Linear(dims[0], dims[1]))]
        blocks += [nn.Sequential(nn.ReLU(), nn.Dropout(cfg.ffn_dropout), nn.Linear(i, o))
                   for i, o in zip(dims[1:-1], dims[2:])]
        self.ffn = nn.Sequential(*blocks)


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        if cfg.encoder == "diffpool":
            self.message_passing = DiffPool(cfg)
        else:
            self.message_passing = BondMessagePassing(cfg.d_v, cfg.d_e, cfg.d_h, cfg.depth, cfg.undirected, cfg.dropout)
        self.bn = nn.BatchNorm1d(cfg.d_h) if cfg.batch_norm and cfg.encoder != "wdmpnn" else nn.Identity()
        self.predictor = Predictor(cfg.d_h + cfg.d_xd, cfg)

    def fingerprint(self, b, x_d=None, trace=None):
        cfg = self.cfg
        lp = ent = b.V.new_zeros(())
        if cfg.encoder == "diffpool":
            H, lp, ent = self.message_passing(b, trace)
        else:
            Z = self.message_passing(b.V, b.E, b.edge_index, b.rev, b.edge_weight, trace)
            if cfg.encoder == "wdmpnn":
                num = seg_sum(b.atom_weight[:, None] * Z, b.batch, b.n_graphs)
                den = seg_sum(b.atom_weight, b.batch, b.n_graphs).clamp_min(1e-12)
                H = b.dop[:, None] * num / den[:, None]
            else:
                H = seg_sum(Z, b.batch, b.n_graphs)
                if cfg.aggregation == "mean":
                    H = H / torch.bincount(b.batch, minlength=b.n_graphs).clamp(min=1)[:, None]
                elif cfg.aggregation == "norm":
                    H = H / 100.0
        Hb = self.bn(H)
        if trace is not None:
            trace.update(H=H, H_bn=Hb)
        return (Hb if x_d is None else torch.cat([Hb, x_d], 1)), lp, ent

    def forward(self, b, x_d=None, trace=None):
        """Raw head outputs [G, n_tasks] (or [G, n_tasks, n_classes]), link loss, entropy loss."""
        F, lp, ent = self.fingerprint(b, x_d, trace)
        y = self.predictor.ffn(F)
        if self.cfg.task == "multiclass":
            y = y.reshape(len(y), self.cfg.n_tasks, self.cfg.n_classes)
        return y, lp, ent

    def predict(self, raw, mean=None, scale=None):
        if self.cfg.task == "binary":
            return torch.sigmoid(raw)
        if self.cfg.task == "multiclass":
            return torch.softmax(raw, -1)
        return raw if mean is None else raw * scale + mean


def criterion(raw, y, cfg, weight=None, task_weight=None):
    """Masked mean: NaN targets are skipped; the divisor is the number of present targets."""
    mask = torch.isfinite(y)
    y = torch.nan_to_num(y, nan=0.0)
    if cfg.task == "regression":
        L = (raw - y) ** 2
    elif cfg.task == "binary":
        L = raw.clamp(min=0) - raw * y + torch.log1p(torch.exp(-raw.abs()))
    else:
        L = torch.logsumexp(raw, -1) - raw.gather(-1, y.long()[..., None])[..., 0]
    if weight is not None:
        L = L * weight.reshape(-1, 1)
    if task_weight is not None:
        L = L * task_weight.reshape(1, -1)
    return (L * mask).sum() / mask.sum().clamp(min=1)


def learning_rate(step, cfg, steps_per_epoch):
    """Rate used by optimiser step number `step` (first step: 0)."""
    warm = cfg.warmup_epochs * steps_per_epoch
    cool = (cfg.epochs - cfg.warmup_epochs) * steps_per_epoch
    if step < warm:
        return cfg.init_lr + step * (cfg.max_lr - cfg.init_lr) / warm
    if step < warm + cool:
        return cfg.max_lr * (cfg.final_lr / cfg.max_lr) ** ((step - warm) / cool)
    return cfg.final_lr


def initialise(model, seed, gain=1.0):
    """Deterministic, batch-independent start: every weight U(-1/sqrt(fan_in), 1/sqrt(fan_in)) * gain."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith("bn."):
                p.copy_((1.0 if name.endswith("weight") else 0.0) + 0.2 * (torch.rand(p.shape, generator=gen, dtype=torch.float64) - 0.5))
                continue
            w = p if p.dim() == 2 else dict(model.named_parameters())[name[:-4] + "weight"]
            bound = gain / math.sqrt(w.shape[1])
            p.copy_((2 * torch.rand(p.shape, generator=gen, dtype=torch.float64) - 1) * bound)
    return model


def build(cfg, seed=0, batch=None, dtype=torch.float64, gain=1.0):
    if cfg.encoder == "diffpool" and not cfg.head_width and batch is not None:
        c = cluster_counts(torch.bincount(batch.batch, minlength=batch.n_graphs), cfg.diffpool_ratio)
        cfg.head_width = int(c.sum() if cfg.assign == "batch" else c.max())
    return initialise(Model(cfg).to(dtype), seed, gain)


class Trainer:
    """Adam (0.9, 0.999, 1e-8), global-norm clipping, per-step learning rate."""

    def __init__(self, model, steps_per_epoch):
        self.model, self.spe, self.step_no = model, steps_per_epoch, 0
        self.opt = torch.optim.Adam(model.parameters(), lr=model.cfg.init_lr)

    def step(self, b, y, x_d=None):
        cfg = self.model.cfg
        self.model.train()
        for g in self.opt.param_groups:
            g["lr"] = learning_rate(self.step_no, cfg, self.spe)
        self.opt.zero_grad()
        raw, lp, ent = self.model(b, x_d)
        loss = criterion(raw, y, cfg) + lp + ent
        loss.backward()
        if cfg.clip_norm > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), cfg.clip_norm)
        self.opt.step()
        self.step_no += 1
        return float(loss)


# ----------------------------------------------------------------------------------------------
# 3. Splits and metrics
# ----------------------------------------------------------------------------------------------
class MT:
    """MT19937 seeded like std::mt19937(seed), with the legacy bounded draw (masked rejection)."""

    def __init__(self, seed):
        self.rs, self.buf = np.random.RandomState(seed), []

    def u32(self):
        if not self.buf:
            self.buf = self.rs.randint(0, 2**32, size=4096, dtype=np.uint32).tolist()[::-1]
        return self.buf.pop()

    def below(self, top):                            # uniform on 0..top
        if top == 0:
            return 0
        mask = (1 << top.bit_length()) - 1
        while True:
            v = self.u32() & mask
            if v <= top:
                return v

    def permutation(self, n):
        a = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.below(i)
            a[i], a[j] = a[j], a[i]
        return a


def holdout_split(n, seed):
    """80/10/10: two independent shuffles with the same seed."""
    n_test = math.ceil(0.10 * n)
    perm = MT(seed).permutation(n)
    test, rest = perm[:n_test], perm[n_test:]
    n_val = math.ceil(len(rest) / 9)
    perm = MT(seed).permutation(len(rest))
    return [rest[i] for i in perm[n_val:]], [rest[i] for i in perm[:n_val]], test


def kfold_splits(n, seed, k=5):
    """k test folds of a shuffled index (sorted inside the fold); 10 % of the remainder is validation."""
    a = MT(seed).permutation(n)
    out, at = [], 0
    for f in range(k):
        size = n // k + (f < n % k)
        test = sorted(a[at:at + size]); at += size
        rest = sorted(set(range(n)) - set(test))
        perm = MT(seed).permutation(len(rest))
        n_val = math.ceil(0.10 * len(rest))
        out.append(([rest[i] for i in perm[n_val:]], [rest[i] for i in perm[:n_val]], test))
    return out


def splits(n, seed=42, replicates=5):
    return kfold_splits(n, seed) if n < 2000 else [holdout_split(n, seed + r) for r in range(replicates)]


def regression_metrics(pred, y):
    m = np.isfinite(y)
    d = pred[m] - y[m]
    ss = ((y[m] - y[m].mean()) ** 2).sum()
    return dict(mae=np.abs(d).mean(), rmse=math.sqrt((d ** 2).mean()), r2=1 - (d ** 2).sum() / ss if ss > 0 else 0.0)


# ----------------------------------------------------------------------------------------------
# 4. Data helpers
# ----------------------------------------------------------------------------------------------
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.normpath(os.path.join(HERE, "..", "data", "polymers"))
SMALL = ["[*]CC([*])O", "C", "[*]C=Cc1ccc([*])s1"]
EDGE = ["C", "[*]", "CC", "[Na+].[Cl-]", "[*]C[*]", "C.C.C", "C" * 40, "FC(F)(F)F"]


def load_csv(path, smiles="smiles", targets=("value",), rows=None):
    with open(path, newline="") as fh:
        table = list(csv.DictReader(fh))
    table = table if rows is None else [table[i] for i in rows]
    y = np.array([[float(r[t]) if r[t] not in ("", "nan", "NaN") else math.nan for t in targets] for r in table])
    return [r[smiles] for r in table], y


# ----------------------------------------------------------------------------------------------
# 5. Self-test
# ----------------------------------------------------------------------------------------------
def triple_loop(S, E, src, dst, eps=1e-8):
    """Literal statement of the coarse bond features: every edge, every pair of clusters (slow)."""
    c = S.shape[1]
    num, W = torch.zeros(c, c, E.shape[1], dtype=S.dtype), torch.zeros(c, c, dtype=S.dtype)
    for e in range(len(src)):
        for p in range(c):
            for q in range(c):
                w = S[src[e], p] * S[dst[e], q]
                num[p, q] += w * E[e]
                W[p, q] += w
    return num / W.clamp_min(eps)[:, :, None], W


def check(verbose=True):
    report = {}
    torch.manual_seed(0)
    b = collate([mol_graph(s) for s in SMALL])
    y = torch.tensor([[0.3], [-1.2], [0.7]], dtype=torch.float64)

    # one level: the prediction does not depend on the assignment (rows of S sum to one)
    cfg = Config(d_h=16, ffn_hidden=8)
    m = build(cfg, 1, b)
    H1 = m(b)[0]
    with torch.no_grad():
        for p in m.message_passing._pool_head_0.parameters():
            p.mul_(-3.0)
    report["one_level_output_independent_of_S"] = float((m(b)[0] - H1).abs().max())
    tr = {}
    m(b, trace=tr)
    n = torch.bincount(b.batch)
    c = cluster_counts(n, 0.5)
    ref = seg_sum(tr["level0/Z"], b.batch, 3) / c[:, None]
    report["one_level_equals_scaled_sum"] = float((tr["H"] - ref).abs().max())

    # coarse bond features: segment sums == triple loop; W == S^T A S off the diagonal; link loss expansion
    for k in (0, 3, 1):
        cfg = Config(d_h=16, ffn_hidden=8, diffpool_topk=k)
        g = collate([mol_graph("[*]Oc1ccc(C(=O)NC([*])=S)cc1Cl")])
        m = build(cfg, 2, g, gain=3.0)
        tr = {}
        m(g, trace=tr)
        P, J = tr["level0/S_value"], tr["level0/S_cluster"]
        nn_, cc = g.V.shape[0], int(tr["level0/clusters"][0])
        S = torch.zeros(nn_, cc, dtype=P.dtype).scatter_add(1, J, P)
        F, W = triple_loop(S, g.E, *g.edge_index)
        p, q = tr["level0/edge_index_coarse"]
        report[f"triple_loop_topk{k}"] = float((F[p, q] - tr["level0/E_coarse"]).abs().max())
        A = torch.zeros(nn_, nn_, dtype=P.dtype)
        A[g.edge_index[0], g.edge_index[1]] = 1.0
        Ap = S.T @ A @ S
        report[f"W_is_StAS_topk{k}"] = float((Ap[p, q] - tr["level0/W_coarse"]).abs().max())
        off = Ap - torch.diag(torch.diag(Ap))
        assert (off > 0).sum() == len(p), "edge sets differ"
        u, v = g.edge_index
        expand = g.edge_index.shape[1] - 2 * (S[u] * S[v]).sum() + (S.T @ S).pow(2).sum()
        report[f"link_loss_expansion_topk{k}"] = float(abs(expand.sqrt() * cfg.lambda_lp - tr["level0/lp"]))

    # central differences on every parameter tensor of a two-level model
    cfg = Config(d_h=6, ffn_hidden=5, diffpool_depth=2, d_xd=2)
    m = build(cfg, 3, b, gain=2.0)
    x_d = torch.tensor([[0.1, -0.4], [1.0, 0.2], [-0.3, 0.5]], dtype=torch.float64)

    def loss():
        raw, lp, ent = m(b, x_d)
        return criterion(raw, y, cfg) + lp + ent
    m.zero_grad()
    loss().backward()
    worst = 0.0
    gen = np.random.default_rng(0)
    for name, p in m.named_parameters():
        flat, gr = p.data.view(-1), p.grad.view(-1)
        for i in gen.choice(len(flat), min(5, len(flat)), replace=False):
            keep, h = float(flat[i]), 1e-6
            flat[i] = keep + h; up = float(loss())
            flat[i] = keep - h; dn = float(loss())
            flat[i] = keep
            worst = max(worst, abs((up - dn) / (2 * h) - float(gr[i])) / (1e-3 + abs(float(gr[i]))))
    report["finite_difference_worst"] = worst

    # splits against scikit-learn, when it is installed
    try:
        from sklearn.model_selection import KFold, ShuffleSplit, train_test_split
        n, seed = 4209, 43
        (tv, te), = ShuffleSplit(n_splits=1, test_size=0.10, random_state=seed).split(np.arange(n))
        (a, v), = ShuffleSplit(n_splits=1, test_size=1 / 9, random_state=seed).split(tv)
        mine = holdout_split(n, seed)
        assert [list(map(int, x)) for x in (tv[a], tv[v], te)] == [list(x) for x in mine]
        for (tv, te), mine in zip(KFold(5, shuffle=True, random_state=42).split(np.arange(562)), kfold_splits(562, 42)):
            tr_, va = train_test_split(tv, test_size=0.10, random_state=42)
            assert [list(map(int, x)) for x in (tr_, va, te)] == [list(x) for x in mine]
        report["splits_equal_sklearn"] = 0.0
    except ImportError:
        pass
    bad = {k: v for k, v in report.items() if v > (1e-4 if "finite" in k else 1e-10)}
    if verbose:
        print(json.dumps(report, indent=1))
    if bad:
        raise SystemExit(f"FAILED {bad}")
    print("check: ok")


# ----------------------------------------------------------------------------------------------
# 6. Golden files
# ----------------------------------------------------------------------------------------------
LEGACY = dict(assign="batch", coarse_edge="adjacency", coarse_graph="legacy", adjacency_scale=2.0,
              lp_max_nodes=256, aux_reduction="sum")
CASES = {  # name -> (config, options)
    "tiny": (dict(d_h=8, ffn_hidden=6, diffpool_depth=2), dict(smiles=SMALL, trace=True)),
    "tiny_dense": (dict(d_h=8, ffn_hidden=6, diffpool_depth=2, diffpool_topk=0), dict(smiles=SMALL, trace=True)),
    "tiny_legacy": (dict(d_h=8, ffn_hidden=6, diffpool_depth=2, **LEGACY), dict(smiles=SMALL, trace=True)),
    "edge": (dict(d_h=8, ffn_hidden=6, diffpool_depth=2, diffpool_ratio=0.25), dict(smiles=EDGE, trace=True)),
    "noedges": (dict(d_h=8, ffn_hidden=6, diffpool_depth=2), dict(smiles=["C", "[Na+].[Cl-]", "O"], trace=True)),
    "hard": (dict(d_h=8, ffn_hidden=6, diffpool_depth=2, diffpool_topk=1, diffpool_ratio=1.0, coarse_edge="adjacency"),
             dict(smiles=SMALL, trace=True)),
    "plain": (dict(encoder="dmpnn", d_h=32, ffn_hidden=24), dict(n=16, trace=True)),
    "batch64": (dict(d_h=64, ffn_hidden=48), dict(n=64, trajectory=10)),
    "batch64_levels2": (dict(d_h=48, ffn_hidden=32, diffpool_depth=2, diffpool_topk=0), dict(n=64, trajectory=10)),
    "batch64_bn": (dict(d_h=48, ffn_hidden=32, batch_norm=True, task="binary", n_tasks=3), dict(n=64, bn=True)),
    "full300": (dict(), dict(n=64, norms=True, trajectory=10)),
    "multiclass": (dict(d_h=24, ffn_hidden=16, task="multiclass", n_tasks=2, n_classes=4, d_xd=3), dict(n=12)),
    "weighted": (dict(encoder="wdmpnn", d_h=24, ffn_hidden=16, task="binary", n_tasks=5), dict(polymer=8)),
}


def pick(path, n, seed, column):
    with open(path, newline="") as fh:
        rows = [r[column] for r in csv.DictReader(fh)]
    return [rows[i] for i in np.random.default_rng(seed).choice(len(rows), n, replace=False)]


def fixture(case, seed, out, data):
    import h5py
    kw, opt = CASES[case]
    cfg = Config(**kw)
    if "polymer" in opt:
        text = pick(os.path.join(data, "diblock.csv"), opt["polymer"], seed, "poly_chemprop_input")
        graphs = [polymer_graph(t) for t in text]
    else:
        text = opt.get("smiles") or pick(os.path.join(data, "egc.csv"), opt["n"], seed, "smiles")
        graphs = [mol_graph(t) for t in text]
    b = collate(graphs)
    gen = np.random.default_rng(1000 + seed)
    shape = (b.n_graphs, cfg.n_tasks)
    if cfg.task == "regression":
        y = gen.normal(size=shape)
    else:
        y = gen.integers(0, 2 if cfg.task == "binary" else cfg.n_classes, size=shape).astype(float)
    if cfg.n_tasks > 1:
        y[gen.random(shape) < 0.25] = np.nan
    y = torch.as_tensor(y)
    x_d = torch.as_tensor(gen.normal(size=(b.n_graphs, cfg.d_xd))) if cfg.d_xd else None
    m = build(cfg, seed, b, gain=1.5)
    m.train()
    trace = {} if opt.get("trace") else None
    raw, lp, ent = m(b, x_d, trace)
    main = criterion(raw, y, cfg)
    loss = main + lp + ent
    loss.backward()
    with h5py.File(out, "w") as f:
        z = dict(compression="gzip", compression_opts=9, shuffle=True)
        put = lambda k, v: f.create_dataset(k, data=np.asarray(v), **(z if np.asarray(v).ndim and np.asarray(v).size else {}))
        for k, v in asdict(cfg).items():
            f.require_group("config").attrs[k] = v
        f["config"].attrs.update(case=case, seed=seed)
        f.attrs.update(system="dmpnn_diffpool", kind="model")
        f.create_dataset("inputs/text", data=np.array(text, dtype=object), dtype=h5py.string_dtype())
        for k in ("V", "E", "edge_index", "rev", "batch", "edge_weight", "atom_weight", "dop"):
            if getattr(b, k) is not None:
                put(f"inputs/{k}", getattr(b, k))
        put("inputs/y", y)
        if x_d is not None:
            put("inputs/x_d", x_d)
        for k, p in m.named_parameters():
            put(f"params/{k}", p.detach())
            g = p.grad if p.grad is not None else torch.zeros_like(p)
            put(f"grads_norm/{k}", g.norm())
            if not opt.get("norms"):
                put(f"grads/{k}", g)
            elif g.dim() == 2:
                put(f"grads_head/{k}", g[:2])
        put("outputs/raw", raw.detach())
        put("outputs/prediction", m.predict(raw).detach())
        put("loss/total", loss.detach()); put("loss/main", main.detach())
        put("loss/link", lp.detach()); put("loss/entropy", ent.detach())
        if trace:
            for k, v in trace.items():
                put(f"outputs/{k}", v.detach())
        if opt.get("bn"):
            put("outputs/running_mean", m.bn.running_mean); put("outputs/running_var", m.bn.running_var)
            m.eval()
            with torch.no_grad():
                put("outputs/raw_eval", m(b, x_d)[0])
        if opt.get("trajectory"):
            T = opt["trajectory"]
            cfg.warmup_epochs, cfg.epochs, spe = 1, 3, 4
            m2 = build(cfg, seed, b, gain=1.5)
            tr = Trainer(m2, spe)
            lrs = [learning_rate(t, cfg, spe) for t in range(T)]
            put("trajectory/loss", [tr.step(b, y, x_d) for _ in range(T)])
            put("trajectory/lr", lrs)
            f["trajectory"].attrs.update(steps_per_epoch=spe, warmup_epochs=1, epochs=3)
            for k, p in m2.named_parameters():
                put(f"trajectory/final_norm/{k}", p.detach().norm())
    return out


CORNER = ["C", "*", "[*]", "[*][*]", "[H][H]", "[2H]C([2H])O", "[13CH4]", "[NH4+]", "[O-]C=O", "[Fe+2]", "[Na+].[Cl-]",
          "C/C=C/C", "C/C=C\\C", "[*:1]C(F)(F)C[*:2]", "[*]C=C[*]", "C[C@H](O)[*]", "C[C@@H](O)[*]", "[*]C1CCC([*])C1",
          "[*]c1ccc([*])s1", "[*]c1ccc2c(c1)[nH]c1ccccc12", "CP(=O)(O)O[*]", "CS(=O)(=O)[*]", "FS(F)(F)(F)(F)F", "[*][Si](C)(C)O[*]",
          "[*]B(O)O", "[*]C#C[*]", "[CH3]", "[CH2]", "C[N+](C)(C)C", "[*][Se]c1ccccc1", "IC(Br)Cl", "[*]N=[N+]=[N-]",
          "O=C=O", "[C-]#[O+]", "[*]CCCCCC[N+]([*])(C)C", "[Cu]", "C1=CC=CC=CC=C1", "c1ccc2ccccc2c1", "C12CC1C2", "[*]OP(=N[*])(C)C",
          "[Xe]", "[U]", "N#N", "C~C", "[*]->[Cu]", "[*:1]CC([*:2])c1ccccc1.[*:3][Si](C)(C)O[*:4]"]
BAD = ["", "   ", "C(", "not a smiles", "c1cccc1", "CC(C)(C)(C)C", "[*", "C1CC"]


def graph_fixture(out, data, seed, n=160):
    import h5py
    import rdkit
    text = CORNER + pick(os.path.join(data, "egc.csv"), n, seed, "smiles")
    poly = pick(os.path.join(data, "diblock.csv"), 24, seed, "poly_chemprop_input")
    with h5py.File(out, "w") as f:
        f.attrs.update(system="dmpnn_diffpool", kind="graphs", rdkit=rdkit.__version__)
        for group, items, make in (("molecules", text, mol_graph), ("polymers", poly, polymer_graph)):
            gs = [make(t) for t in items]
            g = f.create_group(group)
            g.create_dataset("text", data=np.array(items, dtype=object), dtype=h5py.string_dtype())
            g["n_atoms"], g["n_edges"] = [len(x["V"]) for x in gs], [x["edge_index"].shape[1] for x in gs]
            for k in gs[0]:
                v = np.array([x[k] for x in gs]) if k == "dop" else np.concatenate([np.asarray(x[k]) for x in gs], -1 if k == "edge_index" else 0)
                g.create_dataset(k, data=v, compression="gzip", compression_opts=9, shuffle=True)
        f.create_dataset("rejected/text", data=np.array(BAD, dtype=object), dtype=h5py.string_dtype())
        for n_, s in ((4209, 42), (3380, 44)):
            for k, v in zip(("train", "val", "test"), holdout_split(n_, s)):
                f.create_dataset(f"splits/holdout_n{n_}_seed{s}/{k}", data=np.array(v, dtype=np.int32), compression="gzip")
        for i, parts in enumerate(kfold_splits(562, 42)):
            for k, v in zip(("train", "val", "test"), parts):
                f.create_dataset(f"splits/kfold5_n562_seed42/fold{i}_{k}", data=np.array(v, dtype=np.int32), compression="gzip")
    for t in BAD:
        try:
            mol_graph(t)
        except BadInput:
            continue
        raise SystemExit(f"{t!r} was accepted")


# ----------------------------------------------------------------------------------------------
# 7. Benchmark
# ----------------------------------------------------------------------------------------------
def median_time(fn, repeat):
    fn()
    t = []
    for _ in range(repeat):
        a = time.perf_counter(); fn(); t.append(time.perf_counter() - a)
    return statistics.median(t)


def bench(threads, repeat, data, n=64, seed=7):
    torch.set_num_threads(threads)
    text = pick(os.path.join(data, "egc.csv"), 256, seed, "smiles")
    t0 = time.perf_counter()
    graphs = [mol_graph(t) for t in text]
    featurise = time.perf_counter() - t0
    b = collate(graphs[:n], torch.float32)
    y = torch.randn(n, 1, generator=torch.Generator().manual_seed(0))
    out = dict(threads=threads, molecules=n, atoms=len(b.V), directed_edges=b.edge_index.shape[1],
               featurise_molecules_per_s=len(text) / featurise, d_h=300, dtype="float32")
    for name, kw in (("dmpnn", dict(encoder="dmpnn")), ("diffpool", {}), ("diffpool_levels2", dict(diffpool_depth=2)),
                     ("diffpool_levels2_dense", dict(diffpool_depth=2, diffpool_topk=0))):
        cfg = Config(**kw)
        tr = Trainer(build(cfg, 0, b, torch.float32), 66)
        s = median_time(lambda: tr.step(b, y), repeat)
        out[name] = dict(step_s=s, epoch_4210_s=s * math.ceil(4210 / n))
        with torch.no_grad():
            out[name]["forward_s"] = median_time(lambda: tr.model(b), repeat)
    for size in (16, 64, 256):
        bb = collate(graphs[:size], torch.float32)
        for k in (3, 0):
            cfg = Config(diffpool_topk=k)
            c = cluster_counts(torch.bincount(bb.batch), 0.5)
            P, J = sparse_assignment(torch.randn(len(bb.V), int(c.max())), bb.batch, c, cfg)
            out[f"coarsen_batch{size}_topk{k}_s"] = median_time(
                lambda: coarse_edges(P, J, bb.E, bb.edge_index, bb.batch, c, cfg), repeat)
    print(json.dumps(out, indent=1))


def train(data, encoder, epochs, seed, target="value", file="egc.csv", rows=0, **kw):
    """Plain training run in float32: first replicate, best validation weights, test metrics."""
    smiles, y = load_csv(os.path.join(data, file), targets=(target,))
    if rows:
        smiles, y = smiles[:rows], y[:rows]
    graphs = [mol_graph(s) for s in smiles]
    tr_i, va_i, te_i = splits(len(y), 42)[0]
    mean, scale = np.nanmean(y[tr_i]), np.nanstd(y[tr_i])
    ys = torch.as_tensor((y - mean) / scale, dtype=torch.float32)
    cfg = Config(encoder=encoder, epochs=epochs, **kw)
    if encoder == "diffpool":
        cfg.head_width = max(int(cluster_counts(torch.tensor([len(graphs[i]["V"])]), cfg.diffpool_ratio)) for i in tr_i)
    model = initialise(Model(cfg).float(), seed)
    run = Trainer(model, math.ceil(len(tr_i) / 64))
    gen = np.random.default_rng(seed)

    def evaluate(idx):
        model.eval()
        with torch.no_grad():
            return torch.cat([model(collate([graphs[i] for i in idx[k:k + 64]], torch.float32))[0] for k in range(0, len(idx), 64)])
    best, keep, history = math.inf, None, []
    t0 = time.perf_counter()
    for ep in range(epochs):
        order = gen.permutation(tr_i)
        order = order[:-1] if len(order) % 64 == 1 else order
        for k in range(0, len(order), 64):
            idx = order[k:k + 64]
            run.step(collate([graphs[i] for i in idx], torch.float32), ys[idx])
        val = float(criterion(evaluate(va_i), ys[va_i], cfg))
        history.append(val)
        if val < best:
            best, keep = val, {k: v.clone() for k, v in model.state_dict().items()}
    wall = time.perf_counter() - t0
    model.load_state_dict(keep)
    pred = evaluate(te_i).double().numpy() * scale + mean
    out = dict(encoder=encoder, epochs=epochs, seed=seed, train=len(tr_i), options=kw, s_per_epoch=wall / epochs, best_val=best,
               val_history=[round(v, 4) for v in history], **{k: float(v) for k, v in regression_metrics(pred, y[te_i]).items()})
    print(json.dumps(out))
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sub = ap.add_subparsers(dest="cmd", required=True)
    sub.add_parser("check")
    f = sub.add_parser("fixture", help="write one golden file")
    f.add_argument("--seed", type=int, default=1)
    f.add_argument("--out", required=True)
    f.add_argument("--case", default="tiny", choices=list(CASES) + ["graphs"])
    f.add_argument("--data", default=DATA)
    t = sub.add_parser("bench")
    t.add_argument("--threads", type=int, default=2)
    t.add_argument("--repeat", type=int, default=7)
    t.add_argument("--data", default=DATA)
    r = sub.add_parser("train", help="first replicate of egc.csv, prints test metrics")
    r.add_argument("--encoder", default="diffpool", choices=["dmpnn", "diffpool"])
    r.add_argument("--epochs", type=int, default=30)
    r.add_argument("--seed", type=int, default=0)
    r.add_argument("--threads", type=int, default=1)
    r.add_argument("--diffpool_depth", type=int, default=1)
    r.add_argument("--aux_reduction", default="mean")
    r.add_argument("--adjacency_scale", type=float, default=1.0)
    r.add_argument("--data", default=DATA)
    a = ap.parse_args()
    if a.cmd == "train":
        torch.set_num_threads(a.threads)
        train(a.data, a.encoder, a.epochs, a.seed, diffpool_depth=a.diffpool_depth, aux_reduction=a.aux_reduction,
              adjacency_scale=a.adjacency_scale)
    elif a.cmd == "check":
        check()
    elif a.cmd == "bench":
        bench(a.threads, a.repeat, a.data)
    elif a.case == "graphs":
        graph_fixture(a.out, a.data, a.seed)
    else:
        fixture(a.case, a.seed, a.out, a.data)


if __name__ == "__main__":
    main()
