"""What `bench/train_step.py` is measured against: a GPT-2-shaped PyTorch model, written here or that of `transformers`.

scaled_dot_product_attention, AdamW, autocast for bfloat16; the same shape, clipping and decay on both sides.

Prints one JSON object: milliseconds of each timed step. Run with an interpreter that has torch; see `make bench`.
"""
import argparse
import contextlib
import json
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
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
    def __init__(self, vocab, layers, dim, heads, length):
        super().__init__()
        self.embed, self.positions = nn.Embedding(vocab, dim), nn.Embedding(length, dim)
        self.blocks, self.norm = nn.ModuleList(Block(dim, heads) for _ in range(layers)), nn.LayerNorm(dim)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.embed(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.embed.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))


def published(args):
    """`transformers`' GPT-2 of the same shape, without dropout: module(tokens, targets) -> loss."""
    import transformers
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=args.vocab, n_positions=args.length, n_embd=args.dim, n_layer=args.layers, n_head=args.heads, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0))

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, tokens, targets):
            logits = self.model(tokens, use_cache=False).logits
            return functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))

    return Loss()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--implementation', choices=('torch', 'transformers'), default='torch')
    for name, default in dict(vocab=8192, layers=6, dim=384, heads=6, length=256, batch=16, warmup=3, steps=8).items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--dtype', default='float32')
    args = parser.parse_args()
    torch.manual_seed(0)
    model = published(args) if args.implementation == 'transformers' else Model(args.vocab, args.layers, args.dim, args.heads, args.length)
    matrices, vectors = [p for p in model.parameters() if p.dim() > 1], [p for p in model.parameters() if p.dim() < 2]
    groups = [{'params': matrices, 'weight_decay': 0.1}, {'params': vectors, 'weight_decay': 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    stream = torch.randint(0, args.vocab, (args.batch, args.length + 1))
    tokens, targets = stream[:, :-1].contiguous(), stream[:, 1:].contiguous()
    compute = (lambda: torch.autocast('cpu', torch.bfloat16)) if args.dtype == 'bfloat16' else contextlib.nullcontext
    took = []
    for _ in range(args.warmup + args.steps):
        begun = time.perf_counter()
        with compute():
            loss = model(tokens, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        took.append(1e3 * (time.perf_counter() - begun))
    print(json.dumps({'milliseconds': took[args.warmup:]}))


if __name__ == '__main__':
    main()
