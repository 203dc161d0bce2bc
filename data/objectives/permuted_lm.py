"""Permuted language modelling: predict some tokens in a random order, from the others and those before in it (XLNet; Yang et al. 2019).

Rows read long streams of text batch after batch, half of them backwards, and remember what they read (data/rows/streams.py). A row is R
tokens that the next batch remembers, and A <sep> B <sep> <cls>, where B continues A or is from elsewhere. In each half spans are chosen,
`num_predict` tokens in all; the chosen and the special ones get ranks from one permutation, all others come first. The specials are not
predicted, so some slots may have no weight. As in the released data a span is n tokens that start a word: the code meant n words, and
tested the wrong token (`span_unit = 'word'` does what it meant).
"""
import bisect
import dataclasses
from typing import Annotated

import numpy as np

from data import errors, example, objectives
from data.rows import drawing, packing, streams


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # T, <sep> <sep> <cls> included
    batch_size: int = 0                       # rows that read side by side
    reuse_length: Annotated[int, 'R: tokens that the next batch remembers, and its step; 0 = half of the row'] = 0
    memory_length: Annotated[int, 'at least 0', 'tokens that a row remembers; 0 = none'] = 384
    num_predict: Annotated[int, 'slots P of a row; 0 = a sixth of the row (85 of 512), at least 2'] = 0
    permutation_length: Annotated[int, 'tokens in a permutation, repeated along each half; 0 = reuse_length'] = 0
    max_span: Annotated[int, 'at least 1', 'n of a span is 1..max_span with p(n) proportional to 1 / n'] = 5
    context: Annotated[int, 'at least 1', 'tokens left alone around a span, for each of its own'] = 6
    span_unit: Annotated[str, ('token', 'word'), 'n tokens from the start of a word, or n words'] = 'token'
    directions: Annotated[str, ('both', 'forward'), 'both: the second half of the rows reads backwards'] = 'both'

    architectures = ('encoder',)
    hint = objectives.Hint('ordered', 'padded')
    shuffled = False
    own_loss = True
    two_streams = True
    whole_words = True
    types = 3
    frame = (), ('sep', 'cls')
    needs = ('cls', 'sep')
    slots = property(lambda self: self.num_predict or max(2, self.sequence_length // 6))
    backwards = property(lambda self: 'directions' if self.directions == 'both' else None)

    def problems(self, special=None):
        wrong, size, reuse = super().problems(special), self.sequence_length, self.reused
        if size < 10:
            return [('sequence_length', 'expected at least 10: R tokens, A <sep> B <sep> <cls>.')]
        if not 1 <= reuse <= size - 5:
            wrong.append(('objective.reuse_length', f'expected 0 (half of the row) to sequence_length - 5 = {size - 5}.'))
        elif not 2 <= self.slots <= 2 * min(reuse, size - reuse):
            wrong.append(('objective.num_predict', f'expected 0 (a sixth of the row) or 2 to {2 * min(reuse, size - reuse)}; '
                                                   'half of them are in the first reuse_length tokens, half behind.'))
        elif self._permutation < 1 or reuse % self._permutation or (size - reuse) % self._permutation:
            key = 'objective.permutation_length' if self.permutation_length else 'objective.reuse_length'
            wrong.append((key, f'permutations of {self._permutation} tokens do not fill the {reuse} that are remembered and the '
                               f'{size - reuse} behind them; expected a divisor of both as objective.permutation_length.'))
        if self.directions == 'both' and self.batch_size % 2:
            wrong.append(('batch_size', 'expected an even number, as half of the rows read backwards; '
                                        'or set objective.directions = forward.'))
        return wrong

    def hide(self, fields, slots):
        """No token sees those at `slots`, and their queries see all others."""
        fields['sees'][slots] = fields['seen'][slots] = 1

    def plan(self, source, seed, epoch):
        """int64[n, 6] (data/rows/streams.py): each run of batch_size rows continues the streams of the run before it."""
        rows = streams.plan(source, self.batch_size, self.sequence_length, self.reused, self.directions, example.rng(seed, epoch, -1))
        if not len(rows):
            raise errors.DataError(f'{source.num_tokens:,} tokens are too few for one stream of sequence_length = '
                                   f'{self.sequence_length}; look at data.train, data.eval and data.eval_fraction')
        return rows

    def coverage(self, source, rows):
        """Streams are equally long and end with a whole window; those that are read backwards are read forwards too."""
        rows = rows.reshape(-1, self.batch_size, 6)
        count = int(np.sum((rows[0, :, 0] >= 0) & (rows[0, :, 4] == 0)))
        return count * ((len(rows) - 1) * self.reused + self.sequence_length - 3) / int(packing.ended(source.lengths).sum())

    def draw(self, rows, batches, size, rng):
        """Stretches of the streams, each behind as many windows as the memory holds."""
        used = rows[:, 0].reshape(-1, self.batch_size) >= 0
        return drawing.stretches(used, min(batches, len(used)), -(-self.memory_length // self.reused), rng)

    def transform(self, source, row, rng):
        size, reuse, slots = self.sequence_length, self.reused, self.slots
        tokens, types, special = self._read(source, row)
        if not len(tokens):
            return self._nothing(source.special.pad)
        backwards = bool(row[4])
        direction = slice(None, None, -1) if backwards else slice(None)  # words and spans are found in the direction of the text
        starts = source.words(tokens[direction])[direction] | special | (tokens == source.special.eos)
        chosen, rank = np.zeros(size, bool), np.zeros(size, np.int32)
        halves = ((0, reuse, slots - slots // 2), (reuse, size, slots // 2))
        for half, (begin, end, goal) in enumerate(halves):
            chosen[begin:end] = spans(starts[begin:end][direction], goal, self.max_span, self.context, self.span_unit, rng)[direction]
            order = np.tile(rng.permutation(self._permutation), (end - begin) // self._permutation)
            order += np.arange(end - begin) // self._permutation * self._permutation
            # All that the first half holds ranks below the second: 0, then 1..R; R + 1, then R + 2...
            rank[begin:end] = half * (reuse + 1) + np.where((chosen | special)[begin:end], 1 + order, 0)
        predicted = np.flatnonzero(chosen & ~special)
        positions = min(int(row[3]), self.memory_length) + np.arange(size, dtype=np.int32)
        return {'tokens': tokens, **example.predicted(tokens, predicted, slots, source.special.pad),
                'positions': -positions if backwards else positions,
                'segments': np.ones(size, np.int32), 'types': types, 'sees': rank, 'seen': rank}

    def original(self, source, row):
        """The row itself: nothing in it is hidden but by attention."""
        return self._read(source, row)[0]

    def expected(self):
        return {'predicted_first_half': (self.slots - self.slots // 2) / self.reused, 'order_inverted': 0.5}

    def realised(self, source, row, one):
        """Targets of the first half, and how often the later of two neighbouring targets of a permutation is predicted first."""
        slots, first = one['slots'][one['weights'] > 0], one['slots'][one['weights'] > 0] < self.reused
        inverted = pairs = 0
        for half, begin in ((slots[first], 0), (slots[~first], self.reused)):
            half = half[half < begin + self._permutation]
            half = half[:len(half) // 2 * 2].reshape(-1, 2)
            pairs += len(half)
            inverted += int(np.sum(one['seen'][half[:, 0]] > one['seen'][half[:, 1]]))
        return {'predicted_first_half': (int(np.sum(first)), self.reused if len(slots) else 0), 'order_inverted': (inverted, pairs)}

    def _read(self, source, row):
        """(tokens, types, which are special) of a row, all empty if the row is."""
        if row[0] < 0:
            return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, bool)
        stream = streams.Stream(streams.text(source, int(row[0])), int(row[1]), int(row[2]), bool(row[4]))
        begin, reuse, room = int(row[3]), self.reused, self.sequence_length - self.reused - 3
        (a_begin, a_end), (b_begin, b_end) = pair(stream, begin + reuse, room, example.rng(int(row[5]), 0, 0))
        sep, a = [source.special.sep], a_end - a_begin
        tokens = np.concatenate([stream.read(begin, begin + reuse)[0], stream.read(a_begin, a_end)[0], sep,
                                 stream.read(b_begin, b_end)[0], sep, [source.special.cls]]).astype(np.int32)
        types = np.repeat(np.array([0, 1, 2], np.int32), [reuse + a + 1, room - a + 1, 1])
        special = np.zeros(self.sequence_length, bool)
        special[[reuse + a, -2, -1]] = True
        return tokens, types, special

    def _nothing(self, pad):
        size, slots = np.zeros(self.sequence_length, np.int32), np.zeros(self.slots, np.int32)
        return example.empty({**dict.fromkeys(('tokens', 'positions', 'segments', 'types', 'sees', 'seen'), size),
                              **dict.fromkeys(('targets', 'slots', 'weights'), slots)}, pad)

    @property
    def reused(self):
        return self.reuse_length or self.sequence_length // 2

    @property
    def _permutation(self):
        return self.permutation_length or self.reused


def spans(starts, goal, longest, context, unit, rng):
    """bool[n]: exactly `goal` tokens in spans, with `context` times a span's length left alone around it.

    starts: bool[n], which tokens start a word. What the spans leave to choose, because the text ends, is drawn uniformly.
    """
    chosen, begins = np.zeros(len(starts), bool), np.flatnonzero(starts).tolist()
    sizes = np.arange(1, longest + 1)
    drawn = rng.choice(sizes, goal, p=1 / sizes / np.sum(1 / sizes)).tolist()
    at, left_to_choose = 0, goal
    for length, share in zip(drawn, rng.random(goal).tolist()):
        length = min(length, left_to_choose)
        left = int(share * length * context)
        first = bisect.bisect_left(begins, at + left)
        if not length or first == len(begins):
            break
        begin, after = begins[first], first + length
        end = begin + length if unit == 'token' else begins[after] if after < len(begins) else len(starts)
        end = min(end, begin + left_to_choose)
        if end >= len(starts):
            break
        chosen[begin:end] = True
        left_to_choose -= end - begin
        at = end + length * context - left
    chosen[rng.choice(np.flatnonzero(~chosen), left_to_choose, replace=False)] = True
    return chosen


def pair(stream, begin, room, rng):
    """((begin, end) of A, (begin, end) of B), `room` tokens together, as XLNet's `_split_a_and_b`.

    A starts at `begin` and ends with a sentence; B is what follows, or, half of the time, sentences from anywhere in the
    stream. The longer one is cut on its right.
    """
    cuts = stream.read(begin, begin + room)[1]
    after = stream.sentence(begin + room - 1)[1]
    elsewhere = not len(cuts) or rng.random() < 0.5
    a_end = int(cuts[rng.integers(len(cuts))]) if len(cuts) else after
    b_begin, b_end = a_end, after
    if elsewhere:
        least = max(1, room - (a_end - begin))
        at = int(rng.integers(len(stream) - least))
        b_begin, b_end = stream.sentence(at)[0], min(stream.sentence(at + least - 1)[1], len(stream) - 1)
    a, b = a_end - begin, b_end - b_begin
    b = max(min(b, room // 2), room - a)      # cut one token after another off the longer of the two; off B where equal
    return (begin, begin + room - b), (b_begin, b_begin + b)
