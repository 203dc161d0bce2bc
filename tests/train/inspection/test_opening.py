"""The lines with which a run begins say what it reads of the text, how it corrupts it, and what deserves attention."""
import dataclasses
import re

import numpy as np

from data import tokenizer as tokenizers
from data.text import cache
from train.inspection import opening
from train.settings import parse

BYTES = tokenizers.Bytes()


def lines(variant, documents, *flags, sentence=20):
    request = parse.parse([f'--config=configs/tiny.py:{variant}', '--workdir=none', '--config.tokenizer.kind=bytes', *flags], devices=False)
    config = parse.with_vocabulary(request.config, BYTES)
    ids = [np.array(BYTES.encode(text)) for text in documents]
    text = cache.Tokens.from_arrays(ids, BYTES.special, [np.arange(0, len(one), sentence) for one in ids], BYTES.token_bytes, BYTES)
    return list(opening.lines(config, text))


def test_a_text_that_is_read_whole_is_two_lines():
    first, second = lines('masked_lm', ['It was the best of times. ' * 40] * 10)
    assert first == ('10 documents, 10,400 training tokens · an epoch: 170 examples of 64 tokens read 100.0% of the text · '
                     'filled: 98.7% of tokens read, 98.8% of targets that count')
    assert second.startswith('realised (configured) over 170 rows: mask ') and 'chosen 15.64% (15.62%)' in second


def test_pairs_of_one_document_are_told():
    found = lines('masked_lm', ['It was the best of times. ' * 400], '--config.objective.inputs=next_sentence')
    assert any('pairs without a choice 0.00%' in line for line in found)
    assert found[-1] == ('what should come from another document comes from the same, as the text is one; data.documents says what a '
                         'document is')
    assert lines('masked_lm', ['It was the best of times. ' * 400], '--config.objective.inputs=sentence_order')[-1] != found[-1]


def test_text_that_is_left_out_is_told_with_the_setting_that_reads_it():
    found = lines('replaced_token_detection', ['It was the best of times. ' * 400] * 3, sentence=150)
    assert found[-1] == ('an epoch reads 41.6% of the text; objective.overflow = next_row reads all of it; '
                         'the published rows are cut')
    assert len(lines('replaced_token_detection', ['It was the best of times. ' * 400] * 3, '--config.objective.overflow=next_row',
                     sentence=150)) == 2


def test_an_epoch_shorter_than_a_batch_is_told():
    found = lines('causal_lm', ['It was the best of times.'] * 5)
    assert found[-1] == 'an epoch has 3 examples, less than batch_size = 8: a batch holds rows of several epochs'


def test_a_rate_that_is_not_the_configured_one_is_told(monkeypatch):
    """As if every draw chose half of the tokens."""
    real = opening.measured

    def halved(config, source):
        return real(dataclasses.replace(config, objective=dataclasses.replace(config.objective, rate=0.5)), source)

    monkeypatch.setattr(opening, 'measured', lambda config, source: vars(found := halved(config, source)).update(
        expected=config.objective.expected()) or found)
    found = lines('masked_lm', ['It was the best of times. ' * 40] * 10)
    assert found[-1].startswith('chosen is 50.') and '% where 15.62% is configured, ' in found[-1]
    assert found[-1].endswith(' standard errors apart; python -m train.inspect shows the rows')


def test_whole_words_may_differ_from_their_rate_by_a_quarter():
    """Words of two tokens fill a budget of 10 of 64 positions; BART's spans of a text without spaces hide all of it."""
    text = ['It was the best of times. ' * 40] * 10
    assert not any('standard errors' in line for line in lines('masked_lm', text, '--config.objective.select=word'))
    assert not any('standard errors' in line for line in lines('denoising', text))
    found = lines('denoising', ['ACGTTGCAAGCTTAGC' * 200] * 3)
    assert any(re.match('tokens hidden is (9.\\.|100.).* where 30.00% is configured, .* standard errors apart', line) for line in found)
