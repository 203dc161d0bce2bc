"""Throughput of the data pipeline, documents to batches, on one core: `python -m bench.pipeline`.

Text is tokenised to bytes beforehand. Tokens are counted without padding, on the side of `sequence_length`: in span corruption the encoder.
"""
import argparse
import json
import os
import time

import numpy as np

from data import objectives, pipeline, tokenizer
from data.text import cache, sentences, sources

CASES = {                                     # label: (objective, its settings); compared if `peers/collators.py` has the same label
    'causal_lm': ('causal_lm', dict(sequence_length=1024)),
    'masked_lm': ('masked_lm', dict(sequence_length=512)),
    'masked_lm, whole words': ('masked_lm', dict(sequence_length=512, select='word')),
    'masked_lm, next sentence': ('masked_lm', dict(sequence_length=512, inputs='next_sentence')),
    'span_corruption': ('span_corruption', dict(sequence_length=512)),
    'ul2': ('ul2', dict(sequence_length=512)),
    'denoising': ('denoising', dict(sequence_length=512)),
    'replaced_token_detection': ('replaced_token_detection', dict(sequence_length=512)),
    'permuted_lm': ('permuted_lm', dict(sequence_length=512, batch_size=32)),
}


def tokens(spec: str) -> cache.Tokens:
    """The documents of a source as `Tokens` of bytes with their sentences, in the integer type of a cache file."""
    vocabulary, texts = tokenizer.Bytes(), list(sources.open(spec))
    documents = vocabulary.encode_batch(texts)
    starts = [sentences.token_starts(text.encode(), ids, vocabulary.token_bytes) for text, ids in zip(texts, documents)]
    found = cache.Tokens.from_arrays(documents, vocabulary.special, starts, tokenizer=vocabulary)
    found.flat = found.flat.astype(np.uint16)
    return found


def measure(source: cache.Tokens, seconds: float = 3.0, batch_size: int = 32, threads: int = 1) -> list[tuple]:
    """[(label, length, tokens a second, tokens a second of processor time, share of the row that is not padding)].

    The two speeds are equal on an idle machine.
    """
    results = []
    for label, (name, settings) in CASES.items():
        objective, length = objectives.load(name)(**settings), settings['sequence_length']
        stream = pipeline.batches(objective, source, seed=0, batch_size=batch_size, shuffle=objective.shuffled, threads=threads)
        next(stream)
        start, cpu, made, batches = time.perf_counter(), time.process_time(), 0, 0
        while time.perf_counter() - start < seconds:
            batch = next(stream)
            made += np.count_nonzero(batch.get('encoder_segments', batch['segments']))
            batches += 1
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        stream.close()
        results.append((label, length, made / took, made / cpu, made / (batches * batch_size * length)))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--source', default='bundled:novels', help='text, as in data.train')
    parser.add_argument('--seconds', type=float, default=3.0, help='for each objective')
    parser.add_argument('--json', action='store_true', help='one JSON object an objective')
    parser.add_argument('--save', metavar='FILE', help='also writes the ids of the documents, one after the other, as .npy')
    args = parser.parse_args()
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    source = tokens(args.source)
    if args.save:
        np.save(args.save, source.flat)
    if args.json:
        for label, length, speed, _, _ in measure(source, args.seconds):
            print(json.dumps({'objective': label, 'length': length, 'tokens_per_second': speed}))
        return
    print(f'{args.source}: {len(source)} documents, {source.num_tokens:,} tokens; one core')
    for label, length, speed, cpu, filled in measure(source, args.seconds):
        print(f'{label:24} {length:5}   {speed / 1e6:5.2f} M tokens/s   {cpu / 1e6:5.2f} M tokens/cpu-s   {filled:6.1%} filled')


if __name__ == '__main__':
    main()
