"""What `bench/train_step.py` is measured against: a step of a family's model in PyTorch, in `NAME.py` beside this file.

AdamW, clipping, decay and batch are the same on both sides; bfloat16 by autocast. On a GPU: TF32 products and the fused AdamW, as nanoGPT.
Prints one JSON object. Run with an interpreter that has torch and, but for gpt2, transformers; see `make bench`.
"""
import argparse
import contextlib
import importlib
import json
import resource
import time
import types

import numpy as np
import torch
from torch import nn


def load(path, rows, device):
    """The fields of the batch, and of each side its attention mask, None where nothing is padding: the quickest path."""
    found = np.load(path)
    batch = {name: found[name][:rows] for name in found}
    batch = {name: torch.from_numpy(x if x.dtype.kind == 'f' else x.astype(np.int64)).to(device) for name, x in batch.items()}
    for name in [name for name in batch if name.endswith('segments')]:
        real = batch[name] > 0
        batch[name.replace('segments', 'mask')] = None if real.all() else real.long()
    return batch


def measure(case, batch, args):
    torch.manual_seed(0)
    model = importlib.import_module(case.family).Model(case).to(args.device)
    model.train()
    matrices, vectors = [p for p in model.parameters() if p.dim() > 1], [p for p in model.parameters() if p.dim() < 2]
    groups = [{'params': matrices, 'weight_decay': 0.1}, {'params': vectors, 'weight_decay': 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=args.device == 'cuda' or None)
    parameters = sum(p.numel() for p in model.parameters())
    run = torch.compile(model) if args.compile else model
    bfloat16 = case.dtype == 'bfloat16'
    compute = (lambda: torch.autocast(args.device, torch.bfloat16)) if bfloat16 else contextlib.nullcontext
    took, first, begun = [], None, time.perf_counter()
    for _ in range(args.warmup + args.steps):
        started = time.perf_counter()
        for _ in range(args.group):
            with compute():
                loss = run(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if first is None:
                first, compile_seconds = loss.item(), time.perf_counter() - begun
        loss.item()
        if args.device == 'cuda':
            torch.cuda.synchronize()
        took.append(1e3 * (time.perf_counter() - started) / args.group)
    peak = torch.cuda.max_memory_allocated() / 1e6 if args.device == 'cuda' else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {'milliseconds': took[args.warmup:], 'compile_seconds': compile_seconds, 'loss': first, 'parameters': parameters,
            'batch': case.batch, 'megabytes': peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--case', required=True, help='JSON, the fields of bench.cases.Case')
    parser.add_argument('--batch', required=True, help='.npz of the batch, made by bench.cases')
    parser.add_argument('--compile', action='store_true', help='torch.compile')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--warmup', type=int, default=2)
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--group', type=int, default=1)
    parser.add_argument('--smallest', type=int)
    args = parser.parse_args()
    case = types.SimpleNamespace(**json.loads(args.case))
    if args.device == 'cuda':
        torch.set_float32_matmul_precision('high')
    while True:
        try:
            return print(json.dumps(measure(case, load(args.batch, case.batch, args.device), args)))
        except torch.OutOfMemoryError:
            if case.batch // 2 < (args.smallest or case.batch):
                raise
        case.batch //= 2
        torch._dynamo.reset()
        torch.cuda.empty_cache()


if __name__ == '__main__':
    main()
