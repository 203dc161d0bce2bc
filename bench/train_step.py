"""Milliseconds of the real train step (train/program.py) of a GPT-2-shaped model on random tokens: `python -m bench.train_step`.

Prints one JSON object, like `bench/peers/train_step.py`, which is its counterpart in PyTorch.
"""
import argparse
import json
import os
import time

from train.parallel import platform
from train.settings import pages

FLAGS = dict(vocab=8192, layers=6, dim=384, heads=6, length=256, batch=16, warmup=3, steps=8, unroll=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name, default in FLAGS.items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--dtype', default='float32')
    args = parser.parse_args()
    platform.prepare(os.environ, args.dtype)
    import jax
    import numpy as np

    from data import example
    from data.objectives import causal_lm
    from model import config as model_config
    from train import objectives, program
    from train.parallel import sharding
    from train.settings import schema

    config = schema.Config(
        steps=1000, batch_size=args.batch, sequence_length=args.length, dtype=args.dtype, objective=causal_lm.Objective(args.length),
        model=model_config.Config(layers=args.layers, dim=args.dim, heads=args.heads, vocab_size=args.vocab, max_length=args.length,
                                  activation='gelu_tanh', unroll=args.unroll or None),
        optimizer=schema.Optimizer(learning_rate=1e-3, b2=0.95, weight_decay=0.1))
    stream = np.random.default_rng(0).integers(0, args.vocab, (args.batch, args.length + 1)).astype(np.int32)
    batch = example.stack([{'tokens': row[:-1], 'targets': row[1:], 'weights': example.weights(args.length, args.length),
                            **example.causal([args.length], args.length)} for row in stream])
    mesh = sharding.mesh(config.mesh)
    with jax.set_mesh(mesh):
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
        compiled = program.build(config, objectives.build(config), mesh, shapes)
        placed, took, begun = sharding.put(mesh, batch, args.batch), [], time.perf_counter()
        state = compiled.create()
        for _ in range(args.warmup + args.steps):
            started = time.perf_counter()
            state, measured = compiled.update(state, placed)
            float(measured['loss'])
            took.append(1e3 * (time.perf_counter() - started))
            if len(took) == 1:
                compile_seconds = time.perf_counter() - begun
    print(json.dumps({'milliseconds': took[args.warmup:], 'compile_seconds': compile_seconds}))


if __name__ == '__main__':
    pages.prepare()
    main()
