"""XLNet's two streams with memory, types and dropout by blocks of attention: the outputs and gradients of the whole model as by `plain`."""
import jax
import jax.numpy as jnp
import numpy as np

from model import config as model_config, memory as memories, task_model
from model.attention import blocks

B, T, P, M = 2, 40, 7, 20


def computed(name):
    """(logits of the queries, gradients of all parameters) of a two-layer model whose attention is computed by `name`."""
    config = model_config.Config(architecture='encoder', positions='xl', relative_segments=True, layers=2, dim=16, heads=2, vocab_size=30,
                                 attention_dropout=0.1, dropout=0.1, attention=name)
    rng, place = np.random.default_rng(0), np.broadcast_to(np.arange(T), (B, T))
    rank, slots = np.stack([rng.permutation(T) for _ in range(B)]), np.stack([np.sort(rng.choice(T, P, replace=False)) for _ in range(B)])
    padded = np.where(place < np.array([[T], [T - 5]]), 1, 0)
    batch = {'tokens': rng.integers(1, 30, (B, T)), 'positions': place + np.array([[M], [0]]), 'segments': padded, 'types': place // 11 % 2,
             'sees': rank, 'seen': rank, 'slots': slots}
    batch = {key: jnp.asarray(value, jnp.int32) for key, value in batch.items()}
    batch['weights'] = jnp.asarray(np.arange(P) < np.array([[P], [P - 2]]), jnp.float32)
    module = task_model.Model(config)
    params = module.init(jax.random.key(0), batch, method='everything')['params']
    params = jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape) * 0.2, jnp.float32), params)
    memory = memories.Memory(jnp.asarray(rng.normal(size=(B, 2, M, 16)), jnp.float32))

    @jax.jit
    def run(params):
        def out(params):
            rngs = {'dropout': jax.random.key(1)}
            logits, _ = module.apply({'params': params}, batch, memory, jnp.arange(B), method='streams', rngs=rngs)
            return jnp.sum(jnp.sin(logits) * batch['weights'][..., None]), logits

        return jax.grad(out, has_aux=True)(params)

    gradients, logits = run(params)
    return logits * batch['weights'][..., None], gradients


def test_both_streams_by_blocks(monkeypatch):
    monkeypatch.setattr(blocks, 'BLOCK', 16)
    found, wanted = computed('blockwise'), computed('plain')
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, np.abs(other).max()), rtol=0)
    relative = wanted[1]['backbone']['encoder']['blocks']['attention']['relative']
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(relative))
