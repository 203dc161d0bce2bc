"""What `bench/attention.py` is measured against on a GPU: scaled_dot_product_attention, whichever kernel PyTorch takes.

causal by is_causal, packed by a mask, T5's bias as attn_mask. Prints a JSON object for each kind and length.
"""
import argparse
import json
import time

import torch
from torch.nn import functional

DOCUMENTS = 4


def build(kind, rows, heads, size, length, device, dtype):
    """A function that runs forward and backward once."""
    query, key, value, direction = (torch.randn(rows, heads, length, size, device=device, dtype=dtype) for _ in range(4))
    leaves, given = [query, key, value], {'is_causal': kind == 'causal'}
    if kind == 'packed':
        at = torch.arange(length, device=device)
        document = at // max(1, length // DOCUMENTS)
        given['attn_mask'] = ((document[:, None] == document) & (at <= at[:, None]))[None, None]
    elif kind == 'T5 bias':
        given['attn_mask'] = torch.randn(1, heads, length, length, device=device, dtype=dtype)
        leaves.append(given['attn_mask'])
    for leaf in leaves:
        leaf.requires_grad_()
    return lambda: torch.autograd.grad(functional.scaled_dot_product_attention(query, key, value, **given), leaves, direction)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--kinds', default='causal,packed,T5 bias')
    parser.add_argument('--lengths', default='512')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', default='float32')
    for name, default in dict(tokens=0, heads=4, size=64, repeats=5, group=1).items():
        parser.add_argument(f'--{name}', type=int, default=default)
    args = parser.parse_args()
    wait = torch.cuda.synchronize if args.device == 'cuda' else lambda: None
    for length in map(int, args.lengths.split(',')):
        rows = max(1, args.tokens // length)
        for kind in args.kinds.split(','):
            found, took = {'kind': kind, 'length': length, 'rows': rows}, []
            try:
                run = build(kind, rows, args.heads, args.size, length, args.device, getattr(torch, args.dtype))
                for repeat in range(args.repeats + 1):
                    wait()
                    begun = time.perf_counter()
                    for _ in range(args.group if repeat else 1):
                        run()
                    wait()
                    took.append(1e3 * (time.perf_counter() - begun) / (args.group if repeat else 1))
                found['milliseconds'] = took[1:]
            except RuntimeError as error:     # out of memory is one of them
                found['failed'] = str(error).split('\n')[0][:200]
            print(json.dumps(found), flush=True)


if __name__ == '__main__':
    main()
