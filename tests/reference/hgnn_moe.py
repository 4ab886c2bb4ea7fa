#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Executable specification of `hgnn_moe`: a causal language model in which every layer runs all of its experts
(transformer blocks) on every token and a graph coupler mixes the expert outputs of each token.

Plain PyTorch. Parameter names and shapes are those of the published code's state_dict.

    python hgnn_moe.py check                                     self-test (float64, about a minute on one core)
    python hgnn_moe.py fixture --case NAME --seed S --out F.h5   one golden file   (--list shows the cases)
    python hgnn_moe.py fixture --all DIR --seed S                all golden files
    python hgnn_moe.py bench [--what coupler|step] [--threads T] timings as JSON
    python hgnn_moe.py train --text F.txt --steps N              a small training run on bytes
"""
import argparse
import json
import math
import statistics
import time
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
TEXT = HERE.parents[1] / "README.md"


# ------------------------------------------------------------------------------------------------ configuration
@dataclass
class Config:
    vocab_size: int = 256            # bytes; the published default is 50257 (GPT-2 BPE)
    max_seq_length: int = 128
    embed_dim: int = 256
    num_layers: int = 4
    num_heads: int = 0               # 0: embed_dim/64 if divisible, else 8
    dropout_rate: float = 0.1
    num_experts: int = 4
    gnn_layers: int = 2
    coupler_type: str = "GNN"        # GNN | HGNN
    static_hyperedge_strategy: str = "all_pairs"      # all_pairs | all_triplets | all
    hgnn_learnable_edge_weights: bool = True
    hgnn_norm: str = "pyg"           # pyg: weights only in the node degree; paper: also in the numerator
    hgnn_weight_transform: str = "none"               # none | softplus
    hgnn_path: str = "collapsed"     # collapsed | dense | looped: the same function, three evaluation orders
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    eta_min: float = 1e-6
    clip_norm: float = 1.0
    # optional specialisation losses
    apply_orthogonality_loss: bool = False
    orthogonality_loss_weight: float = 0.1
    orthogonality_aggregation: str = "mean"           # mean | pool
    orthogonality_loss_type: str = "gram_identity"    # gram_identity | cosine_similarity
    orthogonality_warmup_steps: int = 1000
    apply_weight_orthogonality_loss: bool = False
    weight_orthogonality_loss_weight: float = 0.05
    weight_orthogonality_target_layer: str = "ffn_input"   # ffn_input | ffn_output | attention | combined
    # optional ghost experts
    num_ghost_experts: int = 0
    ghost_activation_threshold: float = 0.7

    def __post_init__(self):
        if self.num_heads == 0:
            self.num_heads = self.embed_dim // 64 if self.embed_dim % 64 == 0 else 8
        if self.embed_dim % self.num_heads:
            raise ValueError("embed_dim must be divisible by num_heads")


# --------------------------------------------------------------------------------------------------- hypergraph
def hyperedges(num_experts, strategy):
    """Member lists in the order that fixes the index of each hyperedge weight."""
    if strategy == "all":
        return [tuple(range(num_experts))] if num_experts else []
    size = {"all_pairs": 2, "all_triplets": 3}[strategy]
    return list(combinations(range(num_experts), size))


def incidence(num_experts, edges, dtype):
    H = torch.zeros(num_experts, len(edges), dtype=dtype)
    for e, members in enumerate(edges):
        H[list(members), e] = 1
    return H


def mixing_matrix(H, w, norm="pyg"):
    """M (E x E), so that one hypergraph convolution of one token is  M X Theta^T + 1 b.

    pyg:   D^-1 H   B^-1 H^T,  D = diag(H w): what the library computes (the weights enter the degree only)
    paper: D^-1 H W B^-1 H^T
    A zero degree (isolated node, or weights that cancel exactly) gives a zero row.
    """
    degree = H @ w
    inv = torch.where(degree == 0, torch.zeros_like(degree), 1 / torch.where(degree == 0, torch.ones_like(degree), degree))
    S = (H / H.sum(0)) @ H.T if norm == "pyg" else (H * (w / H.sum(0))) @ H.T
    return inv[:, None] * S


# ------------------------------------------------------------------------------------------------------- modules
class Attention(nn.Module):
    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x, allowed, tap):
        B, L, D = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        score = (q @ k.transpose(-1, -2)) / math.sqrt(D // self.heads)                     # B, heads, L, L
        score = score.masked_fill(~allowed[:, None], float("-inf"))
        empty = ~allowed.any(-1)[:, None, :, None]                                         # a query without any key
        p = torch.softmax(score.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
        tap("attention_probs", p)
        p = F.dropout(p, self.dropout, self.training)
        context = (p @ v).transpose(1, 2).reshape(B, L, D)
        tap("attention_context", context)
        return self.out_proj(context)


class ExpertBlock(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        D = cfg.embed_dim
        self.attention = Attention(D, cfg.num_heads, cfg.dropout_rate)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.ffn = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Dropout(cfg.dropout_rate),
                                 nn.Linear(4 * D, D), nn.Dropout(cfg.dropout_rate))

    def forward(self, x, allowed, tap):
        a = tap("norm1", self.norm1(x))
        h = tap("after_attention", x + self.attention(a, allowed, tap))
        n = tap("norm2", self.norm2(h))
        return tap("output", h + self.ffn(n))


class GraphConv(nn.Module):
    """Message passing between all ordered pairs of distinct experts; one scalar gate per pair and token."""

    def __init__(self, dim, experts):
        super().__init__()
        self.neighbor_transform, self.self_transform = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.message_weight = nn.Linear(2 * dim, 1)
        self.adjacency_logits = nn.Parameter(torch.randn(experts, experts))

    def gate(self, X):                                                                     # X: T, E, D
        D = X.shape[-1]
        receiver, sender = self.message_weight.weight[0].split(D)
        content = torch.sigmoid((X @ receiver)[:, :, None] + (X @ sender)[:, None, :] + self.message_weight.bias)
        off = 1 - torch.eye(X.shape[1], dtype=X.dtype)
        return torch.sigmoid(self.adjacency_logits) * content * off                        # T, E(receiver), E(sender)

    def forward(self, X, tap):
        alpha = tap("gate", self.gate(X))
        message = tap("message", alpha @ X)
        mine = self.self_transform(X)
        # with one expert the published code drops the neighbour branch together with its bias
        pre = mine + self.neighbor_transform(message) if X.shape[1] > 1 else mine
        return tap("update", F.gelu(pre))


class Combiner(nn.Sequential):
    def __init__(self, dim):
        super().__init__(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))


class GNNCoupler(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.gnn_layers_module = nn.ModuleList(GraphConv(cfg.embed_dim, cfg.num_experts) for _ in range(cfg.gnn_layers))
        self.combiner = Combiner(cfg.embed_dim)

    def forward(self, X, tap):
        for k, layer in enumerate(self.gnn_layers_module):
            X = X + layer(X, tap.under(f"conv{k}"))
        return self.combiner(tap("pooled", X.mean(1)))


class HyperConv(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.lin = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(dim))


class Wrapped(nn.Module):                                  # only gives the parameter names their extra "conv."
    def __init__(self, dim):
        super().__init__()
        self.conv = HyperConv(dim)


class HGNNCoupler(nn.Module):
    """`gnn_layers` hypergraph convolutions without activation in between, mean over experts, combiner."""

    def __init__(self, cfg, experts=None, ghost=False):
        super().__init__()
        self.cfg, self.experts, self.ghost = cfg, experts or cfg.num_experts, ghost
        D = cfg.embed_dim
        self.hgnn_layers_module = nn.ModuleList(HyperConv(D) if ghost else Wrapped(D) for _ in range(cfg.gnn_layers))
        self.combiner = Combiner(D)
        count = len(hyperedges(self.experts, cfg.static_hyperedge_strategy))
        self.hyperedge_weights = nn.Parameter(torch.randn(count)) if cfg.hgnn_learnable_edge_weights and count else None

    def convs(self):
        return [m if self.ghost else m.conv for m in self.hgnn_layers_module]

    def matrix(self, X):
        edges = hyperedges(X.shape[1], self.cfg.static_hyperedge_strategy)
        if not edges:
            return None
        H = incidence(X.shape[1], edges, X.dtype)
        w = torch.ones(len(edges), dtype=X.dtype)
        if self.hyperedge_weights is not None and not self.ghost:
            w = F.softplus(self.hyperedge_weights) if self.cfg.hgnn_weight_transform == "softplus" else self.hyperedge_weights
        return mixing_matrix(H, w, self.cfg.hgnn_norm)

    def forward(self, X, tap, path=None):                                                  # X: T, E, D
        M = self.matrix(X)
        if M is None:                                      # no hyperedges: the convolutions are skipped altogether
            return self.combiner(tap("pooled", X.mean(1)))
        tap("mixing_matrix", M)
        pooled = getattr(self, path or self.cfg.hgnn_path)(M, X, tap)
        return self.combiner(tap("pooled", pooled))

    def looped(self, M, X, tap):
        out = []
        for x in X:
            for c in self.convs():
                x = M @ c.lin(x) + c.bias
            out.append(x)
        return torch.stack(out).mean(1)

    def dense(self, M, X, tap):
        for k, c in enumerate(self.convs()):
            X = tap(f"conv{k}", M @ c.lin(X) + c.bias)
        return X.mean(1)

    def collapsed(self, M, X, tap):
        """No non-linearity sits between the convolutions, so the mean over experts commutes through all of them:
        v_k = (1/E) 1^T M^k,  p_0 = sum_e (v_n)_e X_e,  p_l = p_{l-1} Theta_l^T + (v_{n-l} . 1) b_l,  pooled = p_n."""
        n = len(self.convs())
        v = [torch.full((X.shape[1],), 1 / X.shape[1], dtype=X.dtype)]
        for _ in range(n):
            v.append(v[-1] @ M)
        p = torch.einsum("e,ted->td", v[n], X)
        for l, c in enumerate(self.convs(), 1):
            p = c.lin(p) + v[n - l].sum() * c.bias
        return p


class Layer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.experts = nn.ModuleList(ExpertBlock(cfg) for _ in range(cfg.num_experts))
        self.coupler = {"GNN": GNNCoupler, "HGNN": HGNNCoupler}[cfg.coupler_type](cfg)

    def forward(self, x, allowed, tap):
        B, L, D = x.shape
        X = torch.stack([e(x, allowed, tap.under(f"expert{i}")) for i, e in enumerate(self.experts)], 2)
        self.expert_outputs = X
        y = self.coupler(X.reshape(B * L, -1, D), tap.under("coupler")).view(B, L, D)
        return tap("output", x + tap("coupled", y))


class Tap:
    """Records named intermediates when it has a dictionary, does nothing otherwise."""

    def __init__(self, store=None, prefix=""):
        self.store, self.prefix = store, prefix

    def under(self, name):
        return Tap(self.store, f"{self.prefix}{name}.")

    def __call__(self, name, value):
        if self.store is not None:
            self.store[self.prefix + name] = value.detach().clone()
        return value


def init_weights(model):
    for m in model.modules():
        if isinstance(m, HyperConv):
            a = math.sqrt(6 / (m.lin.in_features + m.lin.out_features))
            nn.init.uniform_(m.lin.weight, -a, a)
    keep = {id(m.lin) for m in model.modules() if isinstance(m, HyperConv)}
    for m in model.modules():
        if isinstance(m, (nn.Linear, nn.Embedding)) and id(m) not in keep:
            nn.init.normal_(m.weight, 0.0, 0.02)
            if isinstance(m, nn.Linear) and m.bias is not None:
                nn.init.zeros_(m.bias)


class Model(nn.Module):
    layer_class = Layer

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.token_emb = nn.Embedding(cfg.vocab_size, cfg.embed_dim)
        self.pos_emb = nn.Embedding(cfg.max_seq_length, cfg.embed_dim)
        self.model_layers = nn.ModuleList(self.layer_class(cfg) for _ in range(cfg.num_layers))
        self.output_norm = nn.LayerNorm(cfg.embed_dim)
        self.lm_head = nn.Linear(cfg.embed_dim, cfg.vocab_size)
        init_weights(self)

    def forward(self, ids, attention_mask=None, store=None):
        B, L = ids.shape
        if L > self.cfg.max_seq_length:
            raise ValueError("sequence longer than max_seq_length")
        tap = Tap(store)
        x = tap("embedding", self.token_emb(ids) + self.pos_emb.weight[:L])
        x = F.dropout(x, self.cfg.dropout_rate, self.training)
        allowed = torch.ones(L, L, dtype=torch.bool).tril().expand(B, L, L)
        if attention_mask is not None:
            allowed = allowed & attention_mask.bool()[:, None, :]
        for i, layer in enumerate(self.model_layers):
            x = layer(x, allowed, tap.under(f"layer{i}"))
        return self.lm_head(tap("output_norm", self.output_norm(x)))


def make_labels(ids, attention_mask):
    return ids if attention_mask is None else ids * attention_mask.long()


def lm_loss(logits, labels, ignore=0):
    """Mean cross entropy of token t+1 given logits at t over targets != ignore; 0 if there is no target."""
    target = labels[:, 1:].reshape(-1)
    flat = logits[:, :-1].reshape(-1, logits.shape[-1])
    valid = target != ignore
    if not valid.any():
        return flat.sum() * 0.0
    return (torch.logsumexp(flat[valid], -1) - flat[valid].gather(1, target[valid, None])[:, 0]).mean()


# ------------------------------------------------------------------------------------ specialisation losses (optional)
def output_orthogonality(X, kind="gram_identity", aggregation="mean"):
    """X: B, L, E, D expert outputs of one layer (every position counts, padding included)."""
    E = X.shape[2]
    flat = X.reshape(-1, E, X.shape[-1])
    R = flat.mean(0, keepdim=True) if aggregation == "mean" else flat
    if kind == "cosine_similarity":
        R = R / R.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    G = (R @ R.transpose(1, 2)).mean(0)
    eye = torch.eye(E, dtype=X.dtype)
    if kind == "gram_identity":
        return ((G - eye) ** 2).mean()
    return (G[eye == 0] ** 2).mean()


def target_weights(layer, target):
    names = {"ffn_input": ["ffn"], "ffn_output": ["out"], "attention": ["att"], "combined": ["ffn", "out", "att"]}[target]
    pick = {"ffn": lambda e: e.ffn[0].weight, "out": lambda e: e.ffn[3].weight, "att": lambda e: e.attention.in_proj_weight}
    return [pick[n](e) for n in names for e in layer.experts]


def weight_orthogonality(weights):
    """|Gram - I|^2 mean over all pairs of flattened weight matrices (shorter ones padded with zeros)."""
    if len(weights) < 2:
        return torch.zeros((), dtype=weights[0].dtype)
    size = max(w.numel() for w in weights)
    R = torch.stack([F.pad(w.reshape(-1), (0, size - w.numel())) for w in weights])
    return ((R @ R.T - torch.eye(len(weights), dtype=R.dtype)) ** 2).mean()


def specialisation_loss(model, step):
    cfg = model.cfg
    warm = 1.0 if cfg.orthogonality_warmup_steps <= 0 else min(1.0, step / cfg.orthogonality_warmup_steps)
    total = 0.0
    for layer in model.model_layers:
        if cfg.apply_orthogonality_loss:
            total = total + warm * cfg.orthogonality_loss_weight * output_orthogonality(
                layer.expert_outputs, cfg.orthogonality_loss_type, cfg.orthogonality_aggregation)
        if cfg.apply_weight_orthogonality_loss:
            total = total + warm * cfg.weight_orthogonality_loss_weight * weight_orthogonality(
                target_weights(layer, cfg.weight_orthogonality_target_layer))
    return total


# ------------------------------------------------------------------------------------------- ghost experts (optional)
class GhostController:
    """Turns dormant ghosts on, one per saturated step, otherwise ramps the level of those that are on: 0.01, 0.02, ... 1."""

    def __init__(self, ghosts):
        self.count, self.level = [0] * ghosts, [0.0] * ghosts     # count: 0 dormant, 1..99 activating, 100 active

    def update(self, saturated):
        if saturated and 0 in self.count:
            self.count[self.count.index(0)] = 1
        else:
            self.count = [min(100, c + 1) if c else 0 for c in self.count]
        self.level = [c / 100 for c in self.count]


def saturation(primary, x):
    """primary: list of B, L, D. Orthogonality of the mean expert vectors times the variance left unexplained."""
    X = torch.stack(primary, 2)
    R = X.mean((0, 1))
    R = R / R.norm(dim=1, keepdim=True).clamp(min=1e-12)
    score = 1 - ((R @ R.T - torch.eye(len(primary), dtype=R.dtype)) ** 2).mean()
    return (score * torch.var(x - X.mean(2))).item()


class TripleCoupler(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        E, G = cfg.num_experts, cfg.num_ghost_experts
        self.primary_coupler, self.ghost_coupler, self.mixed_coupler = (HGNNCoupler(cfg, n, True) for n in (E, G, E + G))
        self.coupling_weights = nn.Parameter(torch.ones(3) / 3)

    def forward(self, primary, ghosts, levels, tap):
        active = [g for g, a in zip(ghosts, levels) if a > 0.1]
        run = lambda c, xs, name: c(torch.stack(xs, 2).flatten(0, 1), tap.under(name)).view_as(xs[0])
        p = run(self.primary_coupler, primary, "primary")
        g = run(self.ghost_coupler, active, "ghost") if len(active) >= 2 else torch.zeros_like(p)
        m = run(self.mixed_coupler, primary + active, "mixed") if active else torch.zeros_like(p)
        w = torch.softmax(self.coupling_weights, 0)
        return w[0] * p + w[1] * g + w[2] * m


class GhostLayer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.primary_experts = nn.ModuleList(ExpertBlock(cfg) for _ in range(cfg.num_experts))
        self.ghost_experts = nn.ModuleList(ExpertBlock(cfg) for _ in range(cfg.num_ghost_experts))
        self.coupler = TripleCoupler(cfg)
        self.controller, self.threshold = GhostController(cfg.num_ghost_experts), cfg.ghost_activation_threshold
        self.frozen = False                                # True: levels stay as they are (evaluation, fixtures)

    def forward(self, x, allowed, tap):
        run = lambda experts, name: [e(x, allowed, tap.under(f"{name}{i}")) for i, e in enumerate(experts)]
        primary = run(self.primary_experts, "primary")
        used = list(self.controller.level)                 # this forward still scales with the previous step's levels
        ghosts = [a * g for a, g in zip(used, run(self.ghost_experts, "ghost"))]
        self.last_saturation = saturation(primary, x)
        if not self.frozen:
            self.controller.update(self.last_saturation > self.threshold)
        y = self.coupler(primary, ghosts, self.controller.level, tap.under("coupler"))
        return tap("output", x + tap("coupled", y))


class GhostModel(Model):
    layer_class = GhostLayer


# --------------------------------------------------------------------------------------------------- training pieces
class AdamW:
    def __init__(self, params, weight_decay, betas=(0.9, 0.999), eps=1e-8):
        self.params, self.wd, self.betas, self.eps, self.t = list(params), weight_decay, betas, eps, 0
        self.m = [torch.zeros_like(p) for p in self.params]
        self.v = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lr):
        self.t += 1
        b1, b2 = self.betas
        for p, m, v in zip(self.params, self.m, self.v):
            if p.grad is None:
                continue
            p.mul_(1 - lr * self.wd)
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            p.addcdiv_(m, (v / (1 - b2 ** self.t)).sqrt_().add_(self.eps), value=-lr / (1 - b1 ** self.t))


def cosine_lr(step, total, lr, eta_min):
    return eta_min + 0.5 * (lr - eta_min) * (1 + math.cos(math.pi * step / total))


def clip_gradients(params, limit):
    grads = [p.grad for p in params if p.grad is not None]
    norm = torch.sqrt(sum((g * g).sum() for g in grads))
    scale = min(1.0, limit / (norm.item() + 1e-6))
    for g in grads:
        g.mul_(scale)
    return norm.item()


def train_step(model, opt, ids, mask, lr):
    cfg = model.cfg
    for p in model.parameters():
        p.grad = None
    loss = lm_loss(model(ids, mask), make_labels(ids, mask))
    total = loss + specialisation_loss(model, opt.t) if isinstance(model, Model) and not isinstance(model, GhostModel) else loss
    total.backward()
    norm = clip_gradients(opt.params, cfg.clip_norm)
    opt.step(lr)
    return loss.item(), norm


@torch.no_grad()
def evaluate(model, batches):
    """Token-weighted mean loss and perplexity exp(min(loss, 20)); batches: iterable of (ids, mask or None)."""
    was, total, count = model.training, 0.0, 0
    model.eval()
    for ids, mask in batches:
        labels = make_labels(ids, mask)
        n = int((labels[:, 1:] != 0).sum())
        if n:
            total, count = total + lm_loss(model(ids, mask), labels).item() * n, count + n
    model.train(was)
    loss = total / count if count else float("inf")
    return loss, math.exp(min(loss, 20))


# ----------------------------------------------------------------------------------------------------------- text data
def byte_tokenise(data: bytes):
    if b"\0" in data:
        raise ValueError("NUL byte in text: id 0 is the padding id")
    return list(data)


def line_samples(data: bytes, length, min_chars=30):
    """Lines, stripped of ASCII white space, of more than min_chars characters (UTF-8 code points), one sample each:
    truncated to `length` bytes or padded on the right with id 0. Returns ids and attention mask (N, length)."""
    ids, mask = [], []
    for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        line = line.strip(b" \t\v\f")
        if sum((c & 0xC0) != 0x80 for c in line) <= min_chars:
            continue
        row = byte_tokenise(line)[:length]
        ids.append(row + [0] * (length - len(row)))
        mask.append([1] * len(row) + [0] * (length - len(row)))
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)


def stream_windows(data: bytes, length):
    """Non-overlapping windows of the byte stream; an incomplete last window is dropped."""
    t = torch.tensor(byte_tokenise(data), dtype=torch.long)
    return t[: len(t) // length * length].view(-1, length)


# ---------------------------------------------------------------------------------------------------------- generation
def filter_logits(z, temperature=1.0, top_k=0, top_p=0.0):
    """z: vocabulary logits of one position. Order: temperature, top-k, nucleus."""
    if temperature not in (0.0, 1.0):
        z = z / temperature
    if top_k > 0:
        keep = torch.topk(z, min(top_k, len(z))).indices
        z = torch.full_like(z, float("-inf")).scatter(0, keep, z[keep])
    if 0.0 < top_p < 1.0:
        order = torch.argsort(z, descending=True, stable=True)
        before = F.pad(torch.softmax(z[order], 0).cumsum(0)[:-1], (1, 0))
        z = z.clone()
        z[order[before > top_p]] = float("-inf")           # the mass ranked before the token already exceeds top_p
    return z


@torch.no_grad()
def generate(model, prompt, max_new, temperature=0.0, top_k=0, top_p=0.0, eos=None, seed=None, logits_out=None):
    model.eval()
    gen = torch.Generator().manual_seed(seed) if seed is not None else None
    ids = list(prompt)
    for _ in range(max_new):
        if len(ids) >= model.cfg.max_seq_length:
            break
        z = model(torch.tensor([ids]))[0, -1]
        if logits_out is not None:
            logits_out.append(z.clone())
        if temperature == 0.0 or top_k == 1:
            token = int(z.argmax())
        else:
            token = int(torch.multinomial(torch.softmax(filter_logits(z, temperature, top_k, top_p), 0), 1, generator=gen))
        ids.append(token)
        if eos is not None and token == eos:
            break
    return ids


# --------------------------------------------------------------------------- hand-derived backward passes (no autograd)
def gelu_grad(u):
    return 0.5 * (1 + torch.erf(u / math.sqrt(2))) + u * torch.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)


def layernorm_backward(dy, u, gamma, eps=1e-5):
    mu, var = u.mean(-1, keepdim=True), u.var(-1, unbiased=False, keepdim=True)
    r = 1 / torch.sqrt(var + eps)
    xh = (u - mu) * r
    g = dy * gamma
    du = r * (g - g.mean(-1, keepdim=True) - xh * (g * xh).mean(-1, keepdim=True))
    return du, (dy * xh).flatten(0, -2).sum(0), dy.flatten(0, -2).sum(0)


def combiner_backward(combiner, pooled, dy):
    """Gradients of Linear -> GELU -> LayerNorm: (d pooled, {parameter: gradient})."""
    u = pooled @ combiner[0].weight.T + combiner[0].bias
    dg, dgamma, dbeta = layernorm_backward(dy, F.gelu(u), combiner[2].weight)
    du = dg * gelu_grad(u)
    return du @ combiner[0].weight, {"combiner.0.weight": du.T @ pooled, "combiner.0.bias": du.sum(0),
                                     "combiner.2.weight": dgamma, "combiner.2.bias": dbeta}


@torch.no_grad()
def hgnn_backward(coupler, X, dy):
    """Backward of the whole HGNN coupler through the collapsed form. X: T, E, D; dy: T, D."""
    convs, E, n = coupler.convs(), X.shape[1], len(coupler.convs())
    M = coupler.matrix(X)
    if M is None:
        dpool, grads = combiner_backward(coupler.combiner, X.mean(1), dy)
        return (dpool / E)[:, None, :].expand_as(X).clone(), grads
    v = [torch.full((E,), 1 / E, dtype=X.dtype)]
    for _ in range(n):
        v.append(v[-1] @ M)
    a = [None] + [v[n - l].sum() for l in range(1, n + 1)]
    p = [torch.einsum("e,ted->td", v[n], X)]
    for l, c in enumerate(convs, 1):
        p.append(p[-1] @ c.lin.weight.T + a[l] * c.bias)
    dp, grads = combiner_backward(coupler.combiner, p[n], dy)
    da = [None] * (n + 1)
    for l in range(n, 0, -1):
        c, name = convs[l - 1], f"hgnn_layers_module.{l - 1}." + ("" if coupler.ghost else "conv.")
        column = dp.sum(0)
        grads[name + "bias"], da[l] = a[l] * column, column @ c.bias
        grads[name + "lin.weight"] = dp.T @ p[l - 1]
        dp = dp @ c.lin.weight
    dX = v[n][None, :, None] * dp[:, None, :]
    if coupler.hyperedge_weights is None or coupler.ghost:
        return dX, grads
    dv, dM = torch.einsum("td,ted->e", dp, X), torch.zeros_like(M)
    for k in range(n - 1, -1, -1):                         # v_{k+1} = v_k M;  a_{n-k} = v_k . 1
        dM += torch.outer(v[k], dv)
        dv = M @ dv + da[n - k]
    H = incidence(E, hyperedges(E, coupler.cfg.static_hyperedge_strategy), X.dtype)
    raw = coupler.hyperedge_weights
    w = F.softplus(raw) if coupler.cfg.hgnn_weight_transform == "softplus" else raw
    degree, size = H @ w, H.sum(0)
    inv = torch.where(degree == 0, torch.zeros_like(degree), 1 / torch.where(degree == 0, torch.ones_like(degree), degree))
    paper = coupler.cfg.hgnn_norm == "paper"
    S = (H * (w / size if paper else 1 / size)) @ H.T
    dw = H.T @ (-(inv ** 2) * (dM * S).sum(1))             # through the degrees
    if paper:                                              # and through the numerator: dS_uv = inv_u dM_uv
        dw += torch.einsum("ue,uv,ve->e", H, inv[:, None] * dM, H) / size
    if coupler.cfg.hgnn_weight_transform == "softplus":
        dw = dw * torch.sigmoid(raw)
    grads["hyperedge_weights"] = dw
    return dX, grads


@torch.no_grad()
def gnn_backward(coupler, X, dy):
    """Backward of the whole GNN coupler. X: T, E, D; dy: T, D."""
    layers, E, D = coupler.gnn_layers_module, X.shape[1], X.shape[2]
    Xs = [X]
    for layer in layers:
        Xs.append(Xs[-1] + layer(Xs[-1], Tap()))
    dpool, grads = combiner_backward(coupler.combiner, Xs[-1].mean(1), dy)
    dX = (dpool / E)[:, None, :].expand_as(X).clone()
    for k in range(len(layers) - 1, -1, -1):
        layer, X, pre = layers[k], Xs[k], f"gnn_layers_module.{k}."
        Wn, Ws = layer.neighbor_transform.weight, layer.self_transform.weight
        receiver, sender = layer.message_weight.weight[0].split(D)
        A = torch.sigmoid(layer.adjacency_logits) * (1 - torch.eye(E, dtype=X.dtype))
        C = torch.sigmoid((X @ receiver)[:, :, None] + (X @ sender)[:, None, :] + layer.message_weight.bias)
        m = (A * C) @ X
        u = X @ Ws.T + layer.self_transform.bias + (m @ Wn.T + layer.neighbor_transform.bias if E > 1 else 0)
        du = dX * gelu_grad(u)                             # T, E, D
        flat = lambda t: t.reshape(-1, D)
        grads[pre + "self_transform.weight"], grads[pre + "self_transform.bias"] = flat(du).T @ flat(X), flat(du).sum(0)
        grads[pre + "neighbor_transform.weight"] = flat(du).T @ flat(m)
        grads[pre + "neighbor_transform.bias"] = flat(du).sum(0) * (E > 1)
        dm = du @ Wn
        dalpha = dm @ X.transpose(1, 2)                    # T, receiver, sender
        dlogit = dalpha * A * C * (1 - C)                  # argument of the content sigmoid
        rows, cols = dlogit.sum(2), dlogit.sum(1)          # by receiver, by sender
        grads[pre + "adjacency_logits"] = (dalpha * C).sum(0) * A * (1 - A)
        grads[pre + "message_weight.weight"] = torch.cat([torch.einsum("te,ted->d", rows, X),
                                                          torch.einsum("te,ted->d", cols, X)])[None]
        grads[pre + "message_weight.bias"] = rows.sum()[None]
        dX = dX + du @ Ws + (A * C).transpose(1, 2) @ dm + rows[..., None] * receiver + cols[..., None] * sender
    return dX, grads


# ------------------------------------------------------------------------------------------------------------ fixtures
GRID = 2.0 ** -12                                          # random parameters lie on a grid, so that files compress


def randomise(model, seed, gain=1.0):
    """Random but not tiny parameters, in the order of their names."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            z = torch.randn(p.shape, generator=g, dtype=torch.float64)
            if name.endswith("hyperedge_weights"):
                z = 0.6 + torch.rand(p.shape, generator=g, dtype=torch.float64)
            elif "norm" in name or "combiner.2" in name:
                z = 0.3 * z + (1.0 if name.endswith("weight") else 0.0)
            elif p.dim() == 1 or "adjacency" in name or "emb" in name:
                z = 0.6 * z
            else:
                z = 1.2 * gain * z / math.sqrt(p.shape[1])
            p.copy_((z / GRID).round() * GRID)
    return model


def build(cfg, seed, gain=1.0):
    return randomise((GhostModel if cfg.num_ghost_experts else Model)(cfg).double(), seed, gain)


def random_batch(cfg, seed, B, L, lengths=None):
    g = torch.Generator().manual_seed(seed + 1000)
    ids = torch.randint(1, cfg.vocab_size, (B, L), generator=g)
    mask = torch.ones(B, L, dtype=torch.long)
    for b, n in enumerate(lengths or []):
        mask[b, n:] = 0
    return ids * mask, mask


def text_batch(seed, B, L, text=None):
    data = Path(text or TEXT).read_bytes()
    ids, mask = line_samples(data, L)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))[:B]
    return ids[order], mask[order]


TINY = Config(vocab_size=17, max_seq_length=6, embed_dim=8, num_layers=1, num_heads=2, dropout_rate=0.0, num_experts=3, gnn_layers=2)
REAL = Config(vocab_size=256, max_seq_length=64, embed_dim=32, num_layers=2, num_heads=4, dropout_rate=0.0, num_experts=4, gnn_layers=2)
H, T3 = dict(coupler_type="HGNN"), dict(static_hyperedge_strategy="all_triplets")
MODEL_CASES = {
    # name: (configuration, batch, what to store besides loss, logits and gradients)
    "tiny_hgnn_pairs": (replace(TINY, **H), dict(B=2, L=5, lengths=[5, 3]), {"taps", "trajectory"}),
    "tiny_gnn": (replace(TINY, num_layers=2), dict(B=2, L=5, lengths=[5, 3]), {"taps", "trajectory"}),
    "tiny_hgnn_triplets": (replace(TINY, num_layers=2, num_experts=4, gnn_layers=3, **H, **T3), dict(B=3, L=6, lengths=[6, 2, 4]), {"taps"}),
    "tiny_hgnn_pairs4": (replace(TINY, num_experts=4, **H), dict(B=2, L=6), {"taps", "negative"}),
    "real_hgnn": (replace(REAL, **H), dict(B=8, L=64), {"text"}),
    "real_gnn": (REAL, dict(B=8, L=64), {"text"}),
    "edge_one_expert_gnn": (replace(TINY, num_experts=1), dict(B=2, L=4), {"taps"}),
    "edge_one_expert_hgnn": (replace(TINY, num_experts=1, **H), dict(B=2, L=4), {"taps"}),
    "edge_two_experts_triplets": (replace(TINY, num_experts=2, **H, **T3), dict(B=2, L=4), {"taps"}),
    "edge_unweighted": (replace(TINY, num_experts=4, hgnn_learnable_edge_weights=False, **H), dict(B=2, L=4), {"taps"}),
    "edge_cancelling_weights": (replace(TINY, **H), dict(B=2, L=4), {"taps", "cancel"}),
    "edge_masked_rows": (replace(TINY, **H), dict(B=3, L=5, lengths=[5, 0, 5]), {"taps", "leftpad"}),
    "edge_no_target": (TINY, dict(B=2, L=1), set()),
    "option_paper_norm": (replace(TINY, num_experts=4, hgnn_norm="paper", **H), dict(B=2, L=4), {"taps"}),
    "option_softplus": (replace(TINY, num_experts=4, hgnn_weight_transform="softplus", **H), dict(B=2, L=4), {"taps", "negative"}),
    "option_eval_with_dropout": (replace(TINY, dropout_rate=0.1, **H), dict(B=2, L=5), {"eval"}),
    "option_orthogonality_mean": (replace(TINY, num_layers=2, apply_orthogonality_loss=True, orthogonality_warmup_steps=10,
                                          apply_weight_orthogonality_loss=True, **H), dict(B=2, L=5), {"ortho"}),
    "option_orthogonality_pool": (replace(TINY, num_layers=2, apply_orthogonality_loss=True, orthogonality_aggregation="pool",
                                          orthogonality_loss_type="cosine_similarity", orthogonality_warmup_steps=0,
                                          apply_weight_orthogonality_loss=True, weight_orthogonality_target_layer="combined"),
                                  dict(B=2, L=5), {"ortho"}),
    "ghost_two_active": (replace(TINY, num_ghost_experts=3, static_hyperedge_strategy="all_pairs", **H), dict(B=2, L=4), {"taps", "ghost"}),
}
ORTHO_STEP = 4                                             # the step number that enters the warm-up in the ortho cases
GHOST_LEVELS = [0.5, 1.0, 0.05]


def prepare(name, seed, text=None):
    cfg, batch, flags = MODEL_CASES[name]
    model = build(cfg, seed)
    ids, mask = text_batch(seed, batch["B"], batch["L"], text) if "text" in flags else random_batch(cfg, seed, **batch)
    if "leftpad" in flags:
        mask[2, :2] = 0
        ids = ids * mask
    with torch.no_grad():
        for layer in model.model_layers:
            w = getattr(layer.coupler, "hyperedge_weights", None)
            if w is not None and "negative" in flags:
                w[1] = -w[1] - 0.25
            if w is not None and "cancel" in flags:
                w.copy_(torch.tensor([1.25, -1.25, 0.5]))  # pairs 01, 02, 12: the degree of expert 0 is exactly zero
            if "ghost" in flags:
                layer.frozen, layer.controller.level = True, list(GHOST_LEVELS)
    return model, ids, mask, flags


def losses(model, ids, mask, flags, store=None):
    logits = model(ids, mask, store)
    lm = lm_loss(logits, make_labels(ids, mask))
    return logits, lm, specialisation_loss(model, ORTHO_STEP) if "ortho" in flags else torch.zeros((), dtype=lm.dtype)


def put(group, name, value):
    import numpy as np
    a = value.detach().numpy() if torch.is_tensor(value) else np.asarray(value)
    if a.size >= 512:
        group.create_dataset(name, data=a, chunks=a.shape, compression="gzip", compression_opts=9, shuffle=True)
    else:
        group.create_dataset(name, data=a)


def plain(cfg):
    return {k: int(v) if isinstance(v, bool) else v for k, v in asdict(cfg).items()}


def open_fixture(path, case, seed, cfg=None, kind="other"):
    import h5py
    f = h5py.File(path, "w", libver=("v108", "v110"))  # readable by HDF5 1.10
    f.attrs.update(case=case, seed=seed, system="hgnn_moe", kind=kind)
    if cfg is not None:
        f.create_group("config").attrs.update(plain(cfg))
    return f


def write_model_fixture(path, name, seed, text=None):
    model, ids, mask, flags = prepare(name, seed, text)
    model.train("eval" not in flags)
    store = {} if "taps" in flags else None
    logits, lm, extra = losses(model, ids, mask, flags, store)
    (lm + extra).backward()
    with open_fixture(path, name, seed, model.cfg, "model") as f:
        f["config"].attrs["flags"] = " ".join(sorted(flags))
        for key, p in model.named_parameters():
            put(f, f"params/{key}", p)
            if p.grad is not None:
                put(f, f"grads/{key}", p.grad)
        put(f, "inputs/input_ids", ids.int())
        put(f, "inputs/attention_mask", mask.byte())
        if "ortho" in flags:
            put(f, "inputs/step", ORTHO_STEP)
        if "ghost" in flags:
            put(f, "inputs/ghost_levels", GHOST_LEVELS)
            put(f, "outputs/saturation", [layer.last_saturation for layer in model.model_layers])
        put(f, "outputs/logits", logits[:2] if "text" in flags else logits)
        for key, t in (store or {}).items():
            put(f, f"outputs/{key}", t)
        put(f, "loss/lm", lm)
        put(f, "loss/extra", extra)
        put(f, "loss/total", lm + extra)
        if "trajectory" in flags:
            opt = AdamW(model.parameters(), model.cfg.weight_decay)
            rec = []
            for t in range(10):
                lr = cosine_lr(t, 10, 5e-3, model.cfg.eta_min)
                rec.append((*train_step(model, opt, ids, mask, lr), lr))
            for i, key in enumerate(("loss", "grad_norm", "lr")):
                put(f, f"trajectory/{key}", [r[i] for r in rec])
            for key, p in model.named_parameters():
                put(f, f"trajectory/final_norm/{key}", p.norm())


def curve_setup(coupler, seed, text=None):
    cfg = replace(REAL, max_seq_length=32, coupler_type=coupler)
    torch.manual_seed(seed)
    model = Model(cfg).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("hyperedge_weights"):
                p.copy_(torch.rand_like(p) + 0.6)
            p.copy_((p / GRID * 16).round() * GRID / 16)
    windows = stream_windows(Path(text or TEXT).read_bytes(), 32)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))
    return model, windows[order[:200]].view(50, 4, 32), windows[order[200:216]].view(4, 4, 32)


def run_curve(model, batches, held_out):
    opt, rec = AdamW(model.parameters(), model.cfg.weight_decay), []
    before = evaluate(model, [(b, None) for b in held_out])
    for t, ids in enumerate(batches):
        lr = cosine_lr(t, len(batches), 3e-3, model.cfg.eta_min)
        rec.append((*train_step(model, opt, ids, None, lr), lr))
    return rec, before, evaluate(model, [(b, None) for b in held_out])


def write_curve_fixture(path, name, seed, text=None):
    model, batches, held_out = curve_setup(name.split("_")[1].upper(), seed, text)
    with open_fixture(path, name, seed, model.cfg) as f:
        for key, p in model.named_parameters():
            put(f, f"params/{key}", p)
        put(f, "inputs/batches", batches.int())
        put(f, "inputs/held_out", held_out.int())
        rec, before, after = run_curve(model, batches, held_out)
        for i, key in enumerate(("loss", "grad_norm", "lr")):
            put(f, f"trajectory/{key}", [r[i] for r in rec])
        put(f, "trajectory/eval_before", before)
        put(f, "trajectory/eval_after", after)
        for key, p in model.named_parameters():
            put(f, f"trajectory/final_norm/{key}", p.norm())


def write_generate_fixture(path, name, seed, text=None):
    cfg = replace(REAL, num_layers=1, max_seq_length=24, embed_dim=16, num_heads=2, **H)
    model = build(cfg, seed, gain=1.5)
    prompt = byte_tokenise(b"To be, or ")
    rows = []
    ids = generate(model, prompt, 50, logits_out=rows)
    with open_fixture(path, name, seed, cfg) as f:
        for key, p in model.named_parameters():
            put(f, f"params/{key}", p)
        put(f, "inputs/prompt", torch.tensor(prompt).int())
        put(f, "outputs/greedy", torch.tensor(ids).int())
        put(f, "outputs/logits", torch.stack(rows))
        for i, (temp, k, p) in enumerate([(0.7, 50, 0.9), (1.3, 0, 0.5), (1.0, 5, 0.0), (0.5, 1, 0.0)]):
            g = f.create_group(f"filter/{i}")
            g.attrs.update(temperature=temp, top_k=k, top_p=p)
            put(g, "kept_logits", torch.stack([filter_logits(r, temp, k, p) for r in rows[:3]]))


DATA_TEXT = (b"short line\n\n   A line of more than thirty characters, with spaces around it.   \r\n"
             b"exactly thirty characters here\nexactly thirty-one chars of text\n"
             b"caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9\r"
             b"This line is much longer than the sequence length, so it is cut at the end of the window; nothing is carried over.\n"
             b"last line without a newline at its end")


def write_data_fixture(path, name, seed, text=None):
    import numpy as np
    with open_fixture(path, name, seed) as f:
        for key, data in (("hand", DATA_TEXT), ("real", Path(text or TEXT).read_bytes()[:20000])):
            g = f.create_group(key)
            put(g, "raw", np.frombuffer(data, np.uint8))
            g.attrs.update(max_seq_length=64, min_chars=30)
            ids, mask = line_samples(data, 64)
            put(g, "line_input_ids", ids.int())
            put(g, "line_attention_mask", mask.byte())
            put(g, "stream_input_ids", stream_windows(data, 64).int())


def coupler_cases():
    for E in (2, 3, 4, 5, 8):
        for strategy in ("all_pairs", "all_triplets", "all"):
            if hyperedges(E, strategy):
                yield f"{strategy}_{E}", replace(TINY, num_experts=E, static_hyperedge_strategy=strategy, gnn_layers=2 if E != 5 else 3, **H)
    for E in (1, 2, 4, 8):
        yield f"gnn_{E}", replace(TINY, num_experts=E)


def coupler_instance(cfg, seed):
    c = randomise((HGNNCoupler if cfg.coupler_type == "HGNN" else GNNCoupler)(cfg).double(), seed)
    w = getattr(c, "hyperedge_weights", None)
    if w is not None and len(w) > 3:
        with torch.no_grad():
            w[2] = -0.375                                  # a negative weight is legal
    g = torch.Generator().manual_seed(seed + 2000)
    grid = lambda *s: (torch.randn(*s, generator=g, dtype=torch.float64) / GRID).round() * GRID
    return c, grid(7, cfg.num_experts, cfg.embed_dim), grid(7, cfg.embed_dim)


def write_coupler_fixture(path, name, seed, text=None):
    with open_fixture(path, name, seed) as f:
        for key, cfg in coupler_cases():
            c, X, dy = coupler_instance(cfg, seed)
            g = f.create_group(key)
            g.create_group("config").attrs.update(plain(cfg))
            X.requires_grad_()
            store = {}
            y = c(X, Tap(store), "dense") if cfg.coupler_type == "HGNN" else c(X, Tap(store))
            y.backward(dy)
            put(g, "inputs/X", X)
            put(g, "inputs/dy", dy)
            put(g, "outputs/y", y)
            put(g, "grads/X", X.grad)
            for k, p in c.named_parameters():
                put(g, f"params/{k}", p)
                if p.grad is not None:
                    put(g, f"grads/{k}", p.grad)
            for k, t in store.items():
                put(g, f"outputs/{k}", t)
            if cfg.coupler_type == "HGNN":
                edges = hyperedges(cfg.num_experts, cfg.static_hyperedge_strategy)
                put(g, "outputs/hyperedge_nodes", [v for e in edges for v in e])
                put(g, "outputs/hyperedge_ids", [i for i, e in enumerate(edges) for _ in e])


FIXTURES = {**{k: write_model_fixture for k in MODEL_CASES}, "curve_hgnn": write_curve_fixture, "curve_gnn": write_curve_fixture,
            "generate": write_generate_fixture, "data": write_data_fixture, "coupler": write_coupler_fixture}


def relative(a, b):
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    if a.shape != b.shape:
        return float("inf")
    if not a.numel():
        return 0.0
    same = (a == b) | (a.isnan() & b.isnan())              # infinities
    return (torch.where(same, torch.zeros_like(a), a - b).abs().max() / max(1e-4, b[b.isfinite()].abs().max().item() if b.isfinite().any() else 1)).item()


def verify_fixture(path):
    """Recompute what a golden file contains, starting from its parameters and inputs only."""
    import h5py
    with h5py.File(path) as f:
        case, worst = f.attrs["case"], 0.0
        get = lambda n: torch.from_numpy(f[n][()])
        def restore(g):
            cfg = Config(**{k: (v.item() if hasattr(v, "item") else v) for k, v in g["config"].attrs.items() if k != "flags"})
            model = (GhostModel if cfg.num_ghost_experts else Model)(cfg).double()
            model.load_state_dict({k: torch.from_numpy(d) for k, d in flat_datasets(g["params"])})
            return model
        if case in MODEL_CASES:
            model, flags = restore(f), set(f["config"].attrs["flags"].split())
            model.train("eval" not in flags)
            for layer in model.model_layers:
                if "ghost" in flags:
                    layer.frozen, layer.controller.level = True, get("inputs/ghost_levels").tolist()
            store = {}
            logits, lm, extra = losses(model, get("inputs/input_ids").long(), get("inputs/attention_mask").long(), flags, store)
            (lm + extra).backward()
            worst = max(relative(logits[: len(f["outputs/logits"])].detach(), get("outputs/logits")), relative((lm + extra).item(), f["loss/total"][()]))
            grads = dict(flat_datasets(f["grads"])) if "grads" in f else {}
            for k, p in model.named_parameters():
                assert (p.grad is None) == (k not in grads), k
                if p.grad is not None:
                    worst = max(worst, relative(p.grad, grads[k]))
            if "taps" in flags:
                for k, t in store.items():
                    worst = max(worst, relative(t, get(f"outputs/{k}")))
        elif case.startswith("curve"):
            rec, _, after = run_curve(restore(f), get("inputs/batches").long(), get("inputs/held_out").long())
            worst = max(relative([r[0] for r in rec], get("trajectory/loss")), relative(after, get("trajectory/eval_after")))
        elif case == "generate":
            assert generate(restore(f), get("inputs/prompt").tolist(), 50) == get("outputs/greedy").tolist()
        elif case == "data":
            for g in f.values():
                ids, mask = line_samples(g["raw"][()].tobytes(), 64)
                assert (ids.numpy() == g["line_input_ids"][()]).all() and (mask.numpy() == g["line_attention_mask"][()]).all()
        elif case == "coupler":
            for key, cfg in coupler_cases():
                c = (HGNNCoupler if cfg.coupler_type == "HGNN" else GNNCoupler)(cfg).double()
                c.load_state_dict({k: torch.from_numpy(d) for k, d in flat_datasets(f[key]["params"])})
                X, dy = get(f"{key}/inputs/X"), get(f"{key}/inputs/dy")
                worst = max(worst, relative(c(X, Tap()).detach(), get(f"{key}/outputs/y")))
                dX, grads = (hgnn_backward if cfg.coupler_type == "HGNN" else gnn_backward)(c, X, dy)
                worst = max(worst, relative(dX, get(f"{key}/grads/X")), *(relative(grads[k], d) for k, d in flat_datasets(f[key]["grads"]) if k != "X"))
        return case, worst


def flat_datasets(group, prefix=""):
    for k, v in group.items():
        if hasattr(v, "items"):
            yield from flat_datasets(v, f"{prefix}{k}/")
        else:
            yield prefix + k, v[()]


# --------------------------------------------------------------------------------------------------------------- check
def check(directory=None):
    torch.set_default_dtype(torch.float64)
    report = {}
    def claim(name, value, bound=1e-10):
        report[name] = value
        if not value <= bound:
            raise AssertionError(f"{name}: {value} > {bound}")

    # the hypergraph operator against explicit sums over members
    g = torch.Generator().manual_seed(1)
    for E, strategy in ((3, "all_pairs"), (4, "all_pairs"), (5, "all_triplets"), (4, "all")):
        edges = hyperedges(E, strategy)
        w, X = torch.rand(len(edges), generator=g) + 0.5, torch.randn(E, 3, generator=g)
        for norm in ("pyg", "paper"):
            out = torch.zeros_like(X)
            for members, weight in zip(edges, w):
                centre = sum(X[v] for v in members) / len(members)
                for v in members:
                    out[v] += centre * (weight if norm == "paper" else 1)
            for v in range(E):
                out[v] /= sum(weight for members, weight in zip(edges, w) if v in members)
            claim(f"mixing_{norm}_{strategy}_{E}", relative(mixing_matrix(incidence(E, edges, X.dtype), w, norm) @ X, out))
        # unit weights: M is doubly stochastic, so the coupler sees nothing but the mean over experts
        M = mixing_matrix(incidence(E, edges, X.dtype), torch.ones(len(edges)))
        claim(f"unit_weights_mean_{strategy}_{E}", relative(torch.ones(E) @ M, torch.ones(E)))
    # three evaluation orders, and the hand-derived backward against automatic differentiation
    for key, cfg in coupler_cases():
        variants = [cfg] if cfg.coupler_type == "GNN" else [replace(cfg, hgnn_norm=n, hgnn_weight_transform=t)
                                                            for n in ("pyg", "paper") for t in ("none", "softplus")]
        for v in variants:
            c, X, dy = coupler_instance(v, 3)
            X.requires_grad_()
            paths = [None] if v.coupler_type == "GNN" else ["looped", "dense", "collapsed"]
            for path in paths:
                for p in (X, *c.parameters()):
                    p.grad = None
                y = c(X, Tap()) if path is None else c(X, Tap(), path)
                y.backward(dy)
                dX, grads = (gnn_backward if path is None else hgnn_backward)(c, X.detach(), dy)
                claim(f"backward_{key}_{path}_X", relative(dX, X.grad), 1e-9)
                for k, p in c.named_parameters():
                    if p.grad is not None:
                        claim(f"backward_{key}_{path}_{k}", relative(grads[k], p.grad), 1e-9)
    # causality, independence of rows and of what stands under the padding
    for coupler in ("GNN", "HGNN"):
        model = build(replace(TINY, num_experts=4, num_layers=2, coupler_type=coupler), 5)
        ids, mask = random_batch(model.cfg, 5, 3, 6, [6, 4, 6])
        base = model(ids, mask).detach()
        later, row, pad = ids.clone(), ids.clone(), ids.clone()
        later[:, 3:], row[2], pad[1, 4:] = later[:, 3:] % 15 + 1, row[2] % 15 + 1, 9
        claim(f"causal_{coupler}", relative(model(later, mask)[:, :3].detach(), base[:, :3]), 1e-14)
        claim(f"rows_{coupler}", relative(model(row, mask)[:2].detach(), base[:2]), 1e-14)
        claim(f"padding_{coupler}", relative(model(pad, mask)[1, :4].detach(), base[1, :4]), 1e-14)
        # finite differences of the loss
        loss = lm_loss(model(ids, mask), make_labels(ids, mask))
        loss.backward()
        worst = 0.0
        for name, p in model.named_parameters():
            if p.grad is None:
                continue
            d = torch.randn(p.shape, generator=g)
            h = 1e-5
            with torch.no_grad():
                vals = []
                for s in (h, -h):
                    p.add_(d, alpha=s)
                    vals.append(lm_loss(model(ids, mask), make_labels(ids, mask)).item())
                    p.sub_(d, alpha=s)
            worst = max(worst, abs((vals[0] - vals[1]) / (2 * h) - (p.grad * d).sum().item()) / (1e-3 + abs((p.grad * d).sum().item())))
        claim(f"finite_differences_{coupler}", worst, 1e-4)
    # optimiser, schedule and clipping against the library's
    a, b = build(TINY, 7), build(TINY, 7)
    ids, mask = random_batch(TINY, 7, 2, 5)
    mine, theirs = AdamW(a.parameters(), 0.01), torch.optim.AdamW(b.parameters(), lr=5e-3, weight_decay=0.01)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=20, eta_min=1e-6)
    for t in range(15):
        train_step(a, mine, ids, mask, cosine_lr(t, 20, 5e-3, 1e-6))
        theirs.zero_grad()
        lm_loss(b(ids, mask), make_labels(ids, mask)).backward()
        torch.nn.utils.clip_grad_norm_(b.parameters(), 1.0)
        theirs.step(); sched.step()
    claim("optimiser", max(relative(p, q) for p, q in zip(a.parameters(), b.parameters())), 1e-9)
    for path in sorted(Path(directory or HERE / "fixtures").glob("hgnn_moe_*.h5")):
        claim("fixture_" + path.stem, verify_fixture(path)[1], 1e-8)
    print(json.dumps({"checks": len(report), "worst": max((v, k) for k, v in report.items() if not k.startswith("finite")),
                      "fixtures": {k: v for k, v in report.items() if k.startswith("fixture")}}, indent=1))


# --------------------------------------------------------------------------------------------------------------- bench
def timed(f, repeats):
    f()
    times = []
    for _ in range(repeats):
        t = time.perf_counter()
        f()
        times.append(time.perf_counter() - t)
    return statistics.median(times)


def bench(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    cfg = Config(embed_dim=args.dim, num_experts=args.experts, num_layers=args.layers, gnn_layers=args.gnn_layers,
                 vocab_size=args.vocab, max_seq_length=args.length, coupler_type=args.coupler, static_hyperedge_strategy=args.strategy)
    tokens = args.batch * args.length
    out = {"what": args.what, "threads": args.threads, "batch": args.batch, "length": args.length, "experts": cfg.num_experts,
           "dim": cfg.embed_dim, "gnn_layers": cfg.gnn_layers, "strategy": cfg.static_hyperedge_strategy}
    if args.what == "coupler":
        X, dy = torch.randn(tokens, cfg.num_experts, cfg.embed_dim), torch.randn(tokens, cfg.embed_dim)
        for name in ("GNN", "HGNN"):
            c = (HGNNCoupler if name == "HGNN" else GNNCoupler)(replace(cfg, coupler_type=name))
            for path in ("looped", "dense", "collapsed") if name == "HGNN" else (None,):
                X.requires_grad_()
                def both():
                    for p in (X, *c.parameters()):
                        p.grad = None
                    (c(X, Tap(), path) if path else c(X, Tap())).backward(dy)
                with torch.no_grad():
                    fwd = timed(lambda: c(X, Tap(), path) if path else c(X, Tap()), 1 if path == "looped" else args.repeats)
                out[f"{name}_{path or 'closed'}"] = {"forward_s": fwd, "forward_backward_s": timed(both, 1 if path == "looped" else args.repeats)}
    else:
        model = Model(cfg).train()
        ids = torch.randint(1, cfg.vocab_size, (args.batch, args.length))
        mask = torch.ones_like(ids)
        opt = AdamW(model.parameters(), cfg.weight_decay)
        seconds = timed(lambda: train_step(model, opt, ids, mask, 5e-4), args.repeats)
        out.update(coupler=cfg.coupler_type, layers=cfg.num_layers, vocab=cfg.vocab_size, dropout=cfg.dropout_rate,
                   parameters=sum(p.numel() for p in model.parameters()), step_s=seconds, tokens_per_s=tokens / seconds)
    print(json.dumps(out))


def train(args):
    torch.manual_seed(args.seed)
    cfg = Config(embed_dim=args.dim, num_experts=args.experts, num_layers=args.layers, coupler_type=args.coupler)
    model, windows = Model(cfg).train(), stream_windows(Path(args.text).read_bytes(), cfg.max_seq_length)
    cut = len(windows) * 9 // 10
    opt = AdamW(model.parameters(), cfg.weight_decay)
    for t in range(args.steps):
        ids = windows[torch.randint(cut, (args.batch,))]
        loss, norm = train_step(model, opt, ids, None, cosine_lr(t, args.steps, cfg.learning_rate, cfg.eta_min))
        if t % 10 == 0 or t == args.steps - 1:
            print(json.dumps({"step": t, "loss": loss, "grad_norm": norm}), flush=True)
    print(json.dumps({"eval": evaluate(model, [(b, None) for b in windows[cut:cut + 64].split(16)])}))
    print(bytes(generate(model, byte_tokenise(b"ROMEO: "), 60, 0.8, 40, 0.9, seed=0)).decode("utf-8", "replace"))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    c = sub.add_parser("check")
    c.add_argument("--fixtures")
    f = sub.add_parser("fixture")
    f.add_argument("--case"); f.add_argument("--seed", type=int, default=1); f.add_argument("--out")
    f.add_argument("--all"); f.add_argument("--list", action="store_true"); f.add_argument("--text")
    b = sub.add_parser("bench")
    b.add_argument("--what", choices=("coupler", "step"), default="coupler")
    t = sub.add_parser("train")
    for p in (b, t):
        p.add_argument("--batch", type=int, default=32)
        p.add_argument("--dim", type=int, default=256); p.add_argument("--experts", type=int, default=4)
        p.add_argument("--layers", type=int, default=4); p.add_argument("--coupler", choices=("GNN", "HGNN"), default="HGNN")
    b.add_argument("--threads", type=int, default=1); b.add_argument("--length", type=int, default=128)
    b.add_argument("--gnn-layers", type=int, default=2); b.add_argument("--vocab", type=int, default=256)
    b.add_argument("--strategy", default="all_pairs"); b.add_argument("--repeats", type=int, default=5)
    t.add_argument("--text", default=str(TEXT)); t.add_argument("--steps", type=int, default=100); t.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    if args.command == "check":
        check(args.fixtures)
    elif args.command == "bench":
        bench(args)
    elif args.command == "train":
        train(args)
    elif args.list:
        print("\n".join(FIXTURES))
    else:
        for name in FIXTURES if args.all else [args.case]:
            out = Path(args.all) / f"hgnn_moe_{name}.h5" if args.all else Path(args.out)
            FIXTURES[name](out, name, args.seed, args.text)


if __name__ == "__main__":
    main()
