"""Sharding by name, flattened products, and dropout by row."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import ops


def mesh(data=1, fsdp=1, tensor=1, context=1):
    kinds = (jax.sharding.AxisType.Auto,) * 4
    return jax.make_mesh((data, fsdp, tensor, context), ('data', 'fsdp', 'tensor', 'context'), axis_types=kinds)


def sharding(x, *names):
    return jax.jit(lambda x: ops.constrain(x, *names))(x).sharding


def test_constrain_is_identity_without_a_mesh():
    x = jnp.ones((2, 3))
    assert ops.constrain(x, 'batch', 'model') is x
    with pytest.raises(ValueError, match=r'1 names .* shape \(2, 3\)'):
        ops.constrain(x, 'batch')


def test_constrain_shards_by_name():
    with jax.set_mesh(mesh(data=2, fsdp=2, tensor=2)) as m:
        x = jnp.ones((4, 6, 8))
        spec = jax.sharding.PartitionSpec(('data', 'fsdp'), None, 'tensor')
        expected = jax.sharding.NamedSharding(jax.sharding.get_mesh(), spec)
        assert sharding(x, 'batch', 'length', 'mlp').is_equivalent_to(expected, 3)
        del m
    with jax.set_mesh(mesh(data=2, context=4)):
        x = jnp.ones((4, 8, 8))
        expected = jax.sharding.NamedSharding(jax.sharding.get_mesh(), jax.sharding.PartitionSpec('data', 'context'))
        assert sharding(x, 'batch', 'length', 'model').is_equivalent_to(expected, 3)


def test_constrain_leaves_whole_what_does_not_divide():
    with jax.set_mesh(mesh(data=4, tensor=2)):
        x = jnp.ones((2, 3, 6))
        expected = jax.sharding.NamedSharding(jax.sharding.get_mesh(), jax.sharding.PartitionSpec(None, None, 'tensor'))
        assert sharding(x, 'batch', 'kv', 'mlp').is_equivalent_to(expected, 3)


@pytest.mark.parametrize('shape', [{}, {'context': 8}])
def test_products_do_not_depend_on_flattening(shape):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 8, 4)).astype(np.float32), rng.normal(size=(4, 6)).astype(np.float32)
    with jax.set_mesh(mesh(**{'data': 1, **shape} if shape else {'data': 8})):
        np.testing.assert_allclose(jax.jit(ops.dense)(x, kernel), x @ kernel, atol=1e-5)
        np.testing.assert_allclose(jax.jit(ops.logits)(x, kernel.T), x @ kernel, atol=1e-5)


def test_product_gradients():
    rng = np.random.default_rng(0)
    x, kernel, g = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 8, 4), (4, 6), (2, 8, 6)))
    _, pull = jax.vjp(ops.dense, x, kernel)
    dx, dkernel = pull(g)
    np.testing.assert_allclose(dx, g @ kernel.T, atol=1e-5)
    np.testing.assert_allclose(dkernel, jnp.einsum('btd,btf->df', x, g), atol=1e-5)
    _, pull = jax.vjp(ops.logits, x, kernel.T)
    dx, dtable = pull(g)
    np.testing.assert_allclose(dx, g @ kernel.T, atol=1e-5)
    np.testing.assert_allclose(dtable, jnp.einsum('btd,btf->fd', x, g), atol=1e-5)


def test_float32_products_of_bfloat16_have_bfloat16_gradients():
    rng = np.random.default_rng(0)
    x, y, g = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((6, 4), (8, 4), (6, 8)))

    def gradients(x, y):
        value, pull = jax.vjp(lambda x, y: ops.einsum_float32('td,vd->tv', x, y), x, y)
        return value, *pull(g)

    halves = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
    products = [eqn for eqn in jax.make_jaxpr(gradients)(*halves).eqns if eqn.primitive.name == 'dot_general']
    assert len(products) >= 2
    assert all(operand.aval.dtype == jnp.bfloat16 for eqn in products for operand in eqn.invars)
    value, dx, dy = gradients(*halves)
    assert (value.dtype, dx.dtype, dy.dtype) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)
    for found, exact in zip((value, dx, dy), (x @ y.T, g @ y, g.T @ x)):
        np.testing.assert_allclose(found.astype(jnp.float32), exact, atol=0.1)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    out = np.asarray(ops.dropout(jnp.ones((4, 100, 100)), 0.2, jax.random.key(0), jnp.arange(4)))
    assert set(np.unique(out)) == {0.0, np.float32(1 / 0.8)}
    assert abs((out == 0).mean() - 0.2) < 4 * (0.2 * 0.8 / out.size) ** 0.5
    assert len({row.tobytes() for row in out}) == 4


def test_dropout_of_a_row_does_not_depend_on_its_batch():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 3)), jnp.float32)
    key = jax.random.key(1)
    whole = ops.dropout(x, 0.5, key, jnp.arange(6))
    strided = ops.dropout(x[1::2], 0.5, key, jnp.arange(6)[1::2])
    np.testing.assert_array_equal(whole[1::2], strided)


def test_gather_reads_slots():
    x = jnp.arange(2 * 4 * 3).reshape(2, 4, 3)
    np.testing.assert_array_equal(ops.gather(x, jnp.array([[3, 0], [1, 1]])), np.stack([x[0, [3, 0]], x[1, [1, 1]]]))


def test_soft_cap():
    x = jnp.array([-1000.0, 0.1, 1000.0])
    assert ops.soft_cap(x, None) is x
    np.testing.assert_allclose(ops.soft_cap(x, 30.0), [-30.0, 0.1, 30.0], atol=1e-5)
