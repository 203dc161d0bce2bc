"""Streams against plain arrays: tokens, bounds of sentences, both directions, and a plan whose batches follow one another."""
import numpy as np
import pytest

from data import example, special_tokens
from data.rows import streams
from data.text import cache

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)


def corpus(*lengths, seed=0, every=7):
    """Documents of random ids, with sentences of about `every` tokens."""
    draw = np.random.default_rng(seed)
    documents = [draw.integers(5, 744, n) for n in lengths]
    return cache.Tokens.from_arrays(documents, SPECIAL, [np.flatnonzero(draw.random(n) < 1 / every) for n in lengths])


def written_out(source, key):
    """The whole text of a key, and a flag for each token that starts a sentence."""
    tokens, starts = [], []
    for document in streams.text(source, key).order:
        flags = np.zeros(source.lengths[document], bool)
        flags[source.sentences(document)] = True
        tokens += [*source.document(document), SPECIAL.eos]
        starts += [*flags, False]             # XLNet's `_create_data` flips the sentence's bit before and after <eod>
    return np.array(tokens), np.array(starts)


@pytest.mark.parametrize('backwards', [False, True])
def test_a_stream_is_a_part_of_the_text_in_its_direction(backwards):
    source = corpus(13, 1, 40, 0, 5, 2, 30)
    tokens, starts = written_out(source, 5)
    begin, end = 7, 91
    stream = streams.Stream(streams.text(source, 5), begin, end, backwards)
    assert len(stream) == 84
    way = slice(None, None, -1) if backwards else slice(None)
    expected = tokens[begin:end][way]
    parity = np.cumsum(starts)[begin:end][way]  # XLNet's sentence bit: it changes from sentence to sentence
    for a in range(84):
        for b in range(a + 1, 85):
            found, cuts = stream.read(a, b)
            assert found.tolist() == expected[a:b].tolist()
            assert cuts.tolist() == [i for i in range(a + 1, b) if parity[i] != parity[i - 1]]
    for place in range(84):
        low, high = place, place + 1
        while low > 0 and parity[low - 1] == parity[place]:
            low -= 1
        while high < 84 and parity[high] == parity[place]:
            high += 1
        assert stream.sentence(place) == (low, high)


def test_the_end_of_a_document_belongs_to_its_last_sentence():
    """XLNet's `_create_data`: documents [10, 11] and [12, 13] have one cut, where the second begins."""
    source = cache.Tokens.from_arrays([np.array([10, 11]), np.array([12, 13])], SPECIAL)
    for key in range(4):
        tokens, cuts = streams.text(source, key).read(0, 6)
        assert sorted(tokens.tolist()) == [1, 1, 10, 11, 12, 13] and cuts.tolist() == [3]


def test_all_text_is_there_once_in_an_order_of_its_own():
    source = corpus(13, 1, 40, 0, 5)
    one, other = (written_out(source, key)[0] for key in (1, 2))
    assert len(one) == len(other) == source.num_tokens + 4 and (one != other).any()
    assert sorted(one) == sorted(other) == sorted([*source.flat, 1, 1, 1, 1])
    assert (streams.Text(source, 1).order == streams.Text(source, 1).order).all()


@pytest.mark.parametrize('directions', ['forward', 'both'])
def test_every_batch_continues_the_one_before(directions):
    source = corpus(*[90] * 20)
    rows, size, step = 6, 32, 16
    table = streams.plan(source, rows, size, step, directions, example.rng(0, 0, -1))
    assert len(table) % rows == 0
    batches = table.reshape(-1, rows, 6)
    assert (batches[:, :, [0, 1, 2, 4]] == batches[0, :, [0, 1, 2, 4]].T).all()    # the same streams
    assert (batches[:, :, 3] == np.arange(len(batches))[:, None] * step).all()
    count = rows if directions == 'forward' else rows // 2
    tokens = written_out(source, table[0, 0])[0]
    length = len(tokens) // count
    for row in range(rows):
        key, begin, end, _, backwards, _ = batches[0, row]
        assert (begin, end, backwards) == (row % count * length, (row % count + 1) * length, row >= count)
        stream = streams.Stream(streams.text(source, key), begin, end, bool(backwards))
        read = np.concatenate([stream.read(start, start + step)[0] for start in batches[:, row, 3]])
        own = tokens[begin:end][::-1] if backwards else tokens[begin:end]
        assert read.tolist() == own[:len(read)].tolist() and len(own) - len(read) - (size - step) < step
    assert len(np.unique(table[:, 5])) == len(table)


def test_rows_stay_empty_where_there_is_too_little_text():
    draw = lambda: example.rng(0, 0, -1)
    table = streams.plan(corpus(50, 52), 8, 32, 16, 'both', draw())  # 104 tokens with EOS: 3 streams of 34 each way
    assert table.shape == (8, 6) and (table[:, 0] < 0).tolist() == [False, False, False, True] * 2
    assert len(streams.plan(corpus(30), 8, 32, 16, 'both', draw())) == 0
    assert len(streams.plan(corpus(31), 1, 32, 16, 'forward', draw())) == 1
