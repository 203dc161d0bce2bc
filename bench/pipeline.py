"""Tokens a second that the data pipeline makes, documents to batch, on one core: `python -m bench.pipeline`.

Text is tokenised to bytes beforehand. Counted are the places of a row that the configured length names (the encoder's, in
span corruption), padding left out.
"""
import argparse
import json
import os
import time

import numpy as np

from data import cache, objectives, pipeline, sources, tokenizer

CASES = (('causal_lm', 1024), ('masked_lm', 512), ('span_corruption', 512))


def tokens(spec):
    """The documents of a source as `Tokens` of bytes, in the type that a cache file has."""
    vocabulary = tokenizer.Bytes()
    found = cache.Tokens.from_arrays(vocabulary.encode_batch(list(sources.open(spec))), vocabulary.special)
    found.flat = found.flat.astype(np.uint16)
    return found


def measure(source, seconds=3.0, batch_size=32, threads=1):
    """[(objective, length, tokens a second, tokens a second of processor time, share of places filled)].

    The two speeds are the same on an idle machine.
    """
    results = []
    for name, length in CASES:
        stream = pipeline.batches(objectives.load(name)(sequence_length=length), source, seed=0, batch_size=batch_size,
                                  threads=threads)
        next(stream)
        start, cpu, made, batches = time.perf_counter(), time.process_time(), 0, 0
        while time.perf_counter() - start < seconds:
            batch = next(stream)
            made += np.count_nonzero(batch.get('encoder_segments', batch['segments']))
            batches += 1
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        stream.close()
        results.append((name, length, made / took, made / cpu, made / (batches * batch_size * length)))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--source', default='bundled:novels', help='text, as in data.train')
    parser.add_argument('--seconds', type=float, default=3.0, help='for each objective')
    parser.add_argument('--json', action='store_true', help='one JSON object an objective')
    args = parser.parse_args()
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    source = tokens(args.source)
    if args.json:
        for name, length, speed, _, _ in measure(source, args.seconds):
            print(json.dumps({'objective': name, 'length': length, 'tokens_per_second': speed}))
        return
    print(f'{args.source}: {len(source)} documents, {source.num_tokens:,} tokens; one core')
    for name, length, speed, cpu, filled in measure(source, args.seconds):
        print(f'{name:16} {length:5}   {speed / 1e6:5.2f} M tokens/s   {cpu / 1e6:5.2f} M tokens/cpu-s   {filled:6.1%} filled')


if __name__ == '__main__':
    main()
