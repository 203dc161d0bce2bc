"""Tokens a second of `transformers`' data collators on one core: ids of documents, cut into rows, to batches.

`--tokens` is a .npy of ids that are already tokenised, as for our own pipeline; rows are [CLS] ids [SEP]. Run by `python -m bench`.
"""
import argparse
import json
import os
import time

import numpy as np
import tokenizers
import transformers

BATCH = 32


def tokenizer(vocab_size):
    """A tokenizer of as many words as there are ids; the last four are special."""
    special = dict(zip(('pad_token', 'mask_token', 'cls_token', 'sep_token'), ('[PAD]', '[MASK]', '[CLS]', '[SEP]')))
    words = [f'w{i}' for i in range(vocab_size - len(special))] + list(special.values())
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token='w0'))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=model, **special)


def collators(words):
    return {'masked_lm': transformers.DataCollatorForLanguageModeling(words, mlm_probability=0.15, return_tensors='np'),
            'masked_lm, whole words': transformers.DataCollatorForLanguageModeling(words, whole_word_mask=True, mlm_probability=0.15,
                                                                                   return_tensors='np'),
            'permuted_lm': transformers.DataCollatorForPermutationLanguageModeling(words, return_tensors='np')}


def offsets(rows, space=32):
    """int64[n, T, 2]: where tokens of one character begin and end in a text; a gap before a space starts a word."""
    begins = np.arange(rows.shape[1]) + np.cumsum(rows == space, axis=1)
    return np.stack([begins, begins + 1], axis=-1)


def measure(collate, rows, seconds):
    """Tokens a second over batches of consecutive rows, for about as many seconds."""
    made, start, at = 0, None, 0
    while start is None or time.perf_counter() - start < seconds:
        batch = collate(rows[at:at + BATCH])
        at = (at + BATCH) % (len(rows) - BATCH)
        if start is None:                      # the first batch warms up
            start = time.perf_counter()
        else:
            made += batch['input_ids'].size
    return made / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--tokens', required=True)
    parser.add_argument('--length', type=int, default=512)
    parser.add_argument('--seconds', type=float, default=3.0)
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    ids = np.load(args.tokens)
    words = tokenizer(int(ids.max()) + 5)
    text = ids[:len(ids) // (args.length - 2) * (args.length - 2)].reshape(-1, args.length - 2).astype(np.int64)
    ends = (np.full((len(text), 1), i) for i in (words.cls_token_id, words.sep_token_id))
    ids = np.concatenate([next(ends), text, next(ends)], axis=1)
    plain, placed = [{'input_ids': row} for row in ids], [{'input_ids': row, 'offset_mapping': at} for row, at in zip(ids, offsets(ids))]
    for name, collate in collators(words).items():
        rows = placed if 'words' in name else plain
        print(json.dumps({'objective': name, 'length': args.length, 'tokens_per_second': measure(collate, rows, args.seconds)}))


if __name__ == '__main__':
    main()
