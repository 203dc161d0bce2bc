"""nanoGPT's documented CPU setting, for `python -m bench quality`: 4 layers, 128 wide, 64 characters, batch 12, 2,000 steps.

Model and hyper-parameters as in nanoGPT's README ("i only have a macbook" section of the Shakespeare example); characters of the
given text, the first 90 % to train on. Prints one JSON object: seconds since process start and bits a byte of the whole validation part.
"""
import argparse
import json
import lzma
import math
import time

BEGUN = time.time()

import numpy as np  # noqa: E402  (the clock starts before the imports)
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

LAYERS, DIM, HEADS, LENGTH, BATCH, STEPS, WARMUP, PEAK, LAST = 4, 128, 4, 64, 12, 2000, 100, 1e-3, 1e-4


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return functional.layer_norm(x, (DIM,), self.weight, None, 1e-5)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.mlp_norm = Norm(), Norm()
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM, bias=False), nn.Linear(DIM, DIM, bias=False)
        self.up, self.down = nn.Linear(DIM, 4 * DIM, bias=False), nn.Linear(4 * DIM, DIM, bias=False)

    def forward(self, x):
        B, T, _ = x.shape
        query, key, value = (y.view(B, T, HEADS, -1).transpose(1, 2) for y in self.qkv(self.attention_norm(x)).split(DIM, dim=2))
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, DIM))
        return x + self.down(functional.gelu(self.up(self.mlp_norm(x))))


class Model(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed, self.positions = nn.Embedding(vocab, DIM), nn.Embedding(LENGTH, DIM)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(LAYERS)), Norm()
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(('out.weight', 'down.weight'))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)

    def forward(self, tokens, targets):
        x = self.embed(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.embed.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def rate(step):
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    return LAST + 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) * (PEAK - LAST)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--text', required=True, help='novels.jsonl.xz')
    parser.add_argument('--seed', type=int, default=1337)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    with lzma.open(args.text, 'rt', encoding='utf-8') as file:
        text = ''.join(json.loads(line)['text'] for line in file)
    ids = {character: i for i, character in enumerate(sorted(set(text)))}
    stream = torch.from_numpy(np.array([ids[character] for character in text], np.int64))
    cut = int(0.9 * len(text))
    train, held = stream[:cut], stream[cut:]
    model = Model(len(ids))
    matrices, vectors = [p for p in model.parameters() if p.dim() > 1], [p for p in model.parameters() if p.dim() < 2]
    groups = [{'params': matrices, 'weight_decay': 0.1}, {'params': vectors, 'weight_decay': 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group['lr'] = rate(step)
        starts = torch.randint(len(train) - LENGTH, (BATCH,)).tolist()
        loss = model(torch.stack([train[i:i + LENGTH] for i in starts]), torch.stack([train[i + 1:i + 1 + LENGTH] for i in starts]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.time() - BEGUN              # the validation below is not counted against it
    rows = (len(held) - 1) // LENGTH
    tokens, targets = held[:rows * LENGTH].view(rows, LENGTH), held[1:rows * LENGTH + 1].view(rows, LENGTH)
    with torch.no_grad():
        nats = sum(model(tokens[i:i + 256], targets[i:i + 256]).item() * min(256, rows - i) for i in range(0, rows, 256)) / rows
    bits = nats * len(held) / math.log(2) / len(text[cut:].encode())
    print(json.dumps({'seconds': seconds, 'bits_per_byte': bits}))


if __name__ == '__main__':
    main()
