"""Denoising: read a noisy text, predict the clean one (BART; Lewis et al. 2020; fairseq's `denoising_dataset`; data/noise/infilling.py).

Rows are whole sentences of one document, as many as fit between <s> and </s> (fairseq's `complete_doc`; a sentence longer than a row is
cut). Noise in this order: sentences permuted, spans infilled, tokens masked, deleted, inserted, the text rotated. Targets are the clean
row; the decoder reads them rotated right by one, so it starts with </s> as the original does. <s> is [CLS], </s> EOS. Sentences are the
corpus's (data/text/sentences.py), or end with the id `full_stop`, as in the original. The defaults are the paper's; the released model was
trained with spans of mean 3.5 and a tenth of random ids.
"""
import dataclasses
import math
from typing import Annotated

import numpy as np

from data import objectives
from data.noise import infilling, masks
from data.rows import sentence_pairs, sides

SPANS_OF = ('words', 'tokens')


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # of the inputs, and of the targets; <s> and </s> included
    permute: Annotated[float, '0 to 1', 'share of the sentences that change places'] = 1.0
    infill: Annotated[float, '0 to 1', 'share of the words that spans may hide'] = 0.3
    mean_span_length: Annotated[float, '0.1 to 50', 'of the Poisson law of span lengths, in words'] = 3.0
    replace_length: Annotated[int, (1, 0, -1), 'what a span becomes: 1 one [MASK], 0 nothing, -1 a [MASK] for each token'] = 1
    random: Annotated[float, '0 to 1', 'share of the [MASK]s that are random ids instead'] = 0.0
    mask: Annotated[float, '0 to 1', 'share of the tokens that become [MASK], one by one'] = 0.0
    delete: Annotated[float, '0 to 1', 'share of the tokens that vanish'] = 0.0
    insert: Annotated[float, '0 to 1', '[MASK]s inserted, as a share of the tokens'] = 0.0
    rotate: Annotated[float, '0 to 1', 'probability that the text begins at a random token'] = 0.0
    spans_of: Annotated[str, SPANS_OF, 'what spans begin with and are counted in'] = 'words'
    full_stop: Annotated[int | None, "id that ends a sentence; None = the corpus's sentences"] = None

    architectures = ('encoder_decoder',)
    hint = objectives.Hint('causal', 'padded')
    reads = (('mean_span_length replace_length spans_of', 'infill', ()), ('full_stop', 'permute', ()))
    frame = ('cls',), ('eos',)
    rough = ('tokens hidden',)
    whole_words = property(lambda self: self.infill > 0 and self.spans_of == 'words')

    @property
    def needs(self):
        return (*['mask'] * bool(self.infill or self.mask or self.insert), 'cls')

    def lengths(self):
        return sides.lengths('encoder_decoder', self.sequence_length, self.sequence_length)

    def problems(self, special=None):
        wrong, ids = super().problems(special), special.vocab_size if special else math.inf
        if self.full_stop is not None and not 0 <= self.full_stop < ids:
            wrong.append(('objective.full_stop', 'expected the id of a token.'))
        if not wrong and self._room() < 2:
            wrong.append(('sequence_length', 'expected more: <s>, two tokens and </s>, and room for what is inserted.'))
        return wrong

    def plan(self, source, seed, epoch):
        """int64[n, 2]: where the text of each row begins in `source.flat`, and where it ends."""
        return sentence_pairs.full(source, self._room(), crossing=False)

    def transform(self, source, row, rng):
        special, clean = source.special, self._text(source, row)
        tokens = clean
        if self.permute:
            tokens = infilling.permute(tokens, self._bounds(source, row, clean), self.permute, rng)
        if self.infill:
            starts = np.ones(len(tokens), bool) if self.spans_of == 'tokens' else masks.words(tokens, source)
            tokens = infilling.infill(tokens, starts, self.infill, self.mean_span_length,
                                      self.replace_length, self.random, special, rng, self._infilled)
        if self.mask:
            tokens = infilling.mask(tokens, self.mask, self.random, special, rng)
        if self.delete:
            tokens = infilling.delete(tokens, self.delete, special, rng)
        if self.insert:
            tokens = infilling.insert(tokens, math.ceil((len(tokens) + 2) * self.insert), self.random, special, rng)
        if self.rotate and rng.random() < self.rotate:
            tokens = infilling.rotate(tokens, rng)
        inputs, targets = (np.concatenate([[special.cls], side]) for side in (tokens, clean))
        return sides.fields(inputs, targets, self.sequence_length, self.lengths(), special, special.eos)

    def original(self, source, row):
        """<s> text </s>, before any noise."""
        special = source.special
        return np.concatenate([[special.cls], self._text(source, row), [special.eos]]).astype(np.int32)

    def prompt(self, ids, special):
        """(what the encoder reads of a text, EOS left out; what the decoder reads first)."""
        return [special.cls, *ids], special.eos

    def expected(self):
        """Spans are counted in words, and overlap."""
        return {'tokens hidden': 1 - (1 - self.infill) * (1 - self.delete) * (1 - self.mask)}

    def realised(self, source, row, made):
        """Tokens of the text that the inputs lack, and [MASK]s, a token of the text."""
        inputs, count = sides.split(made)[0][1:], int(row[1] - row[0])
        lacking = np.bincount(self._text(source, row), minlength=source.special.vocab_size)
        lacking -= np.bincount(inputs, minlength=source.special.vocab_size)
        return {'tokens hidden': (int(lacking[lacking > 0].sum()), count), '[MASK]s': (int((inputs == source.special.mask).sum()), count)}

    def _room(self):
        """Tokens of text in a row: what noise adds must fit as well."""
        size = self._infilled
        return infilling.room(size, self.infill, self.mean_span_length, self.replace_length) if self.infill else size

    @property
    def _infilled(self):
        """The same after infilling, before [MASK]s are inserted."""
        size = self.sequence_length - 2
        return math.floor((size - 2 * self.insert - 1) / (1 + self.insert)) if self.insert else size

    def _text(self, source, row):
        return source.flat[int(row[0]):int(row[1])].astype(np.int32)

    def _bounds(self, source, row, tokens):
        if self.full_stop is not None:
            return infilling.sentence_bounds(tokens, self.full_stop)
        begin, end = int(row[0]), int(row[1])
        first, last = np.searchsorted(source.sentence_offsets, (begin + 1, end))
        return np.concatenate([[0], source.sentence_offsets[first:last] - begin, [end - begin]])

