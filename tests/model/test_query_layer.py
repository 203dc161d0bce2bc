"""PanGu-alpha's last layer against its definition in numpy, through the cache, and its queries, gradients and dropout."""
import dataclasses
import functools
import json
import math
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config, transformer

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = model_config.Config(vocab_size=40, max_length=12, layers=3, dim=16, heads=4, query_layer=True, activation='gelu_tanh')


def draw(config):
    """A model and parameters drawn in numpy, none of them neutral."""
    model, rng = transformer.Transformer(config), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(config))['params']
    return model, jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.float32(rng.normal(size=leaf.shape) * 0.3 + (path[-1].key == 'scale')), shapes)


def batch(rows=2, length=9, seed=1):
    places = np.broadcast_to(np.arange(length, dtype=np.int32), (rows, length))
    return {'tokens': np.random.default_rng(seed).integers(0, 40, (rows, length)).astype(np.int32), 'positions': places,
            'segments': np.ones_like(places), 'sees': places, 'seen': places}


def norm(x, own):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * own['scale'] + own['bias']


def dense(x, own):
    return x @ own['kernel'] + own['bias']


def definition(params, tokens):
    """One row of the original, written out in float64: int[T] -> logits [T, 40]."""
    T, D, N = len(tokens), 16, 4
    params = jax.tree.map(np.float64, params)
    own = params['decoder']

    def attention(own, asking, said):
        query, key, value = (dense(x, own[name]).reshape(T, N, D // N) for x, name in
                             ((asking, 'query'), (said, 'key'), (said, 'value')))
        out = np.zeros((T, N, D // N))
        for t, n in np.ndindex(T, N):
            weights = np.exp(key[:t + 1, n] @ query[t, n] / math.sqrt(D // N))
            out[t, n] = weights @ value[:t + 1, n] / weights.sum()
        return dense(out.reshape(T, D), own['out'])

    def mlp(own, x):
        x = dense(x, own['up'])
        return dense(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))), own['down'])

    x = params['embed']['embedding'][tokens] + own['positions']['embedding'][:T]
    for layer in range(2):
        block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], own['blocks'])
        said = norm(x, block['attention_norm'])
        x = x + attention(block['attention'], said, said)
        x = x + mlp(block['mlp'], norm(x, block['mlp_norm']))
    x, block = norm(x, own['norm']), own['query_block']
    x = x + attention(block['attention'], own['queries']['embedding'][:T], norm(x, block['attention_norm']))
    x = x + mlp(block['mlp'], norm(x, block['mlp_norm']))
    return x @ params['embed']['embedding'][:40].T


def test_the_whole_model_is_its_definition():
    model, params = draw(CONFIG)
    assert set(params['decoder']) == {'positions', 'blocks', 'norm', 'queries', 'query_block'}
    assert params['decoder']['blocks']['mlp']['up']['kernel'].shape == (2, 16, 64)
    assert params['decoder']['query_block']['mlp']['up']['kernel'].shape == (16, 64)
    rows = batch()
    found = jax.jit(model.apply)({'params': params}, rows)[..., :40]
    for row in range(2):
        np.testing.assert_allclose(found[row], definition(params, rows['tokens'][row]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('settings', [dict(windows=(None, 3)), dict(share_layers=True)], ids=str)
def test_prefill_and_steps_equal_the_full_forward(settings):
    model, params = draw(dataclasses.replace(CONFIG, **settings))
    whole = batch()
    step = jax.jit(functools.partial(model.apply, method='step'))
    cache = model.apply({'params': params}, 2, 12, method='init_cache')
    assert cache.k.shape[0] == 3
    found = []
    for begin, end in ((0, 5), (5, 6), (6, 7), (7, 9)):
        hidden, cache = step({'params': params}, {name: value[:, begin:end] for name, value in whole.items()}, cache)
        found.append(model.apply({'params': params}, hidden, method='logits'))
    np.testing.assert_allclose(np.concatenate(found, axis=1), jax.jit(model.apply)({'params': params}, whole), atol=1e-5)


def test_what_is_said_at_a_place_has_no_gradient_from_later_tokens():
    """Neither does what the last layer asks with depend on any token: its gradient reaches the rows of the table alone."""
    model, params = draw(CONFIG)
    rows = batch(1)
    rows['tokens'][0] = np.arange(1, 10)

    def said(table, queries, place):
        own = {**params, 'embed': {'embedding': table}, 'decoder': {**params['decoder'], 'queries': {'embedding': queries}}}
        return jnp.sum(model.apply({'params': own}, rows, method='hidden')[0, place] * jnp.arange(16))

    gradients = jax.jit(jax.grad(said, argnums=(0, 1)))
    for place in (0, 4, 8):
        table, queries = gradients(params['embed']['embedding'], params['decoder']['queries']['embedding'], place)
        assert (np.abs(table[1:10]).max(-1) > 0).tolist() == [earlier <= place for earlier in range(9)]
        asked = [place] if place else []              # the first sees itself alone, whatever it asks
        assert np.flatnonzero(np.abs(queries).max(-1) > 1e-7).tolist() == asked


@pytest.mark.parametrize('remat', ['dots', 'attention', 'full'])
def test_recomputing_changes_nothing(remat):
    model, params = draw(CONFIG)
    rows = batch()

    def loss(model, params):
        return jnp.sum(jax.nn.log_softmax(model.apply({'params': params}, rows)[..., :40])[..., 3])

    other = dataclasses.replace(model, config=dataclasses.replace(CONFIG, remat=remat))
    expected, found = (jax.jit(jax.grad(functools.partial(loss, each)))(params) for each in (model, other))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), found, expected)


def test_its_dropout_draws_by_the_row():
    model, params = draw(dataclasses.replace(CONFIG, dropout=0.3, attention_dropout=0.3))
    params['decoder']['blocks'] = jax.tree.map(np.zeros_like, params['decoder']['blocks'])
    rows, rngs = batch(4), {'dropout': jax.random.key(3)}
    rows = {name: np.repeat(value[:1], 4, axis=0) for name, value in rows.items()}
    forward = jax.jit(lambda rows, numbers: model.apply({'params': params}, rows, numbers, rngs=rngs))
    whole = forward(rows, jnp.arange(4))
    second = forward({name: value[:2] for name, value in rows.items()}, jnp.arange(2, 4))
    np.testing.assert_allclose(whole[2:], second, atol=1e-5)
    assert np.abs(whole[0] - whole[1])[:, :40].max() > 1e-3


@pytest.mark.slow
def test_pangu_learns(tmp_path):
    """400 steps of bytes of the bundled novels, in a process of its own: 0.8 nats below the entropy of the letters, 3.09."""
    flags = ['eval_every=100', 'log_every=100', 'steps=400', 'batch_size=16', 'optimizer.name=muon', 'optimizer.learning_rate=0.01',
             'optimizer.adam_learning_rate=0.01', 'model.dropout=0', 'model.attention_dropout=0', 'checkpoint.every=0',
             'sample.max_new_tokens=1']
    command = [sys.executable, '-m', 'train.main', '--config=configs/pretrain_pangu.py:tiny', f'--workdir={tmp_path}/run']
    result = subprocess.run([*command, *(f'--config.{flag}' for flag in flags)], cwd=ROOT, text=True, capture_output=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = (tmp_path / 'run/metrics.jsonl').read_text().splitlines()
    losses = [line['eval/loss'] for line in map(json.loads, lines) if 'eval/loss' in line]
    assert len(losses) == 4 and losses == sorted(losses, reverse=True) and 1.9 < losses[-1] < 2.3
