"""Span corruption: read a text with spans removed, predict the spans (T5; Raffel et al. 2020).

Documents are joined without a separator in an order shuffled each epoch and cut into rows of as many tokens as fill the inputs once
corrupted (568 for 512). Random spans are replaced by sentinels in the inputs, everything else by the same sentinels in the targets. `noise`
and `style` select the other unsupervised objectives of T5's study (its gin files: iid_*, d_d, m_f, r10s90_f). A decoder reads inputs and
targets in one row, as a prefix LM (data/rows/sides.py). All text is used: T5's loader took one stretch of at most 65,536 tokens a document.
"""
import dataclasses
import math
from typing import Annotated

from data import example, objectives
from data.noise import masks, spans
from data.rows import packing, sides

NOISE = ('spans', 'rolled', 'iid')
# What replaces noise, and what is predicted: a sentinel a span, and the spans; nothing, and the noise; the first sentinel for each
# token, and all of the text; the same with a share of random ids, as BERT does, but none of the reserved ones.
STYLES = ('sentinels', 'drop', 'mask_full', 'replace_full')


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # of the inputs, sentinels and EOS included, also where targets follow in the row
    noise_density: Annotated[float, 'more than 0 and below 1', 'share of the tokens that are hidden'] = 0.15
    mean_span_length: Annotated[float, 'at least 1', 'tokens in a hidden span, on average; iid noise has no spans'] = 3.0
    noise: Annotated[str, NOISE, 'rolled: spans, turned by a random offset; iid: each token by itself'] = 'spans'
    style: Annotated[str, STYLES, 'what stands for the noise, and what the targets are'] = 'sentinels'
    random: Annotated[float, '0 to 1', 'of the hidden tokens, the share that replace_full makes random'] = 0.1
    architecture: str = 'encoder_decoder'

    architectures = sides.ARCHITECTURES
    hint = property(sides.hint)
    reads = (('mean_span_length', 'noise', ('spans', 'rolled')), ('random', 'style', ('replace_full',)))

    @property
    def needs(self):
        return ('sentinels',) if self.style != 'drop' else ()

    def lengths(self):
        return sides.lengths(self.architecture, self.sequence_length, self._sizes()[1])

    def problems(self, special=None):
        least = 4 + (self.noise == 'rolled')
        wrong = super().problems(special) + objectives.refused(
            ('sequence_length', self.sequence_length >= least, f'expected at least {least}: a token, a sentinel, a token and EOS.'))
        if wrong or self.noise == 'iid':
            return wrong or self._iid_problems(special)
        tokens = self._sizes()[0]
        noise, count = spans.span_counts(tokens, self.noise_density, self.mean_span_length)
        if count > tokens - noise:
            wrong.append(('objective.noise_density',
                          f'{count} spans of noise need as many stretches of text between them, {tokens - noise} of '
                          f'{tokens} tokens are left; lower it or raise objective.mean_span_length.'))
        count += self.noise == 'rolled'
        if special and self.style == 'sentinels' and count > special.num_sentinels:
            wrong.append(('objective.mean_span_length',
                          f'sequence_length = {self.sequence_length} makes {count} spans, the tokenizer has '
                          f'{special.num_sentinels} sentinels; raise it, or lower objective.noise_density or '
                          'sequence_length.'))
        return wrong

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row (data/rows/packing.py). n is the same for every epoch."""
        return packing.concatenate(source.lengths, self._sizes()[0], example.rng(seed, epoch, -1))

    def transform(self, source, row, rng):
        text, special = self.original(source, row), source.special
        noise = spans.noise(self.noise, len(text), self.noise_density, self.mean_span_length, rng)
        if self.style == 'sentinels':
            inputs, targets = spans.sentinels(text, noise, special), spans.sentinels(text, ~noise, special)
        elif self.style == 'drop':
            inputs, targets = text[~noise], text[noise]
        else:
            inputs, targets = text.copy(), text
            inputs[noise] = special.sentinels[0]
            if self.style == 'replace_full':
                noise[noise] = rng.random(noise.sum()) < self.random
                inputs[noise] = masks.random_text(noise.sum(), special, rng)
        return sides.fields(inputs, targets, self.sequence_length, self.lengths(), special)

    def original(self, source, row):
        """The tokens of the row before corruption, without EOS."""
        return packing.read(source, row, self._sizes()[0])

    def expected(self):
        hidden, tokens = self._hidden()
        share = self.noise_density if self.noise == 'iid' else hidden / tokens
        return {'noise': share * (1 - self.random) if self.style == 'replace_full' else share}

    def reasons(self):
        share, (hidden, tokens) = self.expected()['noise'], self._hidden()
        parts = [f'{hidden} of the {tokens} tokens of a row'] * (self.noise != 'iid')
        parts += [f'{self.random:g} of them are random tokens'] * (self.style == 'replace_full')
        return {} if share == self.noise_density else {
            'noise': '; '.join([*parts, f'objective.noise_density = {self.noise_density:g}'])}

    def realised(self, source, row, made):
        """Hidden tokens of the row; for replace_full those that became a sentinel."""
        inputs, targets = sides.split(made)
        if self.style in ('mask_full', 'replace_full'):
            return {'noise': (int((inputs == source.special.sentinels[0]).sum()), len(inputs))}
        return {'noise': (spans.unmarked(targets, source.special), len(self.original(source, row)))}

    def _hidden(self):
        """(tokens that are hidden, tokens) of a row."""
        tokens = self._sizes()[0]
        return spans.span_counts(tokens, self.noise_density, self.mean_span_length)[0], tokens

    def _sizes(self):
        """(tokens, targets): the tokens of a row, and the most ids that its targets take, EOS included."""
        size, marked = self.sequence_length, self.style == 'sentinels'
        if self.noise == 'iid' or self.style not in ('sentinels', 'drop'):
            return size - 1, size             # iid noise may hide anything
        spare = self.noise == 'rolled' and marked  # the turn may cut a run in two
        tokens, targets = spans.span_lengths(size - spare, self.noise_density, self.mean_span_length, int(marked))
        return tokens, targets + spare

    def _iid_problems(self, special):
        """Runs of noise: at most every other token, and 8 standard deviations above their mean in practice."""
        if special is None or self.style != 'sentinels':
            return []
        tokens, density = self._sizes()[0], self.noise_density
        mean, deviation = tokens * density * (1 - density), math.sqrt(tokens * density * (1 - density))
        count = 1 + min(-(-tokens // 2), math.ceil(mean + 8 * deviation))
        if count <= special.num_sentinels:
            return []
        return [('objective.noise_density', f'sequence_length = {self.sequence_length} may make {count} spans of iid noise, the '
                                            f'tokenizer has {special.num_sentinels} sentinels; change it or sequence_length.')]
