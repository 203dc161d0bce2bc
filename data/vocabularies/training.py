"""Trains a SentencePiece model: sample text, count words, fit unigram (Kudo 2018) or BPE (Sennrich et al. 2016).

SentencePiece gets each different word once, with its count, instead of the running text: no piece crosses a space, so the result is the
same up to rounding, in half (unigram) or a third (BPE) of the time.
"""
import collections
import io
import re
from typing import Iterable

import numpy as np
import sentencepiece

from data import errors
from data.vocabularies import pieces, vocabulary

META = 3            # <pad>, </s>, <unk>
BYTES = 256         # byte fallback
APPENDED = 3        # mask, cls, sep: pieces.layout appends them, and the sentinels
BLOCK = 16384       # characters: the unit of sampling
# With the spaces before it; everything else is spelt in bytes. U+2581 is SentencePiece's space, and it skips a word with U+2585.
WORD = re.compile(r' *[^ \t\n\r\0\u2581\u2585]+')
LONGEST = 4096      # characters of a "word", for text that has no spaces
SEEDS = 30000       # candidates unigram starts from; SentencePiece's million costs time and gives more tokens


def sample(texts: Iterable[str], size: int) -> list[str]:
    """Blocks of about `size` UTF-8 bytes in all, spread evenly over the texts; everything if size is 0 or more than there is. One pass, at
    most twice the sample in memory: when that is full, every second block is dropped and the stride doubles."""
    kept, kept_bytes, stride, count = [], 0, 1, 0
    for text in texts:
        for block in pieces.chunks(vocabulary.valid(text), BLOCK):
            if count % stride == 0:
                kept.append((len(block.encode()), block))
                kept_bytes += kept[-1][0]
            count += 1
            if size and kept_bytes > 2 * size and len(kept) > 1:
                kept, stride = kept[::2], stride * 2
                kept_bytes = sum(n for n, _ in kept)
    if size and kept_bytes > size:
        wanted = max(1, len(kept) * size // kept_bytes)
        kept = [kept[i * len(kept) // wanted] for i in range(wanted)]
    return [block for _, block in kept]


def words(texts: list[str]) -> collections.Counter:
    """Counts of words, each with the spaces before it, cut at newlines and tabs."""
    counts = collections.Counter()
    for text in texts:
        counts.update(WORD.findall(text))
    for word in [word for word in counts if len(word) > LONGEST]:
        count = counts.pop(word)
        for start in range(0, len(word), LONGEST):
            counts[word[start:start + LONGEST]] += count
    return counts


def common(texts: list[str], room: int) -> str | None:
    """The `room` most frequent characters; None when there are no more than that."""
    counts = np.zeros(0x110000, np.int64)
    for start in range(0, len(texts), 256):
        text = ''.join(texts[start:start + 256])
        counts += np.bincount(np.frombuffer(text.encode('utf-32-le'), np.uint32), minlength=len(counts))
    if np.count_nonzero(counts) <= room:
        return None
    return ''.join(map(chr, np.sort(np.argsort(-counts, kind='stable')[:room])))


def without_rare(counts: collections.Counter, characters: str) -> collections.Counter:
    """Words cut at every character that is not among `characters`; those are spelt in bytes."""
    rare, result = re.compile(f'[^{re.escape(characters)} ]+'), collections.Counter()
    for word, count in counts.items():
        for part in rare.split(word):
            if part.strip(' '):
                result[part] += count
    return result


def train(texts: list[str], kind: str, size: int, sentinels: int) -> bytes:
    """A SentencePiece model with which `pieces.SentencePiece` has `size` ids, reserved ones included, or fewer for a small text. DataError
    when there is no text, or `size` is too small."""
    number = size - APPENDED - sentinels
    least = META + BYTES + 64
    if number < least:
        raise errors.DataError(f'expected a vocabulary of at least {least + APPENDED + sentinels} (bytes, symbols, {sentinels} sentinels, '
                               f"some pieces), got {size}; raise tokenizer.vocab_size or use tokenizer.kind='bytes'")
    counts = words(texts)
    characters = common(texts, (number - META - BYTES) // 2)  # Chinese: byte fallback spells the rarest characters
    if characters is not None:
        counts = without_rare(counts, characters)
    if not counts:
        raise errors.DataError('expected text to train a tokenizer on, got none')
    output = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f'{word}\t{count}' for word, count in counts.items()), input_format='tsv',
            model_writer=output, model_type=kind, vocab_size=number, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True, split_digits=True,
            normalization_rule_name='identity', add_dummy_prefix=False, remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, character_coverage=1.0, max_sentence_length=8 * LONGEST,
            seed_sentencepiece_size=max(SEEDS, 4 * number), minloglevel=2, num_threads=1)  # sums depend on the number of threads
    except (RuntimeError, ValueError) as error:
        raise errors.DataError(f'expected text that a vocabulary of {size} can be trained on; SentencePiece: {error}') from error
    return output.getvalue()
