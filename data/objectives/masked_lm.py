"""Masked language modelling: predict hidden tokens of a text from all the others (BERT; Devlin et al. 2019).

`inputs` decides what a row is, `select` which of its tokens are hidden, `count` how many; each hidden token becomes [MASK], a random id or
stays. BERT is next_sentence, token (or word), bert, masks=10; RoBERTa full_sentences, token, roberta, random_ids=text, candidates=row;
ALBERT sentence_order, ngram, masks=40; SpanBERT document or doc_sentences, span. The model's output is read at P fixed slots: unused ones
point to position 0 with weight 0. Pair labels: 1 = not the next sentence (BERT), swapped or not the next (ALBERT). Rows are made in
data/rows/inputs.py, tokens chosen in data/noise/masking.py.
"""
import dataclasses
import math
from typing import Annotated

import numpy as np

from data import example, objectives
from data.noise import masking, masks
from data.rows import inputs, sentence_pairs

INPUTS = inputs.NAMES
# What B is where it is not what follows A, and the name of its share.
OTHERS = {'next_sentence': ('random_next', sentence_pairs.RANDOM), 'sentence_order': ('swapped', sentence_pairs.SWAPPED)}


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # T, [CLS] and [SEP] included
    rate: Annotated[float, 'more than 0 and below 1', 'share of the tokens that are predicted'] = 0.15
    mask: Annotated[float, '0 to 1', 'of the tokens predicted, the share that becomes [MASK]'] = 0.8
    random: Annotated[float, '0 to 1', 'the share that becomes a random id; the rest stays'] = 0.1
    max_predictions: Annotated[int, 'slots P of a row; 0 = what `rate` and `count` make of a full row'] = 0
    inputs: Annotated[str, INPUTS, 'what a row is: data/rows/inputs.py'] = 'document'
    short: Annotated[float, '0 to 1', 'pairs: share of documents that are cut into shorter ones'] = 0.1
    overflow: objectives.Overflow = 'cut'     # pairs
    select: Annotated[str, ('token', 'word', 'ngram', 'span'), 'n-grams (ALBERT) and spans (SpanBERT) of whole words'] = 'token'
    max_ngram: Annotated[int, 'at least 1', 'words of an n-gram, p(n) proportional to 1 / n'] = 3
    span_p: Annotated[float, 'more than 0 and below 1', 'of the geometric law of the lengths of spans, in words'] = 0.2
    max_span: Annotated[int, 'at least 1', 'the longest span, in words'] = 10
    count: Annotated[str, ('bert', 'roberta'), 'bert: max(1, round(rate * n)) | roberta: floor(rate * n + u), u from [0, 1)'] = 'bert'
    count_in: Annotated[str, ('row', 'document'), 'n is the length, specials included, of it; a side is a document'] = 'row'
    max_rate: Annotated[float | None, 'each row or document draws its own rate from rate to this; None = rate'] = None
    fate: Annotated[str | None, ('token', 'unit'), 'for which [MASK], random or kept is drawn; None: as published'] = None
    candidates: Annotated[str, ('text', 'row'), 'row: [CLS] and [SEP] are chosen too (RoBERTa)'] = 'text'
    random_ids: Annotated[str, ('vocabulary', 'text'), 'all ids (BERT), or no reserved ones (RoBERTa)'] = 'vocabulary'
    masks: Annotated[int, 'at least 0', 'epoch e uses rows and masks drawn beforehand, e mod this; 0 = new ones (dynamic)'] = 0

    architectures = ('encoder', 'decoder')    # a decoder's stack, too, attends by the integers
    hint = objectives.Hint('full', 'padded')
    unread = objectives.CUT
    labels = {'next_sentence': ('B follows A', 'B does not follow A'),
              'sentence_order': ('in order', 'exchanged, or a random B')}
    reads = (('short overflow', 'inputs', ('next_sentence', 'sentence_order')), ('max_ngram', 'select', ('ngram',)),
             ('span_p max_span', 'select', ('span',)), ('random_ids', 'random', ()))
    own_loss = property(lambda self: self.pair is not None)
    head = property(lambda self: 'pretraining' if self.pair else 'language')
    parameters = property(lambda self: ('head/pooler/',) if self.pair else ())
    rough = property(lambda self: ('chosen',) if self.select != 'token' else ())
    whole_words = property(lambda self: self.select != 'token')
    documents_needed = property(lambda self: 2 if inputs.PAIRS.get(self.inputs) == sentence_pairs.RANDOM else 1)
    types = property(lambda self: 2 if self.pair else 0)
    slots = property(lambda self: self.max_predictions or self._most())
    needs = property(lambda self: ('mask', 'cls', 'sep') if self.mask else ('cls', 'sep'))

    @property
    def pair(self):
        """The label of the pairs, or None."""
        return self.inputs if self.inputs in inputs.PAIRS else None

    def problems(self, special=None):
        wrong, size = super().problems(special), self.sequence_length
        least, holds = (5, '[CLS], a token, [SEP], a token') if self.pair else (3, '[CLS], a token')
        shares = {'objective.mask', 'objective.random'} & dict(wrong).keys()
        return wrong + objectives.refused(
            ('sequence_length', size >= least, f'expected at least {least}: {holds} and [SEP].'),
            ('objective.random', shares or self.mask + self.random <= 1 + 1e-9,
             f'objective.mask + objective.random = {self.mask + self.random:g}, expected at most 1; '
             'the rest of the chosen tokens stays as it is.'),
            ('objective.max_predictions', 0 <= self.max_predictions <= max(size - 2, 0),
             f'expected 0 (round(rate * sequence_length)) to sequence_length - 2 = {size - 2}.'),
            ('objective.max_rate', self.max_rate is None or self.rate <= self.max_rate < 1,
             f'expected objective.rate = {self.rate:g} or more, and less than 1.'))

    def plan(self, source, seed, epoch):
        """int64[n, k], one row an example: where its text is (data/rows/inputs.py); a key of static masks; a key of rates."""
        rng = example.rng(seed, epoch % self.masks if self.masks else epoch, -1)
        rows = inputs.plan(self.inputs, source, self.sequence_length, self.short, rng, self.overflow)
        keys = [rng.integers(2**63, size=len(rows))] if self.masks else []
        keys += [np.full(len(rows), rng.integers(2**63))] if self._by_document else []
        return np.stack([*rows.T, *keys], axis=1)

    def coverage(self, source, rows):
        return inputs.coverage(self.inputs, source, rows)

    def transform(self, source, row, rng):
        special, size, slots = source.special, self.sequence_length, self.slots
        read = inputs.read(self.inputs, source, row)
        text = read.ids
        if self.masks:
            rng = example.rng(int(row[-2 if self._by_document else -1]), 0, 0)
        chosen, units = masking.choose(self, source, read, int(row[-1]) if self._by_document else None, slots, rng)
        tokens = masks.mask_or_replace(
            text, chosen, self.mask, self.random, special, rng, units=units if self._fate == 'unit' else None,
            pool=masks.text_ids(special) if self.random_ids == 'text' else None)
        fields = {'tokens': example.padded(tokens, size, special.pad),
                  **example.predicted(text, chosen, slots, special.pad),
                  **example.bidirectional([len(text)], size)}
        if self.pair:
            fields['types'] = np.zeros(size, np.int32)
            fields['types'][read.ends[0]:len(text)] = 1
            fields['labels'] = {self.pair: np.int32(row[4] != sentence_pairs.NEXT)}
        return fields

    def original(self, source, row):
        """The row before masking, specials included."""
        return inputs.read(self.inputs, source, row).ids

    def expected(self):
        """Shares of the chosen tokens, of tokens chosen (`rough` where words are), and of pairs whose B is not what follows.

        Where units share a fate, one of them counts once. Pairs that had no choice (FORCED) do not count.
        """
        rates = {'mask': self.mask, 'random': self.random, 'kept': 1 - self.mask - self.random}
        if self.max_rate is None and (self.rough or self.count_in == 'row'):
            slots = self.slots
            full = masks.masked_count(self.sequence_length, self.rate, slots) / self.sequence_length
            rates['chosen'] = full if self.count == 'bert' else min(self.rate, slots / self.sequence_length)
        return rates | ({OTHERS[self.pair][0]: 0.5} if self.pair else {})

    def reasons(self):
        share = self.expected().get('chosen', self.rate)
        count = f'{round(share * self.sequence_length)} of the {self.sequence_length} positions of a row'
        return {} if share == self.rate or self.rough else {'chosen': f'{count}; objective.rate = {self.rate:g}'}

    def realised(self, source, row, fields):
        """The counts behind `expected`."""
        slots = fields['slots'][fields['weights'] > 0]
        targets, read = fields['targets'][:len(slots)], fields['tokens'][slots]
        if self._fate == 'unit':
            fresh = np.diff(slots, prepend=-2) > 1
            targets, read = targets[fresh], read[fresh]
        masked, kept = int(np.sum(read == source.special.mask)), int(np.sum(read == targets))
        counts = {'mask': masked, 'random': len(targets) - masked - kept, 'kept': kept}
        rates = {name: (count, len(targets)) for name, count in counts.items()}
        rates['chosen'] = len(slots), int(np.sum(fields['segments'] > 0))
        if self.pair:
            name, other = OTHERS[self.pair]
            rates[name] = int(row[4] == other), int(row[4] != sentence_pairs.FORCED)
            rates['pairs without a choice'] = int(row[4] == sentence_pairs.FORCED), 1
        return rates

    @property
    def _by_document(self):
        return self.count_in == 'document' and self.max_rate is not None

    @property
    def _fate(self):
        """Spans share one (SpanBERT), and words that are counted do (RoBERTa); BERT's words and ALBERT's n-grams do not."""
        together = self.select == 'span' or (self.select, self.count) == ('word', 'roberta')
        return self.fate or ('unit' if together else 'token')

    def _most(self):
        """Slots for what a full row may hide; where the count has no such bound, for all but rare rows, which hide less."""
        size, rate = self.sequence_length, self.rate if self.max_rate is None else self.max_rate
        if self.count == 'roberta' and self.select == 'word':
            rate *= 1.25                      # words are counted, whatever their sizes
        most = math.ceil(rate * size) if self.count == 'roberta' else round(rate * size)
        several = self.count_in == 'document' and self.inputs != 'document'
        return min(max(1, most + several * size // 32), max(size - 2, 1))
