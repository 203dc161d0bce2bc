"""Milliseconds a token of greedy generation with the shape of a case: `python -m bench.decode`. A JSON object for each number of rows."""
import argparse
import json
import os
import time

from bench import cases
from train.parallel import platform
from train.settings import pages


def measure(case: cases.Case, rows: int, prompt: int, new: int, repeats: int) -> dict:
    """Milliseconds a token of each of `repeats` generations of `new` tokens for `rows` prompts, the prompt's prefill included."""
    import jax
    import numpy as np

    from model import transformer
    from model.decoding import generate

    config = cases.config(case)
    model = transformer.Transformer(config.model, jax.numpy.dtype(config.dtype))
    variables = jax.jit(model.init)(jax.random.key(0), transformer.blank(config.model))
    apply, took = model.apply, []
    prompts = np.random.default_rng(0).integers(0, case.vocab, (rows, prompt)).astype(np.int32)
    for _ in range(1 + repeats):              # the first one compiles
        begun = time.perf_counter()
        found = generate.generate(apply, variables, prompts, [prompt] * rows, max_new_tokens=new, temperature=0.0)
        np.asarray(found)
        took.append(1e3 * (time.perf_counter() - begun) / new)
    return {'milliseconds': took[1:], 'parameters': sum(leaf.size for leaf in jax.tree.leaves(variables)), 'rows': rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--case', default='{"family": "gpt2"}', help='JSON, the fields of bench.cases.Case')
    parser.add_argument('--rows', default='1', help='numbers with commas between')
    for name, default in dict(prompt=16, new=128, repeats=3).items():
        parser.add_argument(f'--{name}', type=int, default=default)
    args = parser.parse_args()
    case = cases.Case(**json.loads(args.case))
    platform.prepare(os.environ, case.dtype)
    for rows in map(int, args.rows.split(',')):
        print(json.dumps(measure(case, rows, args.prompt, args.new, args.repeats)), flush=True)


if __name__ == '__main__':
    pages.prepare()
    main()
