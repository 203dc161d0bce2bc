"""The choice of an implementation of attention: the fastest that can, or the one that is named, or an error that says what it lacks."""
import dataclasses
import re
import types

import jax
import jax.numpy as jnp
import pytest

from model import config as model_config, ops, transformer
from model.attention import blockwise, choice, cudnn, plain, rule as rules

CONFIG = model_config.Config(vocab_size=10, dim=64, heads=4)
GPU = choice.Need(CONFIG, 'gpu', jnp.bfloat16, 1024, 1024, rules.Hint('causal', 'one'))


def test_the_setting_names_the_implementations():
    assert set(model_config.ATTENTION) == {'auto', *choice.IMPLEMENTATIONS}


@pytest.mark.parametrize('change, expected', [
    ({}, cudnn), (dict(dtype=jnp.float32), plain), (dict(platform='tpu'), plain), (dict(platform='cpu'), blockwise),
    (dict(platform='cpu', queries=256, keys=256), plain), (dict(platform='cpu', queries=1, keys=2 ** 20), plain),
    (dict(queries=1, keys=2 ** 20), plain), (dict(dtype=jnp.float32, queries=4096, keys=4096), blockwise)])
def test_the_fastest_that_can_is_taken(change, expected):
    assert choice.choose(dataclasses.replace(GPU, **change)) is expected


@pytest.mark.parametrize('change, settings, lacking', [
    (dict(platform='cpu'), {}, 'a CPU'),
    (dict(dtype=jnp.float32), {}, 'dtype = float32'),
    ({}, dict(head_dim=20), 'heads 20 wide'),
    ({}, dict(head_dim=160), 'heads 160 wide'),
    (dict(queries=45, windows=(8,), scores='bias'), {}, '45 x 1024 tokens with a mask or a bias (odd)'),
    (dict(training=True), dict(attention_dropout=0.1), 'model.attention_dropout = 0.1'),
    ({}, dict(attention_soft_cap=5.0), 'model.attention_soft_cap = 5.0'),
    (dict(scores='terms'), dict(positions='xl'), 'model.positions = xl'),
    (dict(queries=45, hint=rules.UNKNOWN), {}, '45 x 1024 tokens with a mask or a bias (odd)'),
    (dict(queries=45, scores='bias'), {}, '45 x 1024 tokens with a mask or a bias (odd)'),
    (dict(platform='tpu', training=True), dict(attention_dropout=0.1, attention_soft_cap=5.0),
     'a TPU, model.attention_soft_cap = 5.0, model.attention_dropout = 0.1')])
def test_a_named_one_that_cannot_is_an_error_that_says_what_it_lacks(change, settings, lacking):
    need = dataclasses.replace(GPU, config=dataclasses.replace(CONFIG, **settings), **{'training': True, **change})
    message = f"model.attention = 'cudnn' does not support {lacking}. Change that, or take one that does: auto, blockwise, plain"
    with pytest.raises(choice.Unsupported, match=f'^{re.escape(message)}$') as raised:
        choice.choose(need, 'cudnn')
    assert raised.value.exit_code == 2
    assert choice.choose(need) is not cudnn
    outside = dataclasses.replace(need, training=False)                    # where nothing is lost by another
    assert choice.choose(outside, 'cudnn') is (choice.choose(outside) if cudnn.lacks(outside) else cudnn)


def test_evaluation_may_take_what_training_may_not():
    need = dataclasses.replace(GPU, config=dataclasses.replace(CONFIG, attention_dropout=0.1))
    assert choice.choose(need) is cudnn and choice.choose(dataclasses.replace(need, training=True)) is plain


def test_a_row_on_several_devices_is_not_cut_into_blocks(monkeypatch):
    monkeypatch.setattr(ops, 'mesh_axes', lambda name, mesh=None: ('context',) * (name == 'length'))
    for name in ('blockwise', 'cudnn'):
        with pytest.raises(choice.Unsupported, match=f"'{name}' does not support mesh.context > 1"):
            choice.choose(dataclasses.replace(GPU, training=True), name)


def test_the_kernel_needs_heads_that_are_split_alike_and_a_card_that_has_it(monkeypatch):
    grouped = dataclasses.replace(GPU, config=dataclasses.replace(CONFIG, kv_heads=2))
    with jax.set_mesh(jax.make_mesh((4,), ('tensor',), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])):
        assert cudnn.lacks(grouped) == ['model.kv_heads = 2 beside mesh.tensor > 2'] and cudnn.lacks(GPU) == []
    for capability, expected in (('7.5', ['GPUs before compute capability 8.0']), ('gfx90a', ['GPUs before compute capability 8.0']),
                                 ('9.0', []), ('12.0', [])):
        monkeypatch.setattr(cudnn.jax, 'devices', lambda capability=capability: [types.SimpleNamespace(compute_capability=capability)])
        assert cudnn.lacks(GPU) == expected


def test_a_model_takes_the_one_that_is_named_but_in_decoding(monkeypatch):
    asked, choose = [], choice.choose
    monkeypatch.setattr(choice, 'choose', lambda need, name='auto': asked.append((name, need.training)) or choose(need, name))
    module = transformer.Transformer(dataclasses.replace(CONFIG, attention='blockwise', positions='none'))
    batch = transformer.blank(module.config, 1, 4)
    variables = jax.eval_shape(module.init, jax.random.key(0), batch)
    jax.eval_shape(lambda variables: module.apply(variables, batch, jnp.arange(1)), variables)
    cache = jax.eval_shape(lambda: module.init_cache(1, 4))
    jax.eval_shape(lambda *given: module.apply(*given, method='step'), variables, batch, cache)
    assert asked == [('blockwise', False), ('blockwise', True), ('auto', False)]  # initialisation, training, decoding


def test_the_platform_is_that_of_the_mesh_in_use():
    assert ops.platform() == jax.default_backend()
    with jax.set_mesh(jax.make_mesh((1,), ('data',), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices('cpu')[:1])):
        assert jax.jit(lambda x: x if ops.platform() == 'cpu' else None)(1) == 1


def test_a_model_that_names_what_this_machine_lacks_is_read_here_but_not_trained():
    module = transformer.Transformer(dataclasses.replace(CONFIG, attention='cudnn', positions='none'))
    batch = transformer.blank(module.config, 1, 4)
    variables = jax.eval_shape(module.init, jax.random.key(0), batch)
    assert jax.eval_shape(module.apply, variables, batch).shape == (1, 4, 128)
    with pytest.raises(choice.Unsupported, match="model.attention = 'cudnn' does not support a CPU, dtype = float32. Change that"):
        jax.eval_shape(lambda variables: module.apply(variables, batch, jnp.arange(1)), variables)
