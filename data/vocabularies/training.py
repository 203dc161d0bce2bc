"""Learns a SentencePiece model from text: sample, count words, fit unigram (Kudo 2018) or BPE (Sennrich et al. 2016).

SentencePiece is given each different word once, with its count, and not the running text: the result is the same up to
rounding, because no piece crosses a space, in a half (unigram) or a third (BPE) of the time.
"""
import collections
import io
import re

import numpy as np
import sentencepiece

from data import errors
from data.vocabularies import pieces

META = 3            # <pad>, </s>, <unk>
BYTES = 256         # byte fallback
APPENDED = 3        # mask, cls, sep: pieces.layout appends them, and the sentinels
BLOCK = 16384       # characters: what sampling takes or leaves
WORD = re.compile(r' *[^ \t\n\r\0\u2581]+')  # a word is learnt with the spaces before it; the rest is spelt in bytes
LONGEST = 4096      # characters of a "word", for text that has no spaces
SEEDS = 30000       # candidates unigram starts from; SentencePiece's million costs time and gives more tokens


def sample(texts, size):
    """list of str: about `size` UTF-8 bytes in blocks spread evenly over all texts; everything if size is 0 or larger.

    One pass, memory of twice the sample at most: when that is full, every second block goes, and the stride doubles.
    """
    kept, kept_bytes, stride, count = [], 0, 1, 0
    for text in texts:
        for block in pieces.chunks(text, BLOCK):
            if count % stride == 0:
                kept.append((len(block.encode('utf-8', 'replace')), block))
                kept_bytes += kept[-1][0]
            count += 1
            if size and kept_bytes > 2 * size and len(kept) > 1:
                kept, stride = kept[::2], stride * 2
                kept_bytes = sum(n for n, _ in kept)
    if size and kept_bytes > size:
        wanted = max(1, len(kept) * size // kept_bytes)
        kept = [kept[i * len(kept) // wanted] for i in range(wanted)]
    return [block for _, block in kept]


def words(texts):
    """Counter of words, each with the spaces before it, cut at newlines and tabs."""
    counts = collections.Counter()
    for text in texts:
        counts.update(WORD.findall(text))
    for word in [word for word in counts if len(word) > LONGEST]:
        count = counts.pop(word)
        for start in range(0, len(word), LONGEST):
            counts[word[start:start + LONGEST]] += count
    return counts


def common(texts, room):
    """The `room` commonest characters as a string; None when there are no more than that."""
    counts = np.zeros(0x110000, np.int64)
    for start in range(0, len(texts), 256):
        text = ''.join(texts[start:start + 256])
        counts += np.bincount(np.frombuffer(text.encode('utf-32-le', 'replace'), np.uint32), minlength=len(counts))
    if np.count_nonzero(counts) <= room:
        return None
    return ''.join(map(chr, np.sort(np.argsort(-counts, kind='stable')[:room])))


def without_rare(counts, characters):
    """Words cut at every character but `characters`; the cut ones are spelt in bytes."""
    rare, result = re.compile(f'[^{re.escape(characters)} ]+'), collections.Counter()
    for word, count in counts.items():
        for part in rare.split(word):
            if part.strip(' '):
                result[part] += count
    return result


def train(texts, kind, size, sentinels):
    """Bytes of a SentencePiece model, so that `pieces.SentencePiece` has `size` ids, reserved ones included.

    Fewer when the text is too small for so many. DataError when there is no text or no room.
    """
    number = size - APPENDED - sentinels
    least = META + BYTES + 64
    if number < least:
        raise errors.DataError(f'expected a vocabulary of at least {least + APPENDED + sentinels} (bytes, symbols, '
                               f'{sentinels} sentinels, some pieces), got {size}; raise tokenizer.vocab_size or use '
                               "tokenizer.kind='bytes'")
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
            allow_whitespace_only_pieces=True, character_coverage=1.0,
            max_sentence_length=8 * LONGEST, seed_sentencepiece_size=max(SEEDS, 4 * number), num_threads=1,
            minloglevel=2)  # one thread: sums depend on their number, and two wait for each other on a busy machine
    except (RuntimeError, ValueError) as error:
        raise errors.DataError(f'expected text that a vocabulary of {size} can be trained on; '
                               f'SentencePiece: {error}') from error
    return output.getvalue()
