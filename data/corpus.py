"""The text of a run: source, split, tokenizer and token caches, from the settings `data.*` and `tokenizer.*`."""
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import regex

from data import tokenizer as tokenizers
from data.text import cache, sources
from data.vocabularies import vocabulary, words

SAMPLE = 1 << 16    # tokens that are looked at for a notice


class Corpus(NamedTuple):
    """tokenizer, and Tokens to train and to evaluate on (None without a held-out part)."""
    tokenizer: vocabulary.Vocabulary
    train: cache.Tokens
    eval: Optional[cache.Tokens]


def open(data: Any, tokenizer: Any, notice: Callable = print) -> Corpus:
    """Corpus of the settings `data` and `tokenizer` (train.settings.schema). Trains the tokenizer on the training part alone. Raises
    data.errors.DataError for missing, empty or undecodable text."""
    train, held, segment = _source(data, data.train, notice), None, words.segmenter(data.words)
    if data.eval:
        held = _source(data, data.eval, notice)
    elif data.eval_fraction:
        train, held = (sources.Part(train, data.eval_fraction, part) for part in ('train', 'eval'))
    folder = cache.place(data.cache)
    found = tokenizers.build(tokenizer, train, folder)
    corpus = Corpus(found, cache.build(train, found, folder, notice), held and cache.build(held, found, folder, notice))
    for tokens in filter(None, corpus[1:]):
        tokens.segment = segment
    lost = np.isin(corpus.train.flat[:SAMPLE], found.special.reserved).mean()
    if lost > 0.001:
        notice(f'{lost:.1%} of the tokens stand for text that the vocabulary does not know; raise tokenizer.vocab_size, or use '
               'tokenizer.kind=unigram, which spells it in bytes')
    return corpus


def _source(data, spec, notice):
    found = sources.open(spec, data.field, data.format, data.documents)
    for line in found.listing():
        notice(line)
    return found


def words_of_chinese(tokens: cache.Tokens) -> str | None:
    """A notice for an objective that asks where words begin: what a word of Chinese is. None where the text has next to no Chinese."""
    text = tokens.tokenizer.decode(tokens.flat[:SAMPLE], skip_special=True)
    share = sum(map(len, regex.findall(r'\p{Han}+', text))) / max(len(text), 1)
    if share < 0.01 or tokens.segment:
        return None
    return (f'whole words: each Chinese character ({share:.0%} of the text) is one; with data.words=jieba the words of the package '
            'jieba are, as in BERT-wwm')
