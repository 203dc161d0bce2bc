"""Fill-in-the-middle: causal LM on texts whose middle was moved to the end (Bavarian et al. 2022; BigCode's Megatron-LM).

Rows are causal LM's packed ones. With probability `fim_rate` a document (or piece of one) is decoded, two of its n + 1 gaps between
characters are drawn independently, and prefix, middle and suffix are tokenised anew, so that cuts fall inside tokens:
    PSM <prefix> prefix <suffix> suffix <middle> middle      SPM, with probability `spm_rate`, in the order of `spm`
Everything counts in the loss, the marks too; EOS ends what is the end of a document. The original cuts each row to its former length, and
with it most EOS; here a piece has room for its marks and some more tokens, and nothing is lost: where that is too little, the cuts fall
between tokens. Bytes of a character that a piece's limits cut stay at its two ends.
"""
import dataclasses
from typing import Annotated

import numpy as np

from data import example, objectives, special_tokens
from data.rows import packing

GROWTH = 12                                   # tokens that two cuts may add; where they would add more, see `cut`
# paper: variant 1 of the paper, <suffix> suffix <prefix> prefix <middle> middle. joint: variant 2, which the code has, so that
# SPM, too, begins with <prefix>: <prefix> <suffix> suffix <middle> prefix middle.
SPM = ('joint', 'paper')


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # T, marks and EOS included
    fim_rate: Annotated[float, '0 to 1', 'share of the documents that are rearranged'] = 0.5
    spm_rate: Annotated[float, '0 to 1', 'of the documents rearranged, the share whose suffix comes first'] = 0.5
    spm: Annotated[str, SPM, 'how a document with its suffix first is written'] = 'joint'

    architectures = ('decoder',)
    hint = objectives.Hint('causal', 'packed')
    reads = (('spm_rate', 'fim_rate', ()), ('spm', 'spm_rate', ()))
    marks = True
    needs = ('sentinels',)

    def problems(self, special=None):
        least, marks = 2 * (3 + GROWTH), len(special_tokens.MARKS)
        found = special.num_sentinels if special else marks
        return super().problems(special) + objectives.refused(
            ('sequence_length', self.sequence_length >= least, f'expected at least {least}: three marks, text and EOS.'),
            ('tokenizer.path', found == 0 or found >= marks, f'marks take {marks} sentinels, the tokenizer has {found}.'))

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row (data/rows/packing.py), longest first. n is the same for every epoch."""
        lengths = packing.ended(source.lengths)
        return packing.rows(lengths, self.sequence_length, example.rng(seed, epoch, -1), self._room(source))

    def transform(self, source, row, rng):
        parts = []
        for piece in self._pieces(source, row):
            text = piece[:-1] if piece[-1] == source.special.eos else piece
            if len(text) and rng.random() < self.fim_rate:
                prefix, middle, suffix = cut(text, source.tokenizer, rng, GROWTH)
                piece = np.concatenate([self._order(prefix, middle, suffix, source.special, rng), piece[len(text):]])
            parts.append(piece)
        lengths, targets = [len(part) for part in parts], np.concatenate(parts).astype(np.int32)
        size, total = self.sequence_length, len(targets)
        targets = example.padded(targets, size, source.special.pad)
        return {'tokens': example.shifted(targets, lengths, source.special.bos), 'targets': targets,
                'weights': example.weights(total, size), **example.causal(lengths, size)}

    def original(self, source, row):
        """The pieces of the row as they stand in their documents, EOS included."""
        return packing.segments(source, row, self.sequence_length - self._room(source))[0]

    def expected(self):
        return {'fim': self.fim_rate, 'spm': self.spm_rate}

    def realised(self, source, row, made):
        """fim: of the pieces with text; spm: of those. With `joint`, PSM with an empty prefix looks like SPM and counts as it."""
        special, targets = source.special, made['targets']
        texts = sum(int(piece[0] != special.eos) for piece in self._pieces(source, row))
        at = {name: targets == special.mark(f'fim_{name}') for name in ('prefix', 'suffix', 'middle')}
        first = made['positions'] == 0
        spm = at['suffix'] & first if self.spm == 'paper' else at['suffix'] & np.roll(at['prefix'], 1)
        return {'fim': (int(at['middle'].sum()), texts), 'spm': (int(spm.sum()), int(at['middle'].sum()))}

    def _order(self, prefix, middle, suffix, special, rng):
        before, after, last = ([special.mark(f'fim_{name}')] for name in ('prefix', 'suffix', 'middle'))
        if rng.random() >= self.spm_rate:
            return np.concatenate([before, prefix, after, suffix, last, middle])
        if self.spm == 'paper':
            return np.concatenate([after, suffix, before, prefix, last, middle])
        return np.concatenate([before, after, suffix, last, prefix, middle])

    def _pieces(self, source, row):
        ids, lengths = packing.segments(source, row, self.sequence_length - self._room(source))
        return np.split(ids, np.cumsum(lengths)[:-1])

    def _room(self, source):
        """Places that a piece takes beside its tokens."""
        grows = source.token_bytes.max() > 1  # a vocabulary of bytes spells every part with the same ids
        return (3 + GROWTH * int(grows)) * (self.fim_rate > 0)


def cut(ids, tokenizer, rng, growth):
    """(prefix, middle, suffix): int32 ids of a text cut at two of n + 1 gaps, drawn with replacement; at most `growth` more."""
    begin, end = characters(ids, tokenizer.table)
    text = tokenizer.decode(ids[begin:end], skip_special=True)
    one, two = sorted(rng.integers(len(text) + 1, size=2).tolist())
    prefix, middle, suffix = tokenizer.encode_batch([text[:one], text[one:two], text[two:]])
    if begin + len(prefix) + len(middle) + len(suffix) + len(ids) - end <= len(ids) + growth:
        return np.concatenate([ids[:begin], prefix]), middle, np.concatenate([suffix, ids[end:]])
    return tuple(np.split(ids, np.sort(rng.integers(len(ids) + 1, size=2))))


def characters(ids, table):
    """(begin, end): the ids that spell complete characters; a piece of a document may begin and end inside one, spelt in bytes."""
    begin, end = 0, len(ids)
    while begin < end and b'\x80' <= table[ids[begin]][:1] < b'\xc0':
        begin += 1
    for back in range(1, min(3, end - begin) + 1):
        first = table[ids[end - back]][:1]
        if first >= b'\xc0':                  # the first byte of a character of 2, 3 or 4
            spelt = sum(len(table[i]) for i in ids[end - back:end])
            return begin, end - back * (spelt < 2 + (first >= b'\xe0') + (first >= b'\xf0'))
        if first < b'\x80':
            break
    return begin, end
