"""Masked language modelling: say the hidden tokens of a text from all the others (BERT; Devlin et al. 2019).

A row is [CLS] piece of a document [SEP]. Of its tokens, specials counted, round(rate * length) are chosen among those
that are text; each chosen one becomes [MASK], a random id or stays. Random ids are uniform over the whole vocabulary,
special and unused ids included, as in the original. Masks are drawn anew each epoch (RoBERTa's dynamic masking, with
BERT's counts). The model's output is read at P fixed slots: unused ones point to position 0 with weight 0.
"""
import dataclasses
import functools

import numpy as np

from data import corruption, example, packing


@dataclasses.dataclass(frozen=True)
class Objective:
    sequence_length: int = 0                  # T, [CLS] and [SEP] included
    rate: float = 0.15                        # share of the tokens that are predicted
    mask: float = 0.8                         # of those, the share that becomes [MASK]
    random: float = 0.1                       # and the share that becomes a random id; the rest stays
    max_predictions: int = 0                  # slots P of a row; 0 = round(rate * sequence_length)

    architectures = ('encoder',)
    hint = 'full'
    likelihood = False
    shuffled = True
    needs = ('mask', 'cls', 'sep')

    def lengths(self):
        slots = self.max_predictions or max(1, round(self.rate * self.sequence_length))
        return {'tokens': self.sequence_length, 'targets': slots, 'slots': slots}

    def problems(self, special=None):
        wrong = []
        if self.sequence_length < 3:
            wrong.append(('sequence_length', 'expected at least 3: [CLS], a token and [SEP].'))
        if not 0 < self.rate < 1:
            wrong.append(('objective.rate', 'expected more than 0 and less than 1.'))
        shares = [name for name in ('mask', 'random') if not 0 <= getattr(self, name) <= 1]
        wrong += [(f'objective.{name}', 'expected 0 to 1.') for name in shares]
        if not shares and self.mask + self.random > 1 + 1e-9:
            wrong.append(('objective.random', f'objective.mask + objective.random = {self.mask + self.random:g}, '
                                              'expected at most 1; the rest of the chosen tokens stays as it is.'))
        if not 0 <= self.max_predictions <= max(self.sequence_length - 2, 0):
            wrong.append(('objective.max_predictions', 'expected 0 (round(rate * sequence_length)) to '
                                                       f'sequence_length - 2 = {self.sequence_length - 2}.'))
        return wrong

    def plan(self, source, seed, epoch):
        """int64[n, 1]: the piece of a document that each row holds."""
        return packing.pieces(source.lengths, self.sequence_length - 2)[0][:, None]

    def transform(self, source, row, rng):
        special, size, slots = source.special, self.sequence_length, self.lengths()['slots']
        text = self.original(source, row)
        candidates = np.flatnonzero(_is_text(special)[text])
        chosen = corruption.choose(candidates, corruption.masked_count(len(text), self.rate, slots), rng)
        tokens = corruption.mask_or_replace(text, chosen, self.mask, self.random, special, rng)
        return {'tokens': example.padded(tokens, size, special.pad),
                'targets': example.padded(text[chosen], slots, special.pad),
                'slots': example.padded(chosen, slots, 0),
                'weights': example.weights(len(chosen), slots),
                **example.bidirectional([len(text)], size)}

    def original(self, source, row):
        """[CLS] text [SEP], before masking."""
        document, start = packing.split(int(row[0]))
        begin, end = int(source.offsets[document]) + start, int(source.offsets[document + 1])
        end = min(end, begin + self.sequence_length - 2)
        ids = np.empty(end - begin + 2, np.int32)
        ids[0], ids[-1] = source.special.cls, source.special.sep
        ids[1:-1] = source.flat[begin:end]
        return ids


@functools.lru_cache(maxsize=8)
def _is_text(special):
    """bool[V]."""
    table = np.ones(special.vocab_size, bool)
    table[special.reserved] = False
    return table
