"""A GPT-2 shaped as nanoGPT writes it: causal scaled_dot_product_attention, tied head, no dropout; biases as in GPT-2."""
import math

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, case):
        super().__init__()
        dim, self.heads = case.dim, case.heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        B, T, D = x.shape
        query, key, value = (y.view(B, T, self.heads, -1).transpose(1, 2) for y in self.qkv(self.attention_norm(x)).split(D, dim=2))
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, D))
        return x + self.down(functional.gelu(self.up(self.mlp_norm(x)), approximate='tanh'))


class Model(nn.Module):
    """Batch -> loss."""

    def __init__(self, case):
        super().__init__()
        self.embed, self.positions = nn.Embedding(case.vocab, case.dim), nn.Embedding(case.length, case.dim)
        self.blocks, self.norm = nn.ModuleList(Block(case) for _ in range(case.layers)), nn.LayerNorm(case.dim)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(('out.weight', 'down.weight'))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * case.layers) if residual else 0.02)

    def forward(self, batch):
        tokens = batch['tokens']
        x = self.embed(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.embed.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), batch['targets'].view(-1))
