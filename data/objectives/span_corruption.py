"""Span corruption: read a text with holes, say what was in them (T5; Raffel et al. 2020). For encoder-decoders.

Documents are joined without a separator in an order shuffled each epoch and cut into rows of as many tokens as fill the
encoder once corrupted (568 for 512). Random spans are replaced by sentinels in the inputs, everything else by the same
sentinels in the targets; both end with EOS, and the decoder reads its targets shifted right from BOS (= pad in T5). All
text is used: T5's loader took one stretch of at most 65,536 tokens of each document.
"""
import dataclasses

import numpy as np

from data import corruption, example, packing


@dataclasses.dataclass(frozen=True)
class Objective:
    sequence_length: int = 0                  # of the encoder, sentinels and EOS included
    noise_density: float = 0.15               # share of the tokens that are hidden
    mean_span_length: float = 3.0             # tokens in a hidden span, on average

    architectures = ('encoder_decoder',)
    hint = 'causal'                           # of the decoder; the encoder is always bidirectional
    likelihood = False
    shuffled = True
    needs = ('sentinels',)

    def lengths(self):
        targets = self._span_lengths()[1]
        return {'tokens': targets, 'targets': targets, 'encoder_tokens': self.sequence_length}

    def problems(self, special=None):
        wrong = []
        if self.sequence_length < 4:
            wrong.append(('sequence_length', 'expected at least 4: a token, a sentinel, a token and EOS.'))
        if not 0 < self.noise_density < 1:
            wrong.append(('objective.noise_density', 'expected more than 0 and less than 1.'))
        if not 1 <= self.mean_span_length < float('inf'):
            wrong.append(('objective.mean_span_length', 'expected at least 1.'))
        if wrong:
            return wrong
        tokens = self._span_lengths()[0]
        noise, spans = corruption.span_counts(tokens, self.noise_density, self.mean_span_length)
        if spans > tokens - noise:
            wrong.append(('objective.noise_density',
                          f'{spans} spans of noise need as many stretches of text between them, {tokens - noise} of '
                          f'{tokens} tokens are left; lower it or raise objective.mean_span_length.'))
        if special and spans > special.num_sentinels:
            wrong.append(('objective.mean_span_length',
                          f'sequence_length = {self.sequence_length} makes {spans} spans, the tokenizer has '
                          f'{special.num_sentinels} sentinels; raise it, or lower objective.noise_density or '
                          'sequence_length.'))
        return wrong

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row (data/packing.py). n is the same for every epoch."""
        return packing.concatenate(source.lengths, self._span_lengths()[0], example.rng(seed, epoch, -1))

    def transform(self, source, row, rng):
        special, text = source.special, self.original(source, row)
        noise = corruption.random_spans(len(text), self.noise_density, self.mean_span_length, rng)
        inputs = corruption.sentinels(text, noise, special)
        targets = corruption.sentinels(text, ~noise, special)
        read, said = len(inputs) + 1, len(targets) + 1  # with EOS
        sizes = self.lengths()
        inputs = example.padded(inputs, sizes['encoder_tokens'], special.pad, end=special.eos)
        targets = example.padded(targets, sizes['targets'], special.pad, end=special.eos)
        return {**example.encoder({'tokens': inputs, **example.bidirectional([read], len(inputs))}),
                'tokens': example.shifted(targets, [said], special.bos),
                'targets': targets,
                'weights': example.weights(said, len(targets)),
                **example.causal([said], len(targets))}

    def original(self, source, row):
        """The tokens of the row before corruption, without EOS."""
        return packing.read(source, row, self._span_lengths()[0])

    def _span_lengths(self):
        return corruption.span_lengths(self.sequence_length, self.noise_density, self.mean_span_length)
