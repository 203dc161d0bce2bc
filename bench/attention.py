"""Attention alone, forward and backward, each implementation of model/attention: `python -m bench.attention`.

Prints a JSON object for each implementation, kind and length as soon as it is measured, or with `failed`, why it is not.
"""
import argparse
import json
import os
import time
from typing import Callable

from bench import train_step
from data import example
from train.parallel import platform
from train.settings import pages

DOCUMENTS = 4                                 # in a packed row
# {kind: (order and segments of the hint, positions of the model)}
KINDS = {'causal': (('causal', 'one'), 'learned'), 'packed': (('causal', 'packed'), 'learned'), 'T5 bias': (('full', 'one'), 'relative')}


def integers(kind: str, length: int) -> dict:
    """The fields of the attention rule of a row, as an objective makes them."""
    (order, segments), _ = KINDS[kind]
    lengths = [length // DOCUMENTS] * DOCUMENTS if segments == 'packed' else [length]
    return (example.causal if order == 'causal' else example.bidirectional)(lengths, length)


def build(name: str, kind: str, rows: int, heads: int, size: int, length: int, dtype: str) -> tuple[Callable, tuple]:
    """(compiled function, its arguments): attention and the gradients of query, key, value and T5's table. ValueError: not supported."""
    import jax
    import jax.numpy as jnp

    from model import config as model_config, encodings, ops, positions as schemes
    from model.attention import choice, rule as rules

    hint, positions = KINDS[kind]
    config = model_config.Config(heads=heads, dim=heads * size, positions=positions, max_length=length, vocab_size=1)
    fields = {field: jnp.broadcast_to(value, (rows, length)) for field, value in integers(kind, length).items()}
    rule = rules.Rule(fields['sees'], fields['seen'], *[fields['segments']] * 2, *[fields['positions']] * 2)

    def attend(query, key, value, table, rule):
        bias = encodings.Buckets(table, config.relative_distance, hint[0] == 'full', query.dtype) if positions == 'relative' else None
        need = choice.Need(config, ops.platform(), query.dtype, length, length, rules.Hint(*hint), schemes.of(config).scores, training=True)
        return choice.prepare(need, rule, bias, name=name).attend(query, key, value, scale=size ** -0.5)

    def both(arguments, rule, direction):
        out, pull = jax.vjp(lambda *arguments: attend(*arguments, rule), *arguments)
        return out, pull(direction)

    keys = jax.random.split(jax.random.key(0), 5)
    query, key, value, direction = (jax.random.normal(k, (rows, heads, length, size), jnp.dtype(dtype)) for k in keys[:4])
    table = jax.random.normal(keys[4], (config.relative_buckets, heads))
    arguments = (query, key, value, table), rule, direction
    return jax.jit(both).lower(*arguments).compile(), arguments


def measure(function: Callable, arguments: tuple, repeats: int, group: int) -> dict:
    """Milliseconds of a call, of the clock and of the processor, of `repeats` groups of calls; the program waits after each group."""
    import jax

    took, used = [], []
    jax.block_until_ready(function(*arguments))
    for _ in range(repeats):
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(group):
            out = function(*arguments)
        jax.block_until_ready(out)
        took.append(1e3 * (time.perf_counter() - begun) / group)
        used.append(1e3 * (time.process_time() - cpu) / group)
    return {'milliseconds': took, 'processor_milliseconds': used}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--implementations', help='names with commas between; all of model/attention')
    parser.add_argument('--kinds', default=','.join(KINDS))
    parser.add_argument('--lengths', default='512')
    parser.add_argument('--tokens', type=int, help='of all rows together; one row')
    for name, default in dict(heads=4, size=64, repeats=5, group=1).items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--dtype', default='float32')
    args = parser.parse_args()
    platform.prepare(os.environ, args.dtype)
    import jax

    from model.attention import choice

    names = args.implementations.split(',') if args.implementations else choice.IMPLEMENTATIONS
    for length in map(int, args.lengths.split(',')):
        rows = max(1, (args.tokens or 0) // length)
        for kind in args.kinds.split(','):
            for name in names:
                found = {'implementation': name, 'kind': kind, 'length': length, 'rows': rows}
                try:
                    found |= measure(*build(name, kind, rows, args.heads, args.size, length, args.dtype), args.repeats, args.group)
                    found['megabytes'] = train_step.peak(jax.devices()[0])
                except (ValueError, jax.errors.JaxRuntimeError) as error:  # not supported, or too large: a line that says so
                    found['failed'] = str(error).split('\n')[0][:200]
                print(json.dumps(found), flush=True)


if __name__ == '__main__':
    pages.prepare()
    main()
