"""Which setting explains the other shapes of a checkpoint: tried for all that shape parameters, in every architecture."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from model import config as model_config, paths, transformer
from train.checkpoints import arrays

OTHERS = {
    'architecture': model_config.ARCHITECTURES, 'vocab_size': [600], 'max_length': [20], 'layers': [3], 'decoder_layers': [4], 'dim': [24],
    'embed_dim': [12], 'heads': [2], 'kv_heads': [2], 'head_dim': [8], 'mlp_dim': [40], 'gated': [True], 'bias': [False],
    'attention_bias': [False], 'out_bias': [False], 'mlp_bias': [False], 'norm': ['rmsnorm'], 'norm_position': ['post'],
    'embed_norm': [True], 'share_layers': [True], 'query_layer': [True], 'positions': model_config.POSITIONS, 'position_offset': [2],
    'relative_buckets': [16], 'relative_segments': [True], 'types': [2], 'tied': [False], 'head': ['biased', 'transform'],
    'qk_norm': [True]}
SHAPELESS = {'activation', 'norm_epsilon', 'rotary_base', 'rotary_scaling', 'relative_distance', 'embed_scale', 'logit_scale',
             'attention_scale', 'attention_soft_cap', 'logit_soft_cap', 'windows', 'dropout', 'mlp_dropout', 'output_dropout',
             'attention_dropout', 'embed_dropout', 'attention', 'initializer', 'remat', 'unroll'}
BASE = model_config.Config(layers=2, dim=16, heads=4, max_length=16, vocab_size=300)
CASES = [('decoder', 'learned'), ('decoder', 'relative'), ('encoder', 'xl'),
         *(pytest.param(name, 'learned', marks=pytest.mark.slow) for name in ('encoder', 'encoder_decoder'))]


@functools.cache
def specs(config):
    tokens = jnp.zeros((2, 8), jnp.int32)
    sides = ('', 'encoder_') if config.architecture == 'encoder_decoder' else ('',)
    batch = {side + name: tokens for side in sides for name in ('tokens', 'positions', 'segments', 'sees', 'seen', 'types')}
    module = transformer.Transformer(config)
    found = jax.eval_shape(lambda: module.init(jax.random.key(0), batch)['params'])
    return {f'params/backbone/{path}': arrays.spec(leaf) for path, leaf in paths.flatten(found).items()}


def hint(saved, wanted):
    with pytest.raises(arrays.Mismatch) as error:
        arrays.compare(saved, wanted, 'runs/x')
    return str(error.value).splitlines()[-1].removeprefix('likely cause: ').replace(',', ' ').split()


def test_every_setting_of_the_model_is_tried():
    assert OTHERS.keys() | SHAPELESS == {field.name for field in dataclasses.fields(model_config.Config)}


@pytest.mark.parametrize('architecture, positions', CASES)
def test_the_setting_is_named_whichever_side_has_it(architecture, positions):
    base, tried = dataclasses.replace(BASE, architecture=architecture, positions=positions), set()
    for name in OTHERS if positions == 'learned' else ('heads', 'layers', 'positions', 'relative_buckets', 'relative_segments'):
        for value in OTHERS[name]:
            other = dataclasses.replace(base, **{name: value})
            if list(other.problems()) or specs(other) == specs(base):
                continue
            tried.add(name)
            for saved, wanted in ((base, other), (other, base)):
                assert f'model.{name}' in hint(specs(saved), specs(wanted)), (name, value)
    assert len(tried) >= (20 if positions == 'learned' else 3), tried


@pytest.mark.parametrize('architecture', model_config.ARCHITECTURES)
def test_the_number_of_layers(architecture):
    base = dataclasses.replace(BASE, architecture=architecture)
    assert hint(specs(base), specs(dataclasses.replace(base, layers=3))) == ['model.layers']
    if architecture == 'encoder_decoder':
        assert hint(specs(base), specs(dataclasses.replace(base, decoder_layers=3))) == ['model.decoder_layers']


def test_optimizer_statistics_follow_the_parameters():
    small, large = specs(BASE), specs(dataclasses.replace(BASE, layers=3))
    both = [{**tree, **{path.replace('params/', 'opt_state/0/mu/'): spec for path, spec in tree.items()}} for tree in (small, large)]
    assert hint(*both) == ['model.layers']
    assert hint({**small, 'opt_state/0/count': 'int32[]'}, small)[0] == 'optimizer.name'


def test_two_settings_at_once_are_said_to_be_several():
    assert hint(specs(BASE), specs(dataclasses.replace(BASE, gated=True, bias=False)))[0] == 'several'
