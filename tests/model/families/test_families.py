"""Published sizes: parameters against the released models or the papers' tables, by shapes alone; what papers state beside."""
import dataclasses
import importlib
import json
import pkgutil

import jax
import jax.numpy as jnp
import pytest

from data.objectives import replaced_token_detection as objectives
from model import config as model_config, families, flops, heads
from model.huggingface import settings
from train.objectives import replaced_token_detection

NAMES = sorted(module.name for module in pkgutil.iter_modules(families.__path__))
FAMILIES = {name: importlib.import_module(f'model.families.{name}') for name in NAMES}
SIZES = [(name, size) for name, family in FAMILIES.items() for size in family.SIZES]
# Trained beside the backbone: the judge of sentence pairs, with its pooler; the judge of tokens, which takes the place of
# the language head; and what XLNet's queries start from.
PAIRS, TOKENS = ('bert', 'albert'), ('electra',)
INEXACT = ('gpt3',)                           # its table is rounded
# Numbers of parameters, counted from the released model or, where none was, from the paper.
PARAMETERS = {
    'albert': {'base': 11_813_810, 'large': 17_847_474, 'xlarge': 59_021_490, 'xxlarge': 223_158_450},
    'bart': {'base': 139_420_416, 'large': 406_291_456},
    'bert': {'base': 110_106_428, 'large': 336_226_108},
    'bloom': {'560m': 559_214_592, '1b1': 1_065_314_304, '1b7': 1_722_408_960, '3b': 3_002_557_440, '7b1': 7_069_016_064,
              '176b': 176_247_271_424},
    'electra': {'small': 13_549_057, 'base': 109_483_009, 'large': 335_142_913},
    'gpt2': {'small': 124_439_808, 'medium': 354_823_168, 'large': 774_030_080, 'xl': 1_557_611_200},
    'gpt3': {'small': 125_000_000, 'medium': 356_000_000, 'large': 760_000_000, 'xl': 1_320_000_000, '2.7b': 2_650_000_000,
             '6.7b': 6_660_000_000, '13b': 12_850_000_000, '175b': 174_600_000_000},
    'llama': {'2-7b': 6_738_415_616, '2-13b': 13_015_864_320, '2-70b': 68_976_648_192, '3-8b': 8_030_261_248, '3-70b': 70_553_706_496,
              '3.1-8b': 8_030_261_248, '3.1-70b': 70_553_706_496, '3.1-405b': 405_853_388_800,
              '3.2-1b': 1_235_814_400, '3.2-3b': 3_212_749_824,
              'smollm2-135m': 134_515_008, 'smollm2-360m': 361_821_120, 'smollm2-1.7b': 1_711_376_384},
    'pangu': {'2.6b': 2_625_295_360, '13b': 12_800_870_400, '200b': 206_861_008_896},
    'qwen2': {'0.5b': 494_032_768, '1.5b': 1_543_714_304, '7b': 7_615_616_512},
    'roberta': {'base': 124_697_433, 'large': 355_412_057},
    't5': {'small': 60_506_624, 'base': 222_903_552, 'large': 737_668_096, '3b': 2_851_598_336, '11b': 11_307_321_344,
           'v1_1-small': 76_961_152, 'v1_1-base': 247_577_856, 'v1_1-large': 783_150_080,
           'v1_1-xl': 2_849_757_184, 'v1_1-xxl': 11_135_332_352,
           'xl': 2_851_598_336, 'xxl': 11_307_321_344},
    'ul2': {'base': 222_903_552, '20b': 19_459_613_696},
    'xlnet': {'base': 116_750_336, 'large': 360_300_800},
}


def size_of(module, *arguments):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)['params']
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def count(name, config):
    hidden = jax.ShapeDtypeStruct((1, 2, config.dim), jnp.float32)
    found = flops.parameters(config)
    if name in PAIRS:
        found += size_of(heads.PairHead(config, name='pair'), hidden)
    if name in TOKENS:
        table = jax.ShapeDtypeStruct((config.padded_vocab, config.width), jnp.float32)
        padding = config.padded_vocab - config.vocab_size
        found += size_of(heads.TokenHead(config, name='head'), hidden) + padding
        found -= size_of(heads.LanguageHead(config, name='head'), hidden, table)
    return found + (config.dim if name == 'xlnet' else 0)


@pytest.mark.parametrize('name, size', SIZES)
def test_parameters_are_the_published_ones(name, size):
    found, published = count(name, model_config.Config(**FAMILIES[name].SIZES[size])), PARAMETERS[name][size]
    assert found == pytest.approx(published, rel=0.01)
    if name not in INEXACT:
        assert found == published


@pytest.mark.parametrize('name', NAMES)
def test_every_size_has_a_count(name):
    assert set(FAMILIES[name].SIZES) == set(PARAMETERS[name])
    assert FAMILIES[name].__doc__


# Table 2.1 of GPT-3: layers, width, heads, width of a head, and parameters as rounded there.
@pytest.mark.parametrize('size, layers, dim, heads, head_dim, billions', [
    ('small', 12, 768, 12, 64, 0.125), ('large', 24, 1536, 16, 96, 0.760), ('6.7b', 32, 4096, 32, 128, 6.7),
    ('13b', 40, 5140, 40, 128, 13.0), ('175b', 96, 12288, 96, 128, 175.0)])
def test_gpt3_is_its_table(size, layers, dim, heads, head_dim, billions):
    config = model_config.Config(**FAMILIES['gpt3'].SIZES[size])
    assert (config.layers, config.dim, config.heads, config.size) == (layers, dim, heads, head_dim)
    assert flops.parameters(config) == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize('size, layers, dim, heads, embed_dim', [
    ('small', 12, 64, 1, 128), ('base', 12, 256, 4, 768), ('large', 24, 256, 4, 1024)])
def test_electras_generators(size, layers, dim, heads, embed_dim):
    """Table 6 of ELECTRA, and the code: heads are 64 wide, the feed-forward layer 4 times the width; the tables are borrowed."""
    share, config = FAMILIES['electra'].GENERATORS[size], model_config.Config(**FAMILIES['electra'].SIZES[size])
    found = replaced_token_detection.generator_config(config, objectives.Objective(512, generator_dim=share))
    assert (found.layers, found.dim, found.heads, found.kv, found.size) == (layers, dim, heads, heads, 64)
    assert (found.hidden, found.width, found.vocab_size, found.max_length) == (4 * dim, embed_dim, 30522, 512)
    assert (found.dropout, found.attention_dropout, found.activation) == (0.1, 0.1, 'gelu')


LLAMA = dict(architectures=['LlamaForCausalLM'], attention_bias=False, attention_dropout=0.0, hidden_act='silu', mlp_bias=False,
             model_type='llama', pretraining_tp=1, rms_norm_eps=1e-05, use_cache=True)
RELEASED = {                                  # config.json as it lies on the hub
    ('bloom', '560m'): dict(
        apply_residual_connection_post_layernorm=False, attention_dropout=0.0, attention_softmax_in_fp32=True, bias_dropout_fusion=True,
        bos_token_id=1, eos_token_id=2, hidden_dropout=0.0, initializer_range=0.02, layer_norm_epsilon=1e-05,
        masked_softmax_fusion=True, model_type='bloom', n_embed=1024, n_inner=None, n_layer=24, num_attention_heads=16,
        offset_alibi=100, pad_token_id=3, pretraining_tp=1, skip_bias_add=True, unk_token_id=0, vocab_size=250880),
    ('qwen2', '7b'): dict(
        architectures=['Qwen2ForCausalLM'], attention_dropout=0.0, bos_token_id=151643, eos_token_id=151643, hidden_act='silu',
        hidden_size=3584, initializer_range=0.02, intermediate_size=18944, max_position_embeddings=131072, max_window_layers=28,
        model_type='qwen2', num_attention_heads=28, num_hidden_layers=28, num_key_value_heads=4, rms_norm_eps=1e-06,
        rope_theta=1000000.0, sliding_window=131072, tie_word_embeddings=False, use_sliding_window=False, vocab_size=152064),
    ('llama', '2-7b'): dict(
        LLAMA, hidden_size=4096, intermediate_size=11008, max_position_embeddings=4096, num_attention_heads=32, num_hidden_layers=32,
        num_key_value_heads=32, rope_scaling=None, tie_word_embeddings=False, vocab_size=32000),
    ('llama', '3.1-8b'): dict(
        LLAMA, hidden_size=4096, intermediate_size=14336, max_position_embeddings=131072, num_attention_heads=32, num_hidden_layers=32,
        num_key_value_heads=8, rope_theta=500000.0, tie_word_embeddings=False, vocab_size=128256, rope_scaling=dict(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192, rope_type='llama3')),
    ('llama', '3.2-1b'): dict(
        LLAMA, head_dim=64, hidden_size=2048, intermediate_size=8192, max_position_embeddings=131072, num_attention_heads=32,
        num_hidden_layers=16, num_key_value_heads=8, rope_theta=500000.0, tie_word_embeddings=True, vocab_size=128256, rope_scaling=dict(
            factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192, rope_type='llama3')),
    ('llama', 'smollm2-135m'): dict(
        LLAMA, hidden_size=576, intermediate_size=1536, is_llama_config=True, max_position_embeddings=8192, num_attention_heads=9,
        num_hidden_layers=30, num_key_value_heads=3, rope_interleaved=False, rope_scaling=None, rope_theta=100000,
        tie_word_embeddings=True, vocab_size=49152),
}


@pytest.mark.parametrize('name, size', RELEASED, ids='-'.join)
def test_sizes_are_those_of_the_released_files(name, size, tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(RELEASED[name, size]))
    read, _, family, _ = settings.read(tmp_path)
    assert family is FAMILIES[name].FAMILY
    ours = model_config.Config(**FAMILIES[name].SIZES[size])
    for field in dataclasses.fields(ours):
        if field.name not in settings.TRAINING:
            assert settings.resolved(read, field.name) == settings.resolved(ours, field.name), field.name
    assert name == 'bloom' or read.max_length == ours.max_length
