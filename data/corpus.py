"""The text of a run: source, split, tokenizer and token caches, from the settings `data.*` and `tokenizer.*`."""
import pathlib
from typing import Any, Callable, NamedTuple, Optional

from data import tokenizer as tokenizers
from data.text import cache, sources
from data.vocabularies import vocabulary


class Corpus(NamedTuple):
    """tokenizer, and Tokens to train and to evaluate on (None without a held-out part)."""
    tokenizer: vocabulary.Vocabulary
    train: cache.Tokens
    eval: Optional[cache.Tokens]


def open(data: Any, tokenizer: Any, notice: Callable = print) -> Corpus:
    """Corpus of the settings `data` and `tokenizer` (train.settings.schema). Trains the tokenizer on the training part alone. Raises
    data.errors.DataError for missing, empty or undecodable text."""
    train, held = _source(data, data.train, notice), None
    if data.eval:
        held = _source(data, data.eval, notice)
    elif data.eval_fraction:
        train, held = (sources.Part(train, data.eval_fraction, part) for part in ('train', 'eval'))
    folder = pathlib.Path(data.cache).expanduser()
    found = tokenizers.build(tokenizer, train, folder)
    return Corpus(found, cache.build(train, found, folder, notice), held and cache.build(held, found, folder, notice))


def _source(data, spec, notice):
    found = sources.open(spec, data.field, data.format, data.documents)
    for line in found.listing():
        notice(line)
    return found
