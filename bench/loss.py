"""Time and memory of the loss with the logits whole and in chunks of the vocabulary, forward and backward: `python -m bench.loss`.

Prints one JSON object: {'whole', 'chunked': {'temporaries' in bytes, 'milliseconds' and 'processor_milliseconds', of each repeat}}.
The two alternate in one process, so that other work on the machine affects both.
"""
import argparse
import json
import os
import resource
import time

from train.parallel import platform
from train.settings import pages

FLAGS = dict(tokens=2048, vocab=32768, dim=768, repeats=3, chunk=0)


def measure(tokens: int, vocab: int, dim: int, repeats: int, dtype: str, chunk: int = 0) -> dict:
    """What the script prints. repeats: 0 compiles alone; chunk: columns, 0 = chunked_scoring.CHUNK."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from model import chunked_scoring, config as model_config, heads
    from train.objectives import loss as losses

    chunked_scoring.CHUNK = chunk or chunked_scoring.CHUNK
    module = heads.LanguageHead(model_config.Config(vocab_size=vocab, dim=dim), jnp.dtype(dtype), name='head')

    def loss(x, embedding, targets):
        each, _ = losses.cross_entropy(found := module.apply({}, x, embedding, targets, method='score'), vocab)
        return jnp.mean(each), jnp.mean(found.correct)

    rng = np.random.default_rng(0)
    shapes = (1, tokens, dim), (module.config.padded_vocab, dim)
    x, embedding = (jax.ShapeDtypeStruct(shape, kind) for shape, kind in zip(shapes, (dtype, 'float32')))
    programs, found = {}, {}
    for name, limit in (('whole', 2 ** 62), ('chunked', 0)):
        chunked_scoring.LIMIT = limit
        lowered = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True)).lower(x, embedding, jax.ShapeDtypeStruct((1, tokens), 'int32'))
        programs[name] = lowered.compile()
        found[name] = {'temporaries': programs[name].memory_analysis().temp_size_in_bytes, 'milliseconds': [], 'processor_milliseconds': []}
    given = [jnp.asarray(rng.standard_normal(shape, np.float32) * 0.02 ** i, like.dtype)
             for i, (shape, like) in enumerate(zip(shapes, (x, embedding)))] if repeats else []
    targets = jnp.asarray(rng.integers(0, vocab, (1, tokens)), jnp.int32)
    for turn in range(repeats + 1 if repeats else 0):
        for name, program in programs.items():
            used, begun = processor_seconds(), time.perf_counter()
            jax.block_until_ready(program(*given, targets))
            if turn:                          # the first faults its memory in
                found[name]['milliseconds'].append(1e3 * (time.perf_counter() - begun))
                found[name]['processor_milliseconds'].append(1e3 * (processor_seconds() - used))
    return found


def processor_seconds() -> float:
    """Of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name, default in FLAGS.items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--dtype', default='float32')
    args = parser.parse_args()
    platform.prepare(os.environ, args.dtype)
    print(json.dumps(measure(**vars(args))))


if __name__ == '__main__':
    pages.prepare()
    main()
