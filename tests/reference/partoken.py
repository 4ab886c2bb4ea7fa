# SPDX-License-Identifier: Apache-2.0
"""ParToken: GVP encoder + differentiable partitioner + vector-quantised codebook. Executable specification.

  python partoken.py check                                   self-test
  python partoken.py fixture --case tiny --seed 1 --out F.h5  cases: tiny corrected quantized real bypass edge full kmeans
  python partoken.py bench [--batch 8] [--topk 51] [--threads 2] [--dense] [--chains FILE.h5]

Everything is written on the flat node axis (graph g owns a contiguous range of nodes); no padding.
Symbols: N nodes, E edges (row 0 source, row 1 target), B graphs, S clusters, D = ns, K codes.
"""
import argparse, json, math, time
import numpy as np
import torch
from torch import nn
import gvp
from gvp import Stack, ConvLayer, Draws, GVP, Head, LayerNorm, dropout, pool_nodes


def seg_sum(x, index, n):
    return x.new_zeros(n, *x.shape[1:]).index_add_(0, index, x)


def straight_through(hard, soft):
    return hard + (soft - soft.detach())


# ------------------------------------------------------------------------------- graph statistics, two ways
class SparseStats:
    """O(E) per query."""
    def __init__(self, g):
        self.src, self.dst = g.edge_index
        self.n, self.b, self.batch = len(g.batch), g.num_graphs, g.batch
        self.outdeg = torch.zeros(self.n).index_add_(0, self.src, torch.ones(len(self.src)))

    def reach(self, seeds, hops):
        """Nodes reachable from the seeds [N bool] along src -> dst in at most `hops` steps (seeds included)."""
        seen, front = seeds.clone(), seeds
        for _ in range(hops):
            nxt = torch.zeros_like(seen)
            nxt[self.dst[front[self.src]]] = True
            front = nxt & ~seen
            if not front.any():
                break
            seen = seen | front
        return seen

    def local(self, cand, seed):
        """phi [B,3] = log(1+#cand), share of the seed's out-edges into cand, edge density of cand."""
        n = seg_sum(cand.to(self.outdeg.dtype), self.batch, self.b)
        into = seg_sum(cand[self.dst].to(self.outdeg.dtype), self.src, self.n)[seed]
        inner = seg_sum((cand[self.src] & cand[self.dst]).to(self.outdeg.dtype), self.batch[self.src], self.b)
        return torch.stack([(n + 1).log(), into / self.outdeg[seed].clamp(min=1),
                            0.5 * inner / (n * (n - 1) / 2).clamp(min=1)], -1)

    def link(self, members):
        """z [N]: share of each node's out-edges that end in `members`."""
        return seg_sum(members[self.dst].to(self.outdeg.dtype), self.src, self.n) / self.outdeg.clamp(min=1)


class DenseStats:
    """The same on padded [B, M, M] adjacency matrices, O(B M^2)."""
    def __init__(self, g):
        count = torch.bincount(g.batch, minlength=g.num_graphs)
        start = torch.cumsum(count, 0) - count
        self.b, self.m, self.batch = g.num_graphs, int(count.max()), g.batch
        self.slot = g.batch * self.m + torch.arange(len(g.batch)) - start[g.batch]
        self.adj = torch.zeros(self.b, self.m, self.m)
        s, d = g.edge_index
        self.adj[g.batch[s], self.slot[s] % self.m, self.slot[d] % self.m] = 1
        self.outdeg = self.adj.sum(-1).reshape(-1)[self.slot]

    def pad(self, x):
        out = torch.zeros(self.b * self.m, dtype=self.adj.dtype)
        out[self.slot] = x.to(self.adj.dtype)
        return out.view(self.b, self.m)

    def flat(self, x):
        return x.reshape(-1)[self.slot]

    def reach(self, seeds, hops):
        seen = self.pad(seeds) > 0
        front = seen
        for _ in range(hops):
            nxt = torch.bmm(front.to(self.adj.dtype).unsqueeze(1), self.adj).squeeze(1) > 0
            front = nxt & ~seen
            if not front.any():
                break
            seen = seen | front
        return self.flat(seen)

    def local(self, cand, seed):
        c = self.pad(cand)
        n = c.sum(1)
        row = self.adj.view(self.b * self.m, self.m)[self.slot[seed]]
        into = torch.einsum("bm,bm->b", row, c)
        inner = (self.adj * c.unsqueeze(1) * c.unsqueeze(2)).sum((1, 2))
        return torch.stack([(n + 1).log(), into / row.sum(-1).clamp(min=1),
                            0.5 * inner / (n * (n - 1) / 2).clamp(min=1)], -1)

    def link(self, members):
        return self.flat(torch.bmm(self.adj, self.pad(members).unsqueeze(-1)).squeeze(-1)) / self.outdeg.clamp(min=1)


# ------------------------------------------------------------------------------------------ partitioner
class Expander(nn.Module):
    def __init__(self, dim, theta_in, alpha=0.2, width=64):
        super().__init__()
        self.alpha, self.width = alpha, width
        self.Wq = nn.Linear(dim, width, bias=False)
        self.Wk = nn.Linear(dim, width, bias=False)
        self.threshold_head = nn.ModuleDict({"mlp": nn.Sequential(nn.Linear(theta_in, 128), nn.ReLU(), nn.Linear(128, 1))})


class Partitioner(nn.Module):
    def __init__(self, dim, max_clusters=5, nhid=50, k_hop=1, cluster_size_max=25, termination_threshold=0.95,
                 tau_init=1.0, tau_min=0.1, tau_decay=0.95, corrected=False, seed_drop=0.1):
        super().__init__()
        self.S, self.k_hop, self.size_max, self.stop = max_clusters, k_hop, cluster_size_max, termination_threshold
        self.taus, self.corrected, self.seed_drop = (tau_init, tau_min, tau_decay), corrected, seed_drop
        self.seed_selector = nn.ModuleDict({"0": nn.Linear(dim + nhid, nhid), "3": nn.Linear(nhid, 1)})
        self.context_encoder = nn.Linear(dim, nhid)
        self.expander = Expander(dim, dim + nhid + 3)
        self.register_buffer("epoch", torch.tensor(0))

    def temperature(self):
        init, low, decay = self.taus
        return max(low, init * decay ** int(self.epoch))

    def forward(self, x, g, uniforms, draws=None, stats=SparseStats, trace=None):
        """x [N,D]. uniforms: Draws of the Gumbel uniforms, None = no noise; draws: dropout or None.
        Returns clusters [B,S,D], valid [B,S], assign [N] (cluster number or -1), cardinality penalty (no weight)."""
        t = {} if trace is None else trace
        batch, B, N = g.batch, g.num_graphs, len(g.batch)
        st, tau = stats(g), max(self.temperature(), 1e-6)
        size = torch.bincount(batch, minlength=B).to(x.dtype)
        ctx = self.context_encoder(seg_sum(x, batch, B) / size.clamp(min=1).unsqueeze(-1))
        keys = self.expander.Wk(x)
        assign = torch.full((N,), -1, dtype=torch.long)
        active = torch.ones(B, dtype=torch.bool)
        penalty, clusters = x.new_zeros(()), []
        first, third = self.seed_selector["0"], self.seed_selector["3"]
        for c in range(self.S):
            free = assign < 0
            if c:
                taken = seg_sum((~free).to(x.dtype), batch, B)
                active = active & (taken / (size + 1e-8) < self.stop) & (size > 0)
            eligible = free & active[batch]
            valid = seg_sum(eligible.to(x.dtype), batch, B) > 0
            if not valid.any():
                clusters += [x.new_zeros(B, x.shape[1])] * (self.S - c)
                break
            # --- seed: straight-through Gumbel softmax over the free nodes of each graph
            h = dropout(torch.relu(first(torch.cat([x, ctx[batch]], -1))), self.seed_drop, draws,
                        f"partitioner.seed_selector.2.{c}")
            logit = third(h).squeeze(-1)
            gumbel = 0.0
            if uniforms is not None:
                u = uniforms.uniform(f"partitioner.gumbel.{c}", (N,), x.dtype)
                gumbel = -torch.log(-torch.log(u + 1e-8) + 1e-8)
            noisy = (logit + gumbel) / tau
            noisy = noisy.masked_fill(~eligible, -math.inf)
            top = noisy.new_full((B,), -math.inf).scatter_reduce(0, batch, noisy.detach(), "amax")
            e = torch.where(eligible, torch.exp(noisy - top[batch].nan_to_num(0.0, 0.0, 0.0)), torch.zeros_like(noisy))
            soft = e / seg_sum(e, batch, B).clamp(min=torch.finfo(e.dtype).tiny)[batch]
            is_top = eligible & (noisy == top[batch])
            ids = torch.arange(N)
            seed = torch.full((B,), N).scatter_reduce(0, batch[is_top], ids[is_top], "amin")   # first maximum
            seed = torch.where(valid, seed, torch.zeros_like(seed))
            hit = torch.zeros(N, dtype=torch.bool)
            hit[seed[valid]] = True
            w = straight_through(hit.to(x.dtype), soft)
            x_seed = seg_sum(w.unsqueeze(-1) * x, batch, B)
            assign = torch.where(hit, torch.full_like(assign, c), assign)
            # --- expansion by a learned threshold
            p = x.new_zeros(N)
            cand = torch.zeros(N, dtype=torch.bool)
            if self.size_max > 1:
                cand = (assign < 0) & valid[batch] & st.reach(hit, self.k_hop)
            if cand.any():
                phi, z = st.local(cand, seed).to(x.dtype), st.link(hit).to(x.dtype)
                score = (keys * self.expander.Wq(x_seed)[batch]).sum(-1) / self.expander.width ** 0.5 \
                    + self.expander.alpha * z
                theta = self.expander.threshold_head["mlp"](torch.cat([x_seed, ctx, phi], -1)).squeeze(-1)
                p = torch.sigmoid((score - theta[batch]) / tau) * cand.to(x.dtype)
                cap = self.size_max - 1
                over = seg_sum((p > 0.5).to(x.dtype), batch, B) > cap
                for b in torch.nonzero(over).flatten().tolist():      # keep the cap largest p, ties to the lower index
                    own = torch.nonzero(batch == b).flatten()
                    order = torch.sort(p[own].detach(), descending=True, stable=True).indices
                    drop = own[order[cap:]]
                    p = p.index_fill(0, drop, 0.0)
                assign = torch.where((p > 0.5) & cand, torch.full_like(assign, c), assign)
                mu = (2 + 3 * phi[:, 0]).clamp(1.0, float(self.size_max))
                expected = seg_sum(p, batch, B)
                expected = expected if self.corrected else expected.detach()
                penalty = penalty + ((expected - mu) ** 2)[valid].mean()
                t.update({f"step{c}.phi": phi, f"step{c}.z": z, f"step{c}.theta": theta, f"step{c}.score": score})
            # --- embedding: forward = mean of the members, backward = members' mean plus the soft mean
            member = (assign == c).to(x.dtype)
            hard = seg_sum(member.unsqueeze(-1) * x, batch, B) / seg_sum(member, batch, B).clamp(min=1).unsqueeze(-1)
            m = w + p
            mean = seg_sum(m.unsqueeze(-1) * x, batch, B) / seg_sum(m, batch, B).clamp(min=1).unsqueeze(-1)
            emb = straight_through(hard, mean) * valid.to(x.dtype).unsqueeze(-1)
            clusters.append(emb)
            ctx = ctx + 0.1 * self.context_encoder(emb.detach())
            t.update({f"step{c}.seed_logit": logit, f"step{c}.soft": soft, f"step{c}.seed": torch.where(valid, seed, -1),
                      f"step{c}.candidate": cand, f"step{c}.p": p, f"step{c}.x_seed": x_seed, f"step{c}.embedding": emb})
        count = torch.zeros(B, self.S, dtype=torch.long)
        took = assign >= 0
        count.view(-1).index_add_(0, batch[took] * self.S + assign[took], torch.ones(int(took.sum()), dtype=torch.long))
        return torch.stack(clusters, 1), count > 0, assign, penalty


# ------------------------------------------------------------------------------------------ codebook
class Codebook(nn.Module):
    def __init__(self, K=512, dim=100, beta=0.25, decay=0.99, eps=1e-5, cosine=False, corrected=False):
        super().__init__()
        self.beta, self.decay, self.eps, self.cosine, self.frozen = beta, decay, eps, cosine, False
        e = torch.randn(K, dim) * 0.05
        self.register_buffer("embeddings", e)
        self.register_buffer("ema_counts", torch.ones(K) if corrected else torch.zeros(K))
        self.register_buffer("ema_sums", e.clone() if corrected else torch.zeros(K, dim))

    def distance(self, a, b):
        if self.cosine:
            return 1 - nn.functional.normalize(a, dim=-1) @ nn.functional.normalize(b, dim=-1).T
        return (a * a).sum(1, keepdim=True) - 2 * a @ b.T + (b * b).sum(1)

    def forward(self, z, valid, update):
        """Quantise the valid clusters. Returns z_q, code [B,S] (-1 invalid), commitment (unweighted mean square)."""
        code = torch.full(valid.shape, -1, dtype=torch.long)
        if not valid.any():
            return z, code, z.new_zeros(())
        zv = z[valid]
        idx = self.distance(zv.detach(), self.embeddings).argmin(1)
        eq = self.embeddings[idx].clone()
        code[valid] = idx
        commit = ((zv - eq) ** 2).mean()
        zq = z.clone()
        zq[valid] = straight_through(eq, zv)
        if update and not self.frozen:
            with torch.no_grad():
                d, K = self.decay, len(self.embeddings)
                self.ema_counts = d * self.ema_counts + (1 - d) * seg_sum(torch.ones_like(zv[:, 0]), idx, K)
                self.ema_sums = d * self.ema_sums + (1 - d) * seg_sum(zv, idx, K)
                self.embeddings = self.ema_sums / (self.ema_counts + self.eps).unsqueeze(1)
        return zq, code, commit

    def usage(self):
        return (self.ema_counts / (self.ema_counts.sum() + self.eps)).clamp(min=self.eps)

    def perplexity(self):
        p = self.usage()
        return torch.exp(-(p * (p + self.eps).log()).sum())

    def entropy(self):
        p = self.usage()
        return (p * (p / (1.0 / len(p) + self.eps)).log()).sum()

    def presence(self, z, valid, temperature, eps=1e-6):
        """Soft OR over clusters of the soft code assignment. Uses the codebook after its update. [B,K]"""
        B, S, D = z.shape
        a = z.reshape(-1, D)
        d2 = (a * a).sum(1, keepdim=True) - 2 * a @ self.embeddings.T + (self.embeddings ** 2).sum(1)
        P = torch.softmax(-d2 / max(temperature, eps), -1).view(B, S, -1) * valid.to(z.dtype).unsqueeze(-1)
        return 1 - torch.exp(torch.log1p(-P.clamp(eps, 1 - eps)).sum(1))

    @torch.no_grad()
    def kmeans(self, samples, perm, refill, iters=25, tol=1e-4):
        """perm: permutation of the samples whose first K start the centres; refill(n): n sample indices for empty
        centres. Fewer samples than codes: samples repeated cyclically. Stops when the mean shift stops changing."""
        n, K = len(samples), len(self.embeddings)
        if n < K:
            centres = samples.repeat((K + n - 1) // n, 1)[:K]
        else:
            centres, last = samples[perm[:K]].clone(), None
            for _ in range(iters):
                a = self.distance(samples, centres).argmin(1)
                cnt = torch.bincount(a, minlength=K)
                new = seg_sum(samples, a, K)
                empty = cnt == 0
                if empty.any():
                    new[empty] = samples[refill(int(empty.sum()))]
                new = new / cnt.clamp(min=1).unsqueeze(1)
                shift = (new - centres).norm(dim=1).mean()
                centres = new
                if last is not None and abs(shift - last) < tol:
                    break
                last = shift
        self.embeddings, self.ema_sums = centres.clone(), centres.clone()
        self.ema_counts = torch.ones(K, dtype=centres.dtype)


# ------------------------------------------------------------------------------------------ fusion, model
class ClusterAttention(nn.Module):
    """One query per graph over its clusters, H heads. Without `corrected` no gradient passes through the scores."""
    def __init__(self, dim, heads=4, rate=0.1, temperature=1.0, corrected=False):
        super().__init__()
        self.heads, self.rate, self.temperature, self.corrected = heads, rate, temperature, corrected
        for n in ("q", "k", "v", "out"):
            self.add_module(n, nn.Linear(dim, dim, bias=False))

    def forward(self, query, C, valid, draws=None, trace=None):
        B, S, D = C.shape
        d = D // self.heads
        q = self.q(query).view(B, self.heads, 1, d)
        k = self.k(C).view(B, S, self.heads, d).transpose(1, 2)
        v = self.v(C).view(B, S, self.heads, d).transpose(1, 2)
        score = (q * k).sum(-1) / (d ** 0.5 * max(self.temperature, 1e-6))
        score = score.masked_fill(~valid.unsqueeze(1), -1e9)
        if not self.corrected:
            score = score.detach()
        a = torch.softmax(score, -1) * valid.unsqueeze(1).to(C.dtype)
        a = a / a.sum(-1, keepdim=True).clamp(min=1e-6)
        a = dropout(a, self.rate, draws, "global_cluster_attn.dropout")
        if trace is not None:
            trace.update({"attn.score": score, "attn.weight": a})
        pooled = self.out((a.unsqueeze(-1) * v).sum(2).reshape(B, D))
        return pooled, a.mean(1)


class GateFusion(nn.Module):
    """LN(g + beta * W c), beta = sigmoid(MLP[g, c]) per feature."""
    def __init__(self, dim, rate=0.1):
        super().__init__()
        self.rate = rate
        hidden = dim // 2 if dim // 2 > 0 else max(32, dim // 2)
        self.beta_mlp = nn.ModuleDict({"0": nn.Linear(2 * dim, hidden), "3": nn.Linear(hidden, dim)})
        self.proj_c = nn.Linear(dim, dim, bias=False)
        self.ln = nn.LayerNorm(dim)
        nn.init.zeros_(self.beta_mlp["3"].bias)

    def forward(self, g, c, draws=None, trace=None):
        h = dropout(torch.relu(self.beta_mlp["0"](torch.cat([g, c], -1))), self.rate, draws, "fw_gate.beta_mlp.2")
        beta = torch.sigmoid(self.beta_mlp["3"](h))
        if trace is not None:
            trace["gate.beta"] = beta
        return self.ln(g + beta * self.proj_c(c))


class ParToken(nn.Module):
    def __init__(self, num_classes=2, node_in=(6, 3), node_h=(100, 16), edge_in=(32, 1), edge_h=(32, 1), num_layers=3,
                 drop_rate=0.1, pooling="sum", seq_in=False, max_clusters=5, nhid=50, k_hop=1, cluster_size_max=25,
                 termination_threshold=0.95, tau_init=1.0, tau_min=0.1, tau_decay=0.95, codebook_size=512,
                 codebook_beta=0.25, codebook_decay=0.99, codebook_eps=1e-5, cosine=False, psc_temp=0.3,
                 lambda_vq=1.0, lambda_psc=1e-2, lambda_card=0.005, heads=4, quantized=False, corrected=False):
        super().__init__()
        self.pooling, self.seq_in, self.psc_temp, self.quantized, self.corrected = pooling, seq_in, psc_temp, quantized, corrected
        self.lambdas = dict(vq=lambda_vq, psc=lambda_psc, card=lambda_card)
        if seq_in:
            self.sequence_embedding = nn.Embedding(20, 20)
            node_in = (node_in[0] + 20, node_in[1])
        ns = node_h[0]
        self.node_encoder = Stack(LayerNorm(*node_in), GVP(*node_in, *node_h, act=False))
        self.edge_encoder = Stack(LayerNorm(*edge_in), GVP(*edge_in, *edge_h, act=False))
        self.gvp_layers = nn.ModuleList([ConvLayer(node_h, edge_h, drop_rate) for _ in range(num_layers)])
        self.output_projection = Stack(LayerNorm(*node_h), GVP(*node_h, ns, 0))
        self.partitioner = Partitioner(ns, max_clusters, nhid, k_hop, cluster_size_max, termination_threshold,
                                       tau_init, tau_min, tau_decay, corrected)
        self.global_cluster_attn = ClusterAttention(ns, heads, drop_rate, corrected=corrected)
        self.fw_gate = GateFusion(ns, drop_rate)
        self.codebook = Codebook(codebook_size, ns, codebook_beta, codebook_decay, codebook_eps, cosine, corrected)
        self.cluster_attention = nn.ModuleDict({"0": nn.Linear(ns, ns // 2), "3": nn.Linear(ns // 2, 1)})   # unused
        self.classifier = Head((ns, 4 * ns, 2 * ns, num_classes), drop_rate)

    def encode(self, g, draws=None, trace=None):
        s = torch.cat([g.node_s, self.sequence_embedding(g.seq)], -1) if self.seq_in else g.node_s
        s, v = self.node_encoder(s, g.node_v)
        es, ev = self.edge_encoder(g.edge_s, g.edge_v)
        for i, layer in enumerate(self.gvp_layers):
            s, v = layer(s, v, g.edge_index, es, ev, draws, f"gvp_layers.{i}")
        return self.output_projection(s, v)[0]

    def forward(self, g, uniforms, draws=None, bypass=False, stats=SparseStats, trace=None, clock=None):
        tick = (lambda k: clock.append((k, time.perf_counter()))) if clock is not None else (lambda k: None)
        tick("start")
        x = self.encode(g, draws)
        tick("encoder")
        clusters, valid, assign, penalty = self.partitioner(x, g, uniforms, draws, stats, trace)
        tick("partitioner")
        extra = dict(assign=assign, valid=valid, penalty=penalty, clusters=clusters, node_out=x)
        C = clusters
        if not bypass:
            zq, extra["code"], extra["commit"] = self.codebook(clusters, valid, update=draws is not None)
            C = zq if self.quantized else clusters
        tick("codebook")
        pooled = pool_nodes(x, g.batch, g.num_graphs, self.pooling)
        star, extra["importance"] = self.global_cluster_attn(pooled, C, valid, draws, trace)
        fused = self.fw_gate(pooled, star, draws, trace)
        logits = self.classifier(fused, draws, "classifier")
        tick("attention")
        if not bypass:
            extra["presence"] = self.codebook.presence(clusters, valid, self.psc_temp)
        tick("presence")
        if trace is not None:
            trace.update({"pooled": pooled, "c_star": star, "fused": fused})
        return logits, extra

    def losses(self, logits, y, extra, mode="composite"):
        """composite: CE + l_vq beta commit + l_psc psc + cardinality; loop: CE + beta commit; ce: CE only."""
        out = {"cls": nn.functional.cross_entropy(logits, y)}
        lam = self.lambdas
        if mode == "ce":
            return {**out, "total": out["cls"]}
        out["vq"] = self.codebook.beta * extra["commit"]
        if mode == "loop":
            return {**out, "total": out["cls"] + out["vq"]}
        out["psc"] = -(1 - torch.prod(1 - extra["presence"].clamp(0, 1), -1)).mean()
        out["card"] = extra["penalty"] if self.corrected else lam["card"] * extra["penalty"]
        out["total"] = out["cls"] + lam["vq"] * out["vq"] + lam["psc"] * out["psc"] + lam["card"] * out["card"]
        return out


def lr_factor(epoch, warmup, total):
    """Per-epoch learning-rate factor."""
    if epoch < warmup:
        return max(1e-6, epoch / max(1, warmup))
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, total - warmup)))


def ramp(first, last, epoch, epochs):
    """Linear ramp of loss weights."""
    a = 1.0 if epoch >= epochs else epoch / epochs
    return {k: (1 - a) * first[k] + a * last.get(k, first[k]) for k in first}


def partition_stats(assign, valid, importance, g):
    """coverage, clusters used, mean size of the used clusters, entropy of the importance (per graph)."""
    size = torch.bincount(g.batch, minlength=g.num_graphs).to(importance.dtype)
    took = seg_sum((assign >= 0).to(importance.dtype), g.batch, g.num_graphs)
    used = valid.sum(1).to(importance.dtype)
    q = torch.where(valid, importance + 1e-8, torch.ones_like(importance))
    return dict(coverage=took / (size + 1e-8), clusters=used, mean_size=took / used.clamp(min=1),
                entropy=-(q * q.log()).sum(1))


# ------------------------------------------------------------------------------------------ fixtures
SMALL = dict(gvp.SMALL, node_h=(12, 4), nhid=6, max_clusters=3, cluster_size_max=4, codebook_size=7, heads=4, k_hop=2, lambda_psc=0.3,
             lambda_card=0.2)
MEDIUM = dict(gvp.MEDIUM, nhid=12, max_clusters=5, cluster_size_max=12, codebook_size=24, heads=4)
DEFAULTS = dict(node_in=(6, 3), edge_in=(32, 1), node_h=(100, 16), edge_h=(32, 1), num_layers=3, pooling="sum",
                seq_in=False, max_clusters=5, nhid=50, k_hop=1, cluster_size_max=25, termination_threshold=0.95,
                tau_init=1.0, tau_min=0.1, tau_decay=0.95, codebook_size=512, codebook_beta=0.25, codebook_decay=0.99,
                codebook_eps=1e-5, cosine=False, psc_temp=0.3, lambda_vq=1.0, lambda_psc=1e-2, lambda_card=0.005, heads=4,
                quantized=False, corrected=False, drop_rate=0.1, num_classes=2)


def calibrate(model, g, seed):
    """Codes near real cluster embeddings and a threshold bias that selects about half of the candidates."""
    un, ex = Draws(seed + 100), model.partitioner.expander
    with torch.no_grad():
        tr = {}
        model(g, un, trace=tr)
        gap = [(tr[k.replace("theta", "score")] - tr[k][g.batch])[tr[k.replace("theta", "candidate")]]
               for k in tr if k.endswith("theta")]
        if gap:
            ex.threshold_head["mlp"][2].bias += torch.cat(gap).median()
        _, extra = model(g, un)
        zs = extra["clusters"][extra["valid"]]
        cb = model.codebook
        K = len(cb.embeddings)
        gen = torch.Generator().manual_seed(seed)
        noise = torch.randn(K, zs.shape[1], generator=gen, dtype=torch.float64)
        e = zs[torch.arange(K) % len(zs)] + 0.3 * zs.std() * noise
        cb.embeddings, cb.ema_sums = e.clone(), e.clone() * (1 + torch.arange(K) % 3).unsqueeze(1)
        cb.ema_counts = (1.0 + torch.arange(K) % 3).to(torch.float64)
        # a temperature of the order of the distances keeps the presence probabilities away from 0 and 1
        model.psc_temp = float(cb.distance(zs, cb.embeddings).median()) / 4
    return model


def make_fixture(case, seed, out, structures):
    torch.set_default_dtype(torch.float64)
    if case == "kmeans":
        gen = torch.Generator().manual_seed(seed)
        base = torch.randn(9, 6, generator=gen) * 2
        xs = base[torch.randint(0, 9, (160,), generator=gen)] + 0.3 * torch.randn(160, 6, generator=gen)
        xs[40:80] = xs[0:40]                      # duplicates: some starting centres coincide, so some become empty
        perm = torch.cat([torch.tensor([0, 40, 1, 41, 2, 42]), torch.arange(3, 40), torch.arange(43, 160)])
        pool, used = torch.randint(0, 160, (400,), generator=gen), [0]

        def refill(n):
            used[0] += n
            return pool[used[0] - n:used[0]]
        cb = Codebook(14, 6)
        cb.kmeans(xs, perm, refill)
        few = Codebook(14, 6)
        few.kmeans(xs[:5], None, None)
        return gvp.h5_write(out, dict(inputs=dict(samples=xs, perm=perm, refill=pool), outputs=dict(
            centres=cb.embeddings, refills_used=np.array(used), few_centres=few.embeddings)), dict(case=case, K=14, few=5))
    quiet = case in ("edge",)
    if case in ("tiny", "corrected", "quantized"):
        kw, g = dict(SMALL, drop_rate=0.25, corrected=case == "corrected"), gvp.toy_batch(4, seed, (6, 14, 11))
        if case == "quantized":
            kw.update(quantized=True, cosine=True, pooling="mean", k_hop=1)
    elif case == "edge":
        kw, g = dict(SMALL, drop_rate=0.0), gvp.edge_batch()[0]
    else:
        chains = gvp.real_chains(structures, {"full": 40, "bypass": 48}.get(case, 110))
        g = gvp.collate([gvp.featurise(c.coords, 30) for c in chains], [c.seq for c in chains],
                        [i % 2 for i in range(len(chains))])
        kw = dict(drop_rate=0.1, cluster_size_max=12) if case == "full" else dict(MEDIUM, drop_rate=0.1)
        if case == "bypass":
            kw.update(quantized=False, seq_in=True, pooling="mean")
    model = calibrate(gvp.randomise(ParToken(**kw), seed), g, seed)
    model.partitioner.epoch += 3
    uniforms = Draws(seed)
    draws = None if quiet else Draws(seed + 1)
    bypass = case == "bypass"
    before = {n: b.clone() for n, b in model.named_buffers()}
    trace = {}
    logits, extra = model(g, uniforms, draws, bypass=bypass, trace=trace)
    parts = model.losses(logits, g.y, extra, "ce" if bypass else "composite")
    parts["total"].backward()
    outs = dict(logits=logits, clusters=extra["clusters"], assign=extra["assign"], valid=extra["valid"],
                importance=extra["importance"], penalty=extra["penalty"], node_out=extra["node_out"],
                **{k: extra[k] for k in ("code", "commit", "presence") if k in extra})
    if case in ("tiny", "corrected", "quantized", "edge"):
        outs["trace"] = trace
    else:
        outs["trace"] = {k: v for k, v in trace.items() if k.split(".")[-1] in ("seed", "theta", "phi")}
    after = {n: b.clone() for n, b in model.named_buffers()}
    with torch.no_grad():
        model.load_state_dict({**model.state_dict(), **before})
        outs["logits_eval"] = model(g, uniforms, bypass=bypass)[0]          # noise kept, as upstream
        outs["logits_quiet"], quiet_extra = model(g, None, bypass=bypass)    # no noise, our default for inference
        outs["assign_quiet"] = quiet_extra["assign"]
        model.load_state_dict({**model.state_dict(), **after})
    outs["buffers_after"] = {n: gvp.digest(b, n) if case == "full" else b.clone() for n, b in model.named_buffers()}
    outs["stats"] = partition_stats(extra["assign"], extra["valid"], extra["importance"].detach(), g)
    outs["perplexity"], outs["entropy"] = model.codebook.perplexity(), model.codebook.entropy()
    named = dict(model.named_parameters())
    zero = lambda p: torch.zeros_like(p) if p.grad is None else p.grad
    tree = dict(params=named, buffers=before, inputs=gvp.batch_tree(g), outputs=outs, loss=parts,
                grads={n: (gvp.digest(zero(p), n) if case == "full" else zero(p)) for n, p in named.items()},
                random={**uniforms.table, **(draws.table if draws else {})})
    attrs = dict(system="partoken", case=case, seed=seed, bypass=bypass, lr=1e-3,
                 loss_mode="ce" if bypass else "composite", grads="digest" if case == "full" else "full",
                 **{k: (list(v) if isinstance(v, tuple) else v) for k, v in {**DEFAULTS, **kw}.items()})
    attrs["psc_temp"] = model.psc_temp
    if case == "real":   # 10 Adam steps: dropout off, the same uniforms every step, EMA updates on, temperature fixed
        fresh = calibrate(gvp.randomise(ParToken(**kw), seed), g, seed)
        fresh.partitioner.epoch += 3
        off = type("Off", (Draws,), {"keep": lambda self, site, shape, rate, dtype: torch.full(shape, 1.0 - rate)})()

        def loss(m, b):
            lo, ex = m(b, uniforms, off)
            return m.losses(lo, b.y, ex, "composite")["total"]
        tree["trajectory"] = gvp.train_trajectory(fresh, loss, [g])
        tree["trajectory"]["embeddings_norm"] = fresh.codebook.embeddings.norm()
    gvp.h5_write(out, tree, attrs)


# ------------------------------------------------------------------------------------------ check, bench
def check():
    torch.set_default_dtype(torch.float64)
    m = ParToken()
    n = lambda k: sum(p.numel() for p in k.parameters())
    got = (n(m), n(m.partitioner), n(m.global_cluster_attn), n(m.fw_gate))
    assert got == (710510, 45292, 40000, 25350), got
    worst = 0.0
    for seed in range(4):
        g = gvp.toy_batch(4, seed, (6, 14, 11, 1))
        m = calibrate(gvp.randomise(ParToken(**dict(SMALL, drop_rate=0.25)), seed), g, seed)
        un, dr = Draws(seed), Draws(seed + 9)
        keep = {k: b.clone() for k, b in m.named_buffers()}
        lo, ex = m(g, un, dr)
        m.load_state_dict({**m.state_dict(), **keep})
        lo2, ex2 = m(g, un, dr, stats=DenseStats)
        assert torch.equal(ex["assign"], ex2["assign"])
        worst = max(worst, (lo - lo2).abs().max().item())
        sizes = torch.bincount(ex["assign"][ex["assign"] >= 0] + 3 * g.batch[ex["assign"] >= 0])
        assert int(sizes.max()) <= 4
        assert torch.allclose(m(g, un)[1]["importance"].sum(1), torch.ones(()))
        m.load_state_dict({**m.state_dict(), **keep})
        e1, e2 = m(g, un)[0], m(g, un, bypass=True)[0]
        assert torch.equal(e1, e2)          # without `quantized` the codebook does not touch the logits
    assert worst < 1e-12, worst
    # attention with corrected gradients: finite differences
    att = gvp.randomise(ClusterAttention(8, 2, 0.0, corrected=True), 1)
    q, C, v = torch.randn(3, 8), torch.randn(3, 4, 8), torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    assert torch.autograd.gradcheck(lambda a, b: att(a, b, v)[0], (q.requires_grad_(), C.requires_grad_()))
    assert abs(lr_factor(0, 5, 15) - 1e-6) < 1e-12 and lr_factor(5, 5, 15) == 1.0
    print(f"ok: {got} parameters, sparse vs dense {worst:.1e}")


def bench(a):
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    if a.files:
        chains = [c.coords for p in a.files for c in gvp.read_structure(p)[:1]]
    else:
        chains = gvp.load_bench_chains(a.chains, a.batch)
    g = gvp.collate([gvp.featurise(c, a.topk, dtype=torch.float32) for c in chains], None, [i % 2 for i in range(len(chains))])
    m = ParToken()
    opt = torch.optim.Adam(m.parameters(), lr=1e-4)
    parts = {}

    def step():
        opt.zero_grad()
        clock = []
        lo, ex = m(g, Draws(1), Draws(2), stats=DenseStats if a.dense else SparseStats, clock=clock)
        loss = m.losses(lo, g.y, ex)["total"]
        b = time.perf_counter(); loss.backward()
        c = time.perf_counter(); opt.step()
        d = time.perf_counter()
        parts.update({k: t - clock[i][1] for i, (k, t) in enumerate(clock[1:])}, backward=c - b, optimiser=d - c)
    step()
    sec = gvp.timed(step, a.repeat)
    # partitioner alone (forward, and forward+backward), both ways
    x = torch.randn(len(g.batch), 100)
    res = {}
    for name, st in (("sparse", SparseStats), ("dense", DenseStats)):
        def fwd():
            with torch.no_grad():
                m.partitioner(x, g, Draws(1), Draws(2), st)

        def both():
            y = x.clone().requires_grad_()
            m.partitioner(y, g, Draws(1), Draws(2), st)[0].sum().backward()
        fwd()
        res[name] = dict(forward=gvp.timed(fwd, a.repeat), forward_backward=gvp.timed(both, a.repeat))
    print(json.dumps(dict(system="partoken", graphs=g.num_graphs, nodes=len(g.node_s), edges=g.edge_index.shape[1],
                          threads=a.threads, step_s=sec, partitioner_alone=res, **parts)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("command", choices=["check", "fixture", "bench"])
    ap.add_argument("files", nargs="*")
    ap.add_argument("--case", default="tiny"); ap.add_argument("--seed", type=int, default=1); ap.add_argument("--out")
    ap.add_argument("--threads", type=int, default=1); ap.add_argument("--batch", type=int, default=8)
    ap.add_argument("--topk", type=int, default=51); ap.add_argument("--repeat", type=int, default=3)
    ap.add_argument("--chains"); ap.add_argument("--dense", action="store_true")
    a = ap.parse_intermixed_args()
    torch.set_num_threads(a.threads)
    {"check": check, "bench": lambda: bench(a), "fixture": lambda: make_fixture(a.case, a.seed, a.out, a.files)}[a.command]()


if __name__ == "__main__":
    main()
