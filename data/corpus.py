"""The text of a run, ready to be read: sources, split, tokenizer and token caches, from the settings `data.*` and `tokenizer.*`."""
import pathlib
from typing import Any, NamedTuple, Optional

from data import tokenizer as tokenizers
from data.text import cache, sources


class Corpus(NamedTuple):
    """tokenizer, and `cache.Tokens` to train and to evaluate on (None without a held-out part)."""
    tokenizer: Any
    train: cache.Tokens
    eval: Optional[cache.Tokens]


def open(data, tokenizer, notice=print):
    """Corpus of the settings `data` and `tokenizer` (train.settings.schema). Fits the tokenizer on the training part alone.

    Raises data.errors.DataError for missing, empty or undecodable text.
    """
    text = sources.open(data.train, data.field)
    if data.eval:
        train, held = text, sources.open(data.eval, data.field)
    elif data.eval_fraction:
        train, held = (sources.split(text, data.eval_fraction, part) for part in ('train', 'eval'))
    else:
        train, held = text, None
    folder = pathlib.Path(data.cache).expanduser()
    vocabulary = tokenizers.build(tokenizer, train, folder)
    return Corpus(vocabulary, cache.build(train, vocabulary, folder, notice), held and cache.build(held, vocabulary, folder, notice))
