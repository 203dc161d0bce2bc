"""The attention rule against a triple loop over its definition, and what the hint states before the integers exist."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.attention import rule as rules
from tests.helpers import attention_rules as cases


@pytest.mark.parametrize('name', cases.MATRIX)
def test_mask_equals_the_definition(name):
    rule, window = cases.MATRIX[name]
    np.testing.assert_array_equal(rules.mask(rule, window), cases.mask(rule, window))


def test_known_masks():
    count = {name: int(rules.mask(*case).sum()) for name, case in cases.MATRIX.items()}
    assert count['bidirectional'] == 64
    assert count['causal'] == 36
    assert count['prefix'] == 36 + 3
    assert count['permuted content'] == 36 and count['permuted query'] == 28
    assert count['packed causal'] == 6 + 10 and count['packed bidirectional'] == 9 + 16
    assert count['causal window'] == 1 + 2 + 6 * 3  # the query and the two before it


@pytest.mark.parametrize('name', cases.MATRIX)
def test_the_rule_of_a_block_is_the_block_of_the_rule(name):
    """What a kernel relies on: any queries and any keys alone follow the same rule."""
    rule, window = cases.MATRIX[name]
    queries, keys = np.array([1, 2, 6]), np.array([0, 3, 4, 7])
    block = rules.Rule(rule.sees[:, queries], rule.seen[:, keys], rule.query_segments[:, queries], rule.key_segments[:, keys],
                       rule.query_positions[:, queries], rule.key_positions[:, keys])
    np.testing.assert_array_equal(rules.mask(block, window), rules.mask(rule, window)[:, queries][:, :, keys])


@pytest.mark.parametrize('name', cases.MATRIX)
def test_keys_before_the_others_are_seen_by_all_tokens_but_padding(name):
    rule, window = cases.MATRIX[name]
    hint = rules.Hint('causal', 'padded')
    longer, after = rules.prepend(rule, hint, jnp.array([[-1, 0, -1]]), jnp.zeros((1, 3), jnp.int32))
    assert after == rules.Hint('causal', 'padded', offset=3)
    assert rules.prepend(longer, after, jnp.array([[-1]]), jnp.array([[0]]))[1].offset == 4
    found, real = rules.mask(longer), np.asarray(rule.query_segments > 0)[:, :, None]
    np.testing.assert_array_equal(found[:, :, :3], real & [True, False, True] & (np.asarray(rule.sees) >= -1)[:, :, None])
    np.testing.assert_array_equal(found[:, :, 3:], rules.mask(rule))
    np.testing.assert_array_equal(rules.mask(longer, 3), cases.mask(longer, 3))  # a window counts from their positions


def test_hints_are_static():
    """They are attributes of modules and keys of compiled programs."""
    assert hash(rules.Hints()) == hash(rules.Hints(rules.Hint('ordered', 'packed')))
    assert rules.Hints().decoder == rules.Hint('ordered', 'packed', 0)
    assert jax.tree.leaves(rules.Rule(*range(6))) == list(range(6))
