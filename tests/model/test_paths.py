"""Paths of leaves, and tables whose first match wins."""
import jax
import jax.numpy as jnp
import optax
import pytest

from model import paths

TREE = {'embed': {'embedding': 1}, 'blocks': {'mlp': {'up': {'kernel': 2, 'bias': 3}}, 'norm': {'scale': 4}}}
FLAT = {'blocks/mlp/up/bias': 3, 'blocks/mlp/up/kernel': 2, 'blocks/norm/scale': 4, 'embed/embedding': 1}


def test_flatten_and_unflatten_are_inverse():
    assert paths.flatten(TREE) == FLAT
    assert list(paths.flatten(TREE)) == list(FLAT)
    assert paths.unflatten(FLAT) == TREE
    assert paths.unflatten({}) == {} and paths.flatten({}) == {}


def test_flatten_names_fields_of_optimizer_state_and_skips_none():
    state = optax.adam(1e-3).init({'a': {'kernel': jnp.zeros(2)}})
    assert list(paths.flatten(state)) == ['0/count', '0/mu/a/kernel', '0/nu/a/kernel']
    assert paths.flatten({'a': None, 'b': [5, (6,)]}) == {'b/0': 5, 'b/1/0': 6}


@pytest.mark.parametrize('flat', [{'a': 1, 'a/b': 2}, {'a/b': 2, 'a': 1}])
def test_unflatten_refuses_a_leaf_that_is_a_branch(flat):
    with pytest.raises(ValueError, match='leaf'):
        paths.unflatten(flat)


def test_first_match_wins():
    table = ((r'up/kernel$', 'first'), (r'kernel$', 'second'), (r'(^|/)blocks/', 'third'), (r'^embed', 'fourth'))
    assert paths.map(table, TREE) == {
        'embed': {'embedding': 'fourth'},
        'blocks': {'mlp': {'up': {'kernel': 'first', 'bias': 'third'}}, 'norm': {'scale': 'third'}}}


def test_values_may_be_falsy_or_trees():
    values = paths.map(((r'bias$', None), (r'.', (0, []))), TREE)
    assert values['blocks']['mlp']['up'] == {'kernel': (0, []), 'bias': None}


def test_no_match_lists_every_path():
    with pytest.raises(paths.NoMatch) as error:
        paths.map(((r'kernel$', 1), (r'bias$', 2)), TREE)
    assert error.value.paths == ['blocks/norm/scale', 'embed/embedding']
    assert str(error.value) == "no row matches 'blocks/norm/scale', 'embed/embedding'"


def test_a_long_list_is_cut():
    with pytest.raises(paths.NoMatch, match="'a19' and 5 more"):
        paths.map((), {f'a{i:02}': i for i in range(25)})


def test_stacked_leaves_are_those_below_blocks():
    assert paths.stacked('blocks/mlp/up/kernel') and paths.stacked('backbone/encoder/blocks/norm/scale')
    assert not paths.stacked('embed/embedding') and not paths.stacked('blocks_0/norm/scale')
    assert paths.layer('decoder/blocks/mlp/up/kernel', (3, 4, 5)) == (4, 5)
    assert paths.layer('embed/embedding', (4, 5)) == (4, 5)


def test_apply_keeps_the_structure():
    tree = paths.apply(lambda path, x, y: (path, x + y), TREE, jax.tree.map(lambda x: 10 * x, TREE))
    assert tree['blocks']['norm']['scale'] == ('blocks/norm/scale', 44)
