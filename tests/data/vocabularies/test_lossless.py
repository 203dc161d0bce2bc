"""Our own tokenizers give back every text, whatever they were trained on."""
import functools

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest

from data import tokenizer
from data.vocabularies import export
from tests.data.test_tokenizer import LOSSLESS

TRAINED_ON = {
    'spaces': 'It was the best of times, it was  the worst of times.\n' * 20,
    'no space': 'Itwasthebestoftimes,\nitwastheworstoftimes.\n' * 20,
    'chinese': '话说天下大势,分久必合,合久必分。' * 20,
    'controls': 'a\rb\r\nc\0d\x1be\x85f\u2028g\ufeffh\ufffdi\x7f' * 20,
    'reserved by SentencePiece': '\u2581a\u2581 \u2581b \u2585c\u2585d\u2585 ' * 20,
    'only what SentencePiece skips': '\u2585\u2585\u2585e ' * 20,
    'spellings of its own symbols': '<unk></s><pad><0x41> <0x20>\u2581<mask> ' * 20,
    'lone surrogates': 'a\ud800\ud800b\udfff' * 20,
}
SIGNS = ' \n\r\t\0\u2581\u2585\ufffd\ufeff<>/_0a\u0e31\u0e01\u4e09\u0301\U0001f600'
TEXTS = strategies.one_of(
    strategies.text(strategies.characters(exclude_categories=['Cs'])), strategies.text(SIGNS),
    strategies.lists(strategies.sampled_from(['<unk>', '</s>', '<pad>', '<0x20>', '<mask>', ' ', '  ', '\u2581', 'the', ''])).map(''.join))


@functools.cache
def trained(kind, name):
    return tokenizer.train([TRAINED_ON[name]], kind, 700)


@pytest.mark.parametrize('name', TRAINED_ON)
@pytest.mark.parametrize('kind', LOSSLESS)
def test_every_text_comes_back(kind, name):
    tok = trained(kind, name)
    assert tok.lossless

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @hypothesis.given(TEXTS)
    @hypothesis.example('a b')
    @hypothesis.example(' ' * 3 + '\u2581' * 3 + ' \u2581 x ')
    def comes_back(text):
        ids = tok.encode(text)
        assert tok.decode(ids) == text and tok.token_bytes[ids].sum() == len(text.encode())
        assert not np.isin(ids, tok.special.reserved).any()

    comes_back()


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_without_spaces_in_training_a_space_is_a_byte_here_and_in_transformers(kind, tmp_path):
    tok = trained(kind, 'no space')
    assert tok.encode('e e').tolist() == [*tok.encode('e'), tok.byte_ids[0x20], *tok.encode('e')]
    export.save(tok, tmp_path)
    again = tokenizer.load(tmp_path)
    assert again.lossless
    for text in ('a b', '  it  was \u2581 the\n', ' '):
        assert again.encode(text).tolist() == tok.encode(text).tolist()


def test_a_chunk_that_begins_with_a_space_is_the_same_without_a_piece_for_it():
    text, tok = 'times ' * 6000, trained('bpe', 'no space')
    assert tok.decode(tok.encode(text)) == text
