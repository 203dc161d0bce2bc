"""Rows of whole sentences, planned for all documents at once: pairs (BERT, ALBERT) and full sentences (RoBERTa).

Pairs follow `create_instances_from_document` (Devlin et al. 2019; Lan et al. 2019): a chunk of sentences of a target length is cut in two;
B follows A, or is replaced by text of another document, or A and B are exchanged. The original goes from chunk to chunk. Here arrays hold,
for every sentence, the random choices of a chunk that would begin with it, and only the walk over those that do begin one is a loop: the
distribution is the same. One difference: the original draws another document up to ten times and may then keep its own; here it is another
one, unless there is only one. `full` follows fairseq's `sample_break_mode` complete, complete_doc (Liu et al. 2019, FULL-, DOC-SENTENCES).
"""
import copy
from typing import Any, Iterator

import numpy as np

NEXT, SWAPPED, RANDOM, FORCED = range(4)      # what B is; forced: random because its chunk had one sentence
BLOCK = 1 << 19                               # sentences planned at once: bounds the memory


def pairs(source: Any, size: int, short: float, other: int, rng: np.random.Generator, overflow: str = 'cut') -> np.ndarray:
    """int64[n, 5], a row a pair: A's begin and end in `source.flat`, B's, and NEXT, `other` (half of them) or FORCED.

    Together they have at most `size` tokens. other: RANDOM (next sentence) or SWAPPED (sentence order). A chunk of one sentence gets a
    random B. short: share of documents whose chunks have a smaller target, 2 to `size`. A sentence longer than `size`, most of which no row
    would hold, is cut into quarters of `size`, each a sentence of its own. overflow: a chunk's last sentence takes it beyond its target and
    the pair is `truncated` (cut), or begins the next chunk, so that only a random B is cut (next_row; longest sentence 3/4 of `size`).
    """
    within = overflow == 'next_row'
    longest, parts = (size * 3 // 4, 3) if within else (size, 4)
    source = in_pieces(source, longest, min(longest, parts))
    firsts, rows = _firsts(source), [np.zeros((0, 5), np.int64)]
    documents = np.flatnonzero(np.diff(firsts))   # empty ones have no sentences
    for first, last in blocks(firsts, BLOCK):
        sentence, document, split, end, target, kind = _chunks(source, firsts, first, last, size, short, other, rng, within)
        a = bounds(source, sentence), bounds(source, split)
        b = np.array([bounds(source, split), bounds(source, end)])
        drawn = np.flatnonzero(kind >= RANDOM)
        b[:, drawn] = _elsewhere(source, firsts, documents, document[drawn], target[drawn] - (a[1] - a[0])[drawn], rng, within)
        a, b = np.where(kind == SWAPPED, b, a), np.where(kind == SWAPPED, a, b)
        lengths = a[1] - a[0], b[1] - b[0]
        cuts = (np.zeros_like(kind), np.maximum(sum(lengths) - size, 0)) if within else truncated(*lengths, size)
        for side, cut in zip((a, b), cuts):
            front = rng.binomial(cut, 0.5)
            side += np.stack([front, front - cut])
        rows.append(np.stack([*a, *b, kind], axis=1))
    return np.concatenate(rows)


def full(source: Any, size: int, crossing: bool) -> np.ndarray:
    """int64[n, 2], begin and end in `source.flat`: sentences in the order of the text, as many as fit `size` tokens. crossing: rows
    continue in the next document, after a separator of one token. A sentence longer than a row is cut into pieces of `size`."""
    source = in_pieces(source, size, 1)
    firsts, documents, rows = _firsts(source), np.unique(source.offsets), [np.zeros((0, 2), np.int64)]
    for first, last in blocks(firsts, BLOCK):
        begins = bounds(source, np.arange(firsts[first], firsts[last]))
        ends = np.append(begins[1:], source.offsets[last])
        rank = np.searchsorted(documents, begins, side='right')  # of the document
        following = np.searchsorted(ends + rank, begins + rank + size, side='right')
        if not crossing:
            following = np.minimum(following, np.searchsorted(rank, rank, side='right'))
        chosen = walk(following)
        rows.append(np.stack([begins[chosen], ends[following[chosen] - 1]], axis=1))
    return np.concatenate(rows)


def in_pieces(source: Any, size: int, parts: int) -> Any:
    """The Tokens of `source`, with sentences of more than `size` tokens cut into pieces, of which `parts` together have `size`."""
    starts = source.sentence_offsets
    lengths = np.diff(starts, append=source.num_tokens)
    long = np.flatnonzero(lengths > size)
    if not len(long):
        return source
    cuts = -(-lengths[long] * parts // size) - 1  # inside a sentence
    number = np.arange(cuts.sum()) - np.repeat(np.cumsum(cuts) - cuts, cuts) + 1
    result = copy.copy(source)
    result.sentence_offsets = np.sort(np.concatenate([starts, np.repeat(starts[long], cuts) + number * size // parts]))
    return result


def truncated(a: np.ndarray, b: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(cut from A, cut from B): tokens to remove from pairs of these lengths until they have `size` together. One token at a time from the
    longer side, from B where they are equally long."""
    excess = np.maximum(a + b - size, 0)
    first = np.minimum(excess, np.abs(a - b))
    rest = excess - first
    return np.where(a > b, first, 0) + rest // 2, np.where(a > b, 0, first) + (rest + 1) // 2


def blocks(firsts: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """(first document, document after the last) of ranges with at most `most` sentences, if a document has no more."""
    first = 0
    while first < len(firsts) - 1:
        last = max(first + 1, int(np.searchsorted(firsts, firsts[first] + most, side='right')) - 1)
        yield first, last
        first = last


def bounds(source: Any, sentences: np.ndarray) -> np.ndarray:
    """Where these sentences begin in `source.flat`; the one after the last begins at its end."""
    inside = np.minimum(sentences, len(source.sentence_offsets) - 1)
    return np.where(sentences == inside, source.sentence_offsets[inside], source.num_tokens)


def walk(following: np.ndarray) -> np.ndarray:
    """int64[n], ascending: the indices on the path from 0 that goes from i to following[i] > i, to the end."""
    steps, at, found = memoryview(following), 0, []
    while at < len(steps):
        found.append(at)
        at = steps[at]
    return np.array(found, np.int64)


def _firsts(source):
    """int64[D + 1]: the first sentence of each document."""
    return np.searchsorted(source.sentence_offsets, source.offsets)


def _chunks(source, firsts, first, last, size, short, other, rng, within):
    """The chunks of a range of documents: first sentence, document, B's first sentence, end, target length, kind."""
    sentence = np.arange(firsts[first], firsts[last])
    document = np.repeat(np.arange(first, last), np.diff(firsts[first:last + 1]))
    less = rng.integers(2, size, last - first, endpoint=True)
    target = np.where(rng.random(last - first) < short, less, size)[document - first]
    end = np.minimum(_end(source, sentence, target, within), firsts[document + 1])
    split = sentence + rng.integers(1, np.maximum(end - sentence, 2))
    kind = np.where(end - sentence == 1, FORCED, np.where(rng.random(len(sentence)) < 0.5, other, NEXT))
    following = np.where(kind == RANDOM, split, end)  # the sentences that a random B has displaced begin the next chunk
    chosen = walk(following - firsts[first])
    return tuple(part[chosen] for part in (sentence, document, split, end, target, kind))


def _elsewhere(source, firsts, documents, own, target, rng, within):
    """int64[2, n]: begin and end of random text, from a random sentence of another document than `own` until `target`."""
    others = max(len(documents) - 1, 1)
    place = rng.integers(others, size=len(own))
    place += (len(documents) > 1) & (place >= np.searchsorted(documents, own))
    document = documents[place]
    sentence = rng.integers(firsts[document], firsts[document + 1])
    end = np.clip(_end(source, sentence, target, within), sentence + 1, firsts[document + 1])
    return np.stack([bounds(source, sentence), bounds(source, end)])


def _end(source, sentence, target, within):
    """The sentence after the first ones from `sentence` on that have `target` tokens together, or after the last ones within it."""
    until = bounds(source, sentence) + target
    if within:
        return np.maximum(np.searchsorted(np.append(source.sentence_offsets, source.num_tokens), until, side='right') - 1, sentence + 1)
    return np.searchsorted(source.sentence_offsets, until)
