"""The two streams, the memory and the backward rows of XLNet as Hugging Face's PyTorch model computes them (tests/fixtures/xlnet)."""
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from model import config as model_config, memory as memories, transformer

STORED = pathlib.Path(__file__).parents[3] / 'tests/fixtures/xlnet/transformers.npz'


def parameters(found):
    """The stored parameters by our paths."""
    def layer(i):
        own = {name.split('/', 1)[1].removeprefix(f'layer.{i}.'): found[name] for name in found if f'/layer.{i}.' in name}
        flat = {name: own[f'rel_attn.{name}'].reshape(D, -1) for name in 'qkvor'}          # [D, N, H] -> [D, N * H]
        norm = lambda name: {'scale': own[f'{name}.layer_norm.weight'], 'bias': own[f'{name}.layer_norm.bias']}
        dense = lambda name: {'kernel': own[f'ff.{name}.weight'].T, 'bias': own[f'ff.{name}.bias']}
        return {'attention': {'query': {'kernel': flat['q']}, 'key': {'kernel': flat['k']}, 'value': {'kernel': flat['v']},
                              'out': {'kernel': flat['o'].T},
                              'relative': {'key': {'kernel': flat['r']}, 'content_bias': own['rel_attn.r_w_bias'],
                                           'position_bias': own['rel_attn.r_r_bias'], 'segment_bias': own['rel_attn.r_s_bias'],
                                           'segments': own['rel_attn.seg_embed']}},
                'attention_norm': norm('rel_attn'), 'mlp_norm': norm('ff'),
                'mlp': {'up': dense('layer_1'), 'down': dense('layer_2')}}

    D = found['params/word_embedding.weight'].shape[1]
    blocks = jax.tree.map(lambda *leaves: np.stack(leaves), layer(0), layer(1))
    table = found['params/word_embedding.weight']
    return {'embed': {'embedding': np.pad(table, ((0, 128 - len(table)), (0, 0)))}, 'encoder': {'blocks': blocks},
            'head': {'bias': np.zeros(128, np.float32)}}


def test_streams_and_memory():
    found = dict(np.load(STORED))
    (B, T), (_, P), (_, _, M, D) = found['tokens'].shape, found['slots'].shape, found['memory'].shape
    config = model_config.Config(
        architecture='encoder', vocab_size=30, layers=2, dim=D, heads=2, positions='xl', relative_segments=True,
        norm_position='post', embed_norm=False, attention_bias=False, norm_epsilon=1e-12, activation='gelu_tanh', head='biased',
        initializer='normal')
    positions = np.arange(M, M + T) * np.where(np.arange(B) < B // 2, 1, -1)[:, None]      # M tokens lie before the row
    batch = {'tokens': found['tokens'], 'types': found['types'], 'sees': found['rank'], 'seen': found['rank'],
             'slots': found['slots'], 'positions': positions, 'segments': np.ones((B, T)), 'weights': np.ones((B, P))}
    batch = {name: jnp.asarray(value, jnp.float32 if name == 'weights' else jnp.int32) for name, value in batch.items()}
    memory = memories.Memory(jnp.moveaxis(found['memory'], 0, 1), reuse=5)
    content, queries, states = transformer.Transformer(config).apply(
        {'params': parameters(found)}, batch, found['params/mask_emb'][0, 0], memory, method='streams')
    np.testing.assert_allclose(content, found['content'], atol=1e-5)
    np.testing.assert_allclose(queries, found['queries'], atol=1e-5)
    np.testing.assert_allclose(states, np.moveaxis(found['states'], 0, 1), atol=1e-6)
