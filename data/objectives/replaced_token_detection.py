"""Replaced-token detection: which tokens of a text come from a small generator? (ELECTRA; Clark et al. 2020.)

A row is [CLS] A [SEP] B [SEP], or [CLS] A [SEP]: whole sentences of one document until the row's target length is reached, cut to fit, as
in `build_pretraining_dataset.py`; what is cut off is not used, unless `overflow` leaves it to the next row. Of the
n = clip(round(rate * length), 1, P) positions drawn among its text, 85 % become [MASK] for the generator and 15 % stay (the code's rule;
the paper's prose says all become [MASK]); the backbone judges tokens sampled at *all* of them
(train/objectives/replaced_token_detection.py). With `generator` = unigram or uniform there is no network: replacements are drawn here, from
the corpus, or from the ids that are text. The original draws positions with replacement and averages the ids sampled at one drawn twice;
here they are distinct. Chunks are drawn anew each epoch; the original builds its rows once.
"""
import dataclasses
import functools
from typing import Annotated

import numpy as np

from data import example, objectives
from data.noise import masks
from data.rows import sentence_pairs

GENERATORS = ('model', 'unigram', 'uniform')
SHORTEST = 5                                  # tokens of the shortest target length: [CLS] a [SEP] b [SEP]
SINGLE, JOINS = 1, 2                          # bits of a row's coins

_in_pieces = functools.lru_cache(maxsize=4)(sentence_pairs.in_pieces)


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # T, [CLS] and both [SEP] included
    rate: Annotated[float, 'more than 0 and below 1', 'share of the tokens that are drawn'] = 0.15
    mask: Annotated[float, '0 to 1', 'of the tokens drawn, the share that the generator reads as [MASK]; the rest stays'] = 0.85
    single: Annotated[float, '0 to 1', 'share of rows that are one segment'] = 0.1
    short: Annotated[float, '0 to 1', 'share of rows with a random target length of 5 to T'] = 0.05
    overflow: objectives.Overflow = 'cut'
    generator: Annotated[str, GENERATORS, 'model: a second Transformer'] = 'model'
    generator_dim: Annotated[float, 'more than 0 and at most 1', 'width of the generator / model.dim'] = 0.25
    generator_layers: Annotated[float, 'more than 0 and at most 1', 'layers of the generator / model.layers'] = 1.0
    temperature: Annotated[float, 'at least 0', 'of the generator, when it samples; 0 = its likeliest token'] = 1.0
    disallow_correct: Annotated[bool, 'never sample the original token'] = False
    generator_weight: Annotated[float, 'at least 0', "of the generator's loss"] = 1.0
    discriminator_weight: Annotated[float, 'at least 0', "of the discriminator's loss"] = 50.0

    architectures = ('encoder',)
    hint = objectives.Hint('full', 'padded')
    reads = (('mask generator_dim generator_layers temperature disallow_correct generator_weight', 'generator', ('model',)),)
    own_loss = True
    head = 'discriminator'
    types = 2
    fills = property(lambda self: self.generator == 'model')
    parameters = property(lambda self: ('head/labels/', *['generator/'] * self.fills))
    unread = objectives.CUT
    slots = property(lambda self: max(1, int((self.rate + 0.005) * self.sequence_length)))
    needs = property(lambda self: ('mask', 'cls', 'sep') if self.fills else ('cls', 'sep'))

    def problems(self, special=None):
        return super().problems(special) + objectives.refused(
            ('sequence_length', self.sequence_length >= SHORTEST, f'expected at least {SHORTEST}: [CLS], a token, [SEP], a token, [SEP].'),
            ('objective.disallow_correct', not (self.disallow_correct and self.generator in GENERATORS[1:]),
             "is for samples of a network; expected objective.generator = 'model'."))

    def plan(self, source, seed, epoch):
        """int64[n, 4]: first sentence, the sentence after the last, target length, coins (SINGLE + JOINS) of each row."""
        rng, size, starts = example.rng(seed, epoch, -1), self.sequence_length, self._sentences(source).sentence_offsets
        count = len(starts)
        lengths = np.where(rng.random(count) < self.short, rng.integers(SHORTEST, size, count, endpoint=True), size)
        bounds = np.append(starts, source.num_tokens)
        full = np.searchsorted(bounds, starts + lengths)                                # a row that starts here ends here,
        if self.overflow == 'next_row':
            full = np.maximum(np.searchsorted(bounds, starts + lengths - 3, side='right') - 1, np.arange(count) + 1)
        following = np.searchsorted(starts, source.offsets[1:])                         # or where the next document starts
        ends = np.minimum(full, following[np.searchsorted(source.offsets, starts, side='right') - 1])
        begins = sentence_pairs.walk(ends)
        coins = SINGLE * (rng.random(len(begins)) < self.single) + JOINS * (rng.random(len(begins)) < 0.5)
        return np.stack([begins, ends[begins], lengths[begins], coins], axis=1)

    def coverage(self, source, rows):
        """From at most 1,000 rows: a row of sentences that are longer than it is cut."""
        some = rows[::-(-len(rows) // 1000) or 1]
        read = sum(len(part) for row in some for part in self._segments(source, row))
        return min(1.0, read * len(rows) / max(1, len(some)) / source.num_tokens)

    def transform(self, source, row, rng):
        special, size, slots = source.special, self.sequence_length, self.slots
        first, second = self._segments(source, row)
        text = _join(special, first, second)
        candidates = np.flatnonzero(masks.is_text(special)[text])
        drawn = masks.choose(candidates, masks.masked_count(len(text), self.rate, slots), rng)
        tokens, types = text.copy(), np.zeros(size, np.int32)
        if self.generator == 'model':
            tokens[drawn[rng.random(len(drawn)) < self.mask]] = special.mask
        elif self.generator == 'unigram':
            tokens[drawn] = source.flat[rng.integers(source.num_tokens, size=len(drawn))]
        else:
            tokens[drawn] = masks.random_text(len(drawn), special, rng)
        types[len(first) + 2:len(text)] = 1
        return {'tokens': example.padded(tokens, size, special.pad),
                'types': types,
                **example.predicted(text, drawn, slots, special.pad),
                **example.bidirectional([len(text)], size)}

    def original(self, source, row):
        """[CLS] A [SEP] B [SEP] before anything is replaced."""
        return _join(source.special, *self._segments(source, row))

    def judged(self, original, fields):
        if not self.fills:
            read = fields['tokens'][:len(original)]
            return read, (read != original).astype(np.int32)
        labels = np.zeros(len(original), np.int32)
        labels[fields['slots'][fields['weights'] > 0]] = -1
        return original, labels

    def expected(self):
        full = self.generator == 'model'
        return {'drawn': self.rate, 'single_segment': self.single, **({'masked': self.mask} if full else {})}

    def realised(self, source, row, one):
        """drawn: of the tokens that the slots allow for; masked: of the drawn ones; single_segment: of the rows."""
        real, drawn = int((one['segments'] > 0).sum()), one['weights'] > 0
        masked = int((one['tokens'][one['slots'][drawn]] == source.special.mask).sum())
        rates = {'drawn': (int(drawn.sum()), min(real, self.slots / self.rate)),
                 'single_segment': (int(row[3] & SINGLE), 1), 'masked': (masked, int(drawn.sum()))}
        return {name: rates[name] for name in self.expected()}

    def _sentences(self, source):
        """The Tokens whose sentences make up rows; if nothing is cut off, none of them is longer than a row."""
        return source if self.overflow == 'cut' else _in_pieces(source, self.sequence_length - 3, 1)

    def _segments(self, source, row):
        """(A, B): the sentences of a row dealt out to the two segments, cut to fit; B may be empty.

        A sentence joins A if A is empty, stays shorter than half of the row with it, or, B being empty, by a coin.
        """
        begin, end, length, coins = row.tolist()
        starts = self._sentences(source).sentence_offsets
        bounds = starts[begin:end + 1]
        if end == len(starts):
            bounds = np.append(bounds, source.num_tokens)
        lengths = np.minimum(np.diff(bounds), self.sequence_length)  # more of the last one would be cut anyway
        goal = self.sequence_length * 2 if coins & SINGLE else (length - 3) // 2
        joins, first = [], 0
        for size in lengths.tolist():
            alone = all(joins)
            joins.append(not joins or first + size < goal or bool(alone and first < goal and coins & JOINS))
            first += size * joins[-1]
        ids = source.flat[int(bounds[0]):int(bounds[-2]) + int(lengths[-1])].astype(np.int32)
        in_first = np.repeat(joins, lengths)
        first = ids[in_first][:self.sequence_length - 2]
        return first, ids[~in_first][:max(0, self.sequence_length - len(first) - 3)]


def _join(special, first, second):
    marks = [[special.cls], first, [special.sep], *([second, [special.sep]] if len(second) else [])]
    return np.concatenate(marks).astype(np.int32)
