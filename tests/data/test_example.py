"""The integers of the attention rule against masks written out with loops, and generators keyed by three integers."""
import numpy as np
import pytest

from data import example

N = example.NEVER_SEEN


def visible(places):
    """bool[T, T] of the rule: query row, key column."""
    sees, seen, segments = places['sees'], places['seen'], places['segments']
    return (seen[None, :] <= sees[:, None]) & (segments[:, None] == segments[None, :])


def naive(lengths, size, allowed):
    """The same from loops: `allowed(segment, query position, key position)` inside a segment, nothing elsewhere."""
    mask, start = np.zeros((size, size), bool), 0
    for segment, length in enumerate(lengths):
        for q in range(length):
            for k in range(length):
                mask[start + q, start + k] = allowed(segment, q, k)
        start += length
    return mask


def test_causal_row_by_hand():
    places = example.causal([3, 2], 7)
    assert places['positions'].tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert places['segments'].tolist() == [1, 1, 1, 2, 2, 0, 0]
    assert places['sees'].tolist() == [0, 1, 2, 0, 1, -1, -1]
    assert places['seen'].tolist() == [0, 1, 2, 0, 1, N, N]
    assert all(value.dtype == example.FIELDS[name] for name, value in places.items())


def test_bidirectional_row_by_hand():
    places = example.bidirectional([3], 5)
    assert places['positions'].tolist() == [0, 1, 2, 0, 0]
    assert places['segments'].tolist() == [1, 1, 1, 0, 0]
    assert places['sees'].tolist() == [0, 0, 0, -1, -1]
    assert places['seen'].tolist() == [0, 0, 0, N, N]


def test_prefix_row_by_hand():
    places = example.prefix([4, 3], [3, 1], 8)
    assert places['sees'].tolist() == places['seen'].tolist()[:-1] + [-1]
    assert places['seen'].tolist() == [2, 2, 2, 3, 0, 1, 2, N]
    assert places['positions'].tolist() == [0, 1, 2, 3, 0, 1, 2, 0]
    # the shared causal row was not written to
    assert example.causal([4, 3], 8)['seen'].tolist() == [0, 1, 2, 3, 0, 1, 2, N]


@pytest.mark.parametrize('lengths, size', [([5], 5), ([1], 4), ([3, 2], 7), ([1, 1, 1], 3), ([], 3), ([4, 1, 2], 9)])
def test_masks_equal_loops(lengths, size):
    assert (visible(example.causal(lengths, size)) == naive(lengths, size, lambda s, q, k: k <= q)).all()
    assert (visible(example.bidirectional(lengths, size)) == naive(lengths, size, lambda s, q, k: True)).all()
    for share in (0.0, 0.5, 1.0):
        prefixes = [max(1, round(share * length)) for length in lengths]
        inside = naive(lengths, size, lambda s, q, k, prefixes=prefixes: k <= q or max(k, q) < prefixes[s])
        assert (visible(example.prefix(lengths, prefixes, size)) == inside).all()


def test_padding_stays_blind_even_if_segments_are_ignored():
    places = example.causal([2], 4)
    assert not (places['seen'][None, :] <= places['sees'][:, None])[2:].any()
    assert not (places['seen'][None, :] <= places['sees'][:, None])[:, 2:].any()


@pytest.mark.parametrize('lengths, size', [([4], 3), ([2, 2], 3), ([0], 3), ([2, -1], 3)])
def test_segments_that_do_not_fit(lengths, size):
    with pytest.raises(ValueError, match='do not fit a row of 3 tokens'):
        example.causal(lengths, size)


def test_shared_rows_cannot_be_written():
    with pytest.raises(ValueError, match='read-only'):
        example.causal([2], 4)['positions'][0] = 5
    with pytest.raises(ValueError, match='read-only'):
        example.weights(2, 4)[0] = 5


def test_shifted_by_hand():
    targets = np.array([11, 12, 1, 13, 1, 0, 0], np.int32)
    assert example.shifted(targets, [3, 2], 9).tolist() == [9, 11, 12, 9, 13, 0, 0]
    assert targets.tolist() == [11, 12, 1, 13, 1, 0, 0]
    assert example.shifted(targets[:3], [3], 9).tolist() == [9, 11, 12]


def test_weights_and_padded():
    assert example.weights(2, 4).tolist() == [1, 1, 0, 0] and example.weights(2, 4).dtype == np.float32
    row = example.padded([7, 8], 4, 5)
    assert row.tolist() == [7, 8, 5, 5] and row.dtype == np.int32


def test_stack_and_empty():
    one = {'tokens': np.array([1, 2]), 'weights': np.array([1.0, 1.0]), 'index': 3, **example.causal([2], 2)}
    batch = example.stack([one, example.empty(one, pad=6)])
    assert set(batch) == set(one) and all(value.dtype == example.FIELDS[name] for name, value in batch.items())
    assert batch['tokens'].tolist() == [[1, 2], [6, 6]]
    assert batch['weights'].tolist() == [[1, 1], [0, 0]]
    assert batch['index'].tolist() == [3, -1]
    assert batch['segments'][1].tolist() == [0, 0] and batch['sees'][1].tolist() == [-1, -1]
    assert batch['seen'][1].tolist() == [N, N]


def test_labels_are_a_dict_in_the_batch():
    one = {'tokens': np.array([1, 2]), 'labels': {'next_sentence': 1, 'spans': np.array([3, 4])}, 'index': 3}
    batch = example.stack([one, example.empty(one), one])
    assert batch['labels']['next_sentence'].tolist() == [1, 0, 1] and batch['labels']['spans'].tolist() == [[3, 4], [0, 0], [3, 4]]
    assert all(value.dtype == np.int32 for value in batch['labels'].values())
    room = example.allocate(one, 2)
    example.put(room, 1, one)
    assert room['labels']['spans'][1].tolist() == [3, 4] and room['index'].dtype == np.int64 and room['index'][1] == 3
    assert list(example.given(batch)) == ['tokens', 'labels']


def test_encoder_names():
    assert set(example.encoder(example.bidirectional([2], 2))) == {
        'encoder_positions', 'encoder_segments', 'encoder_sees', 'encoder_seen'} <= set(example.FIELDS)


def test_rng_is_a_function_of_three_integers():
    draw = lambda *key: example.rng(*key).integers(2**63, size=4).tolist()
    assert draw(3, 1, 4) == draw(3, 1, 4)
    keys = [(s, e, i) for s in (0, 1, -1, 2**40) for e in (0, 1, 2) for i in (0, 1, 2, -1, 2**40)]
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)


def test_neighbouring_generators_are_independent():
    draws = np.stack([example.rng(0, e, i).random(64) for e in range(4) for i in range(250)])
    assert abs(draws.mean() - 0.5) < 4 / np.sqrt(12 * draws.size)
    first = draws[:, 0] - 0.5
    lag = np.mean(first[1:] * first[:-1]) * 12
    assert abs(lag) < 4 / np.sqrt(len(first))
    assert abs(np.corrcoef(draws[::2].ravel(), draws[1::2].ravel())[0, 1]) < 4 / np.sqrt(draws.size / 2)
