"""Relative positions of Transformer-XL term by term, appended queries, and the keys of a memory."""
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, encodings, memory as memories
from model.attention import rule as rules, streams, terms, transformer_xl

rng = np.random.default_rng(0)


@pytest.mark.parametrize('T, M', [(1, 0), (4, 0), (4, 3), (3, 7)])
def test_shift_is_the_index_map_of_the_paper(T, M):
    """out[i, j] is the entry of distance (M + i) - j, where entry k is that of distance M + T - k."""
    x = rng.normal(size=(2, 3, T, M + 2 * T))
    out = np.asarray(terms.shift(jnp.asarray(x, jnp.float32), M + T))
    for i, j in np.ndindex(T, M + T):
        np.testing.assert_array_equal(out[:, :, i, j], x[:, :, i, M + T - (M + i - j)].astype(np.float32))


def test_halves_are_sines_then_cosines():
    found = np.asarray(encodings.halves(jnp.asarray([-3, 0, 1, 100]), 6))
    for row, distance in zip(found, (-3, 0, 1, 100)):
        angle = distance / 10000 ** (np.arange(0, 6, 2) / 6)
        np.testing.assert_allclose(row, [*np.sin(angle), *np.cos(angle)], atol=1e-5)


def test_direction_of_reading():
    rows = jnp.asarray([[0, 1, 2], [0, -1, -2], [5, 6, 7], [-5, -6, -7], [0, 0, 1], [3, 0, 0][::-1]])
    assert encodings.direction(rows).tolist() == [1, -1, 1, -1, 1, 1]
    assert encodings.direction(rows[:, :1]).tolist() == [1] * 6


@pytest.mark.parametrize('backwards', [False, True])
def test_every_pair_gets_its_distance(backwards):
    """Content and appended queries, with memory, by the shift and by looking pairs up, against R(p_q - p_k) itself."""
    T, P, M, N, H, D = 5, 3, 4, 2, 4, 8
    way = -1 if backwards else 1
    config = model_config.Config(vocab_size=10, dim=D, heads=N)
    place, slots = way * np.arange(M, M + T)[None], np.array([[3, 0, 0]])
    segments = np.array([[1] * T + [1, 1, 0]])                               # the last slot is not used
    both = np.concatenate([place, place[:, slots[0]]], axis=1)
    known = np.concatenate([place[:, :1] - way * np.arange(M, 0, -1), place], axis=1)
    rule = rules.Rule(*(jnp.asarray(a) for a in (both, known, segments, known * 0 + 1, both, known)))
    query, kernel = rng.normal(size=(1, N, T + P, H)).astype(np.float32), rng.normal(size=(D, N, H)).astype(np.float32)

    def scores(query, relative):
        places = jnp.einsum('wrd,dnh->wnrh', relative.table, kernel)[relative.reads]
        return np.asarray(transformer_xl.Terms(jnp.asarray(query), places, index=relative.index, slots=relative.slots).matrix())

    fields = {'positions': rule.query_positions, 'seen': rule.sees[:, :T], 'slots': jnp.asarray(slots)}
    found = scores(query, transformer_xl.share(config, rule, fields))
    table = np.asarray(encodings.halves(jnp.asarray(both[0][:, None] - known[0][None]), D))
    expected = np.einsum('nth,tsd,dnh->nts', query[0], table, kernel)
    np.testing.assert_allclose(found[0, :, :-1], expected[:, :-1], atol=1e-5)
    if not backwards:
        alone = rules.Rule(*(jnp.asarray(a) for a in (place, known, segments[:, :T], known, place, known)))
        looked_up = scores(query[:, :, :T], transformer_xl.share(config, alone, fields, cached=True))
        np.testing.assert_allclose(looked_up[0], expected[:, :T], atol=1e-5)


def test_what_is_in_memory():
    states = jnp.zeros((4, 2, 3, 1))
    first = jnp.asarray([[0, 1], [2, 3], [-3, -4], [9, 10]])
    segments, places = memories.keys(memories.Memory(states), first)
    assert segments.tolist() == [[0, 0, 0], [0, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert places.tolist() == [[-3, -2, -1], [-1, 0, 1], [0, -1, -2], [6, 7, 8]]
    old, new = jnp.arange(3.0)[None, :, None], jnp.arange(10.0, 15.0)[None, :, None]
    assert memories.extend(old, new, 2)[0, :, 0].tolist() == [2, 10, 11]
    assert memories.extend(old, new, 4)[0, :, 0].tolist() == [11, 12, 13]
    rule = rules.Rule(*[jnp.asarray([[0, 0]])] * 2, *[jnp.asarray([[1, 0]])] * 2, *[first[1:2]] * 2)
    remembered = rules.mask(rules.prepend(rule, rules.Hint(), segments[1:2], places[1:2])[0])
    assert remembered.tolist() == [[[False, True, True, True, False], [False] * 5]]          # padding sees no memory


def test_appended_queries():
    batch = {name: jnp.asarray([value]) for name, value in {
        'positions': [4, 5, 6], 'segments': [1, 1, 1], 'types': [0, 0, 1], 'sees': [0, 2, 1], 'seen': [0, 2, 1],
        'slots': [1, 2, 0], 'weights': [1.0, 1.0, 0.0]}.items()}
    assert {name: value.tolist()[0] for name, value in streams.append(batch).items()} == {
        'positions': [4, 5, 6, 5, 6, 4], 'segments': [1, 1, 1, 1, 1, 0], 'types': [0, 0, 1, 0, 1, 0], 'sees': [0, 2, 1, 1, 0, -1],
        'seen': [0, 2, 1], 'slots': [1, 2, 0]}
