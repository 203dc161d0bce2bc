"""What `bench/decode.py` is measured against: greedy `generate` of `transformers`' GPT-2 of the same shape."""
import argparse
import json
import time
import types

import torch
import transformers


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--case', required=True)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--rows', default='1')
    for name, default in dict(prompt=16, new=128, repeats=3).items():
        parser.add_argument(f'--{name}', type=int, default=default)
    args = parser.parse_args()
    case = types.SimpleNamespace(**json.loads(args.case))
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=case.vocab, n_positions=case.length, n_embd=case.dim, n_layer=case.layers, n_head=case.heads, bos_token_id=0,
        eos_token_id=None, pad_token_id=0, attn_implementation='sdpa')).to(args.device, getattr(torch, case.dtype)).eval()
    for rows in map(int, args.rows.split(',')):
        prompts, took = torch.randint(case.vocab, (rows, args.prompt), device=args.device), []
        for _ in range(1 + args.repeats):
            begun = time.perf_counter()
            with torch.inference_mode():
                model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=args.new, do_sample=False).cpu()
            took.append(1e3 * (time.perf_counter() - begun) / args.new)
        print(json.dumps({'milliseconds': took[1:], 'parameters': sum(p.numel() for p in model.parameters()), 'rows': rows}), flush=True)


if __name__ == '__main__':
    main()
