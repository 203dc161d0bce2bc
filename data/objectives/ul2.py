"""UL2: a mixture of denoisers, each announced to the model by a first token (Tay et al. 2022).

R removes a little in short spans, X much or in long spans, S the last quarter of the row in one span, a prefix LM; inputs and targets are
T5's, S's too (the released model is prompted with a sentinel at the end). The first input is the mode: [NLU], [NLG], [S2S] of the 20B
release; the rest is planned for one token less, so that nothing is longer than `sequence_length`. Every denoiser has rows of its own
length, all are padded to the longest targets. The original gives each denoiser a part of the stream and samples rows by `rates`; here one
shuffled stream is cut into rows dealt out by rates, exact to a row, so that a small corpus and the first batches of an evaluation have
every denoiser.
"""
import dataclasses
import functools
import math
from typing import Annotated

import numpy as np

from data import example, objectives, special_tokens
from data.noise import spans
from data.rows import packing, sides

MODES = {'R': 'nlu', 'S': 's2s', 'X': 'nlg'}
PUBLISHED = (('R', 3.0, 0.15), ('R', 8.0, 0.15), ('S', 0.0, 0.25), ('X', 3.0, 0.5), ('X', 8.0, 0.5), ('X', 64.0, 0.15), ('X', 64.0, 0.5))
# T5's masks, or the same turned by a random offset for R and X: otherwise (64, 0.15), one span at 512, is always the row's end.
NOISE = ('spans', 'rolled')


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # of the inputs: mode, sentinels and EOS included
    denoisers: Annotated[tuple[tuple[str, float, float], ...], '(R | S | X, mean span length, noise density); S has one span'] = PUBLISHED
    rates: Annotated[tuple[float, ...], "how often each is used, in proportion; () = equally; the paper's were not verified"] = ()
    mode_tokens: Annotated[bool, 'whether inputs begin with the mode'] = True
    noise: Annotated[str, NOISE, 'rolled: spans, turned by a random offset'] = 'spans'
    architecture: str = 'encoder_decoder'

    architectures = sides.ARCHITECTURES
    hint = property(sides.hint)
    needs = ('sentinels',)

    @property
    def marks(self):
        return self.mode_tokens

    @property
    def names(self):
        """The denoisers' names, in their order: 'R(3,0.15)', 'S(0.25)'; `task` of an example is a number of this list."""
        return tuple(f'{mode}({density:g})' if mode == 'S' else f'{mode}({mean:g},{density:g})' for mode, mean, density in self.denoisers)

    def lengths(self):
        """As long as the longest denoiser's sides would be without a mode: 512 targets for 512 inputs, whether or not there is one."""
        plans = (self.sizes(), _sizes(self.sequence_length, self.denoisers, False, self.noise))
        return sides.lengths(self.architecture, self.sequence_length, max(targets for plan in plans for _, _, targets in plan))

    def sizes(self):
        """((tokens of a row, ids of its inputs, ids of its targets) of each denoiser): mode and EOS included."""
        return _sizes(self.sequence_length, self.denoisers, self.mode_tokens, self.noise)

    def problems(self, special=None):
        key, rates, count = 'objective.denoisers', self.rates, len(self.denoisers)
        wrong = super().problems(special) + objectives.refused(
            (key, count and all(mode in MODES for mode, _, _ in self.denoisers),
             f'expected a list of ({" | ".join(MODES)}, mean span length, noise density).'),
            (key, all(0 < density < 1 and (mode == 'S' or 1 <= mean < math.inf) for mode, mean, density in self.denoisers),
             'expected mean span lengths of at least 1, noise densities between 0 and 1.'),
            (key, len(set(self.names)) == count, 'expected each denoiser once; objective.rates says how often it is used.'),
            ('objective.rates', not rates or len(rates) == count and min(rates) >= 0 and 0 < sum(rates) < math.inf,
             f'expected {count} numbers of at least 0, one a denoiser, not all 0.'),
            ('sequence_length', self.sequence_length >= 8, 'expected at least 8: a mode, text, sentinels and EOS.'))
        return wrong or self._span_problems(special)

    def plan(self, source, seed, epoch):
        """int64[n, 1 + k]: the denoiser of each row, then its pieces (data/rows/packing.py). n is the same for every epoch."""
        rng = example.rng(seed, epoch, -1)
        which = deal(int(source.lengths.sum()), [size[0] for size in self.sizes()], self._shares(), rng)
        pieces = packing.concatenate(source.lengths, np.array([size[0] for size in self.sizes()])[which], rng)
        return np.concatenate([which[:, None], pieces], axis=1)

    def transform(self, source, row, rng):
        text, special, (mode, _, density) = self.original(source, row), source.special, self.denoisers[row[0]]
        noise = spans.noise('spans' if mode == 'S' else self.noise, len(text), density, self._mean(row[0]), rng)
        inputs, targets = spans.sentinels(text, noise, special), spans.sentinels(text, ~noise, special)
        if self.mode_tokens:
            inputs = np.concatenate([[special.mark(MODES[mode])], inputs])
        return {**sides.fields(inputs, targets, self.sequence_length, self.lengths(), special), 'task': np.int32(row[0])}

    def original(self, source, row):
        """The tokens of the row before corruption, without mode and EOS."""
        return packing.read(source, row[1:], self.sizes()[row[0]][0])

    def prompt(self, ids, special):
        """(what the encoder reads to continue a text, EOS left out; what the decoder reads first): S, as the release is used."""
        return [special.mark(MODES['S'])] * self.mode_tokens + [*ids, special.sentinels[0]], special.bos

    def expected(self):
        """How often each denoiser is used, and the noise in its rows."""
        noise = {f'noise of {name}': hidden / tokens for name, (hidden, tokens) in zip(self.names, self._hidden())}
        return {**dict(zip(self.names, self._shares().tolist())), **noise}

    def reasons(self):
        rows = zip(self.names, self._hidden(), self.denoisers)
        return {f'noise of {name}': f'{hidden} of the {tokens} tokens of a row; its share in objective.denoisers is {density:g}'
                for name, (hidden, tokens), (_, _, density) in rows if hidden / tokens != density}

    def realised(self, source, row, made):
        targets, name = sides.split(made)[1], self.names[row[0]]
        return {**{other: (int(other == name), 1) for other in self.names},
                f'noise of {name}': (spans.unmarked(targets, source.special), len(self.original(source, row)))}

    def _hidden(self):
        """(tokens that are hidden, tokens) of a row of each denoiser."""
        return [(spans.span_counts(size[0], density, self._mean(i))[0], size[0])
                for i, (size, (_, _, density)) in enumerate(zip(self.sizes(), self.denoisers))]

    def waste(self):
        """{field: share of its positions that are padding}, the mean over the mixture's full rows."""
        shares, sizes = self._shares(), np.array(self.sizes())
        targets = float(shares @ sizes[:, 2])
        if self.architecture == 'decoder':
            return {'tokens': 1 - (float(shares @ sizes[:, 1]) + targets) / self.lengths()['tokens']}
        return {'encoder_tokens': 1 - float(shares @ sizes[:, 1]) / self.sequence_length, 'tokens': 1 - targets / self.lengths()['tokens']}

    def _shares(self):
        rates = np.array(self.rates or [1.0] * len(self.denoisers))
        return rates / rates.sum()

    def _mean(self, i):
        """The mean length of a denoiser's spans; S has one span, the end of the row."""
        mode, mean, _ = self.denoisers[i]
        return math.inf if mode == 'S' else mean

    def _span_problems(self, special):
        for i, (name, (tokens, _, _), (_, _, density)) in enumerate(zip(self.names, self.sizes(), self.denoisers)):
            noise, count = spans.span_counts(tokens, density, self._mean(i))
            if count > tokens - noise:
                return [('objective.denoisers', f'{name} makes {count} spans of noise, which need as many stretches of text between '
                                                f'them; {tokens - noise} tokens are left.')]
            room = special and special.num_sentinels - len(special_tokens.MARKS) * self.marks
            if special and count + (self.noise == 'rolled') > room:
                return [('objective.denoisers', f'{name} makes {count} spans of sequence_length = {self.sequence_length}, the tokenizer '
                                                f'has {room} sentinels left; use longer spans or lower sequence_length.')]
        return []


@functools.lru_cache(maxsize=32)
def _sizes(length, denoisers, mode_tokens, noise):
    room, found = length - mode_tokens, []
    for mode, mean, density in denoisers:
        if mode == 'S':                       # the row is as long as the inputs
            tokens = room
            hidden, count = spans.span_counts(tokens, density, math.inf)
            targets = hidden + count + 1
        else:
            turned = noise == 'rolled'        # the turn may cut a run in two
            tokens, targets = spans.span_lengths(room - turned, density, mean)
            hidden, count = spans.span_counts(tokens, density, mean)
            targets += turned
        found.append((tokens, tokens - hidden + count + 1 + mode_tokens, targets))
    return tuple(found)


def deal(total, sizes, shares, rng):
    """int64[n]: which size each row of a stream of `total` tokens has, by shares, the order drawn at random.

    The counts are exact to a row and do not depend on rng; only the last row may find less than its size left.
    """
    sizes, rows = np.asarray(sizes), math.floor(total / (shares @ sizes))
    while (counts := _apportion(rows, shares)) @ sizes > total:
        rows -= 1
    which, rest = [rng.permutation(np.repeat(np.arange(len(sizes)), counts))], total - counts @ sizes
    while rest > 0:
        most = np.argmax(shares * (counts.sum() + 1) - counts)
        counts[most] += 1
        which.append([most])
        rest -= sizes[most]
    return np.concatenate(which)


def _apportion(rows, shares):
    """int64[k] that add up to `rows`: shares * rows, the largest remainders rounded up (Hamilton's method)."""
    counts = np.floor(shares * rows).astype(np.int64)
    remainders = shares * rows - counts
    counts[np.argsort(-remainders, kind='stable')[:rows - counts.sum()]] += 1
    return counts
