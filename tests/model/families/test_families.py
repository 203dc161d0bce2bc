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
    family = FAMILIES[name]
    found, published = count(name, model_config.Config(**family.SIZES[size])), family.PARAMETERS[size]
    assert found == pytest.approx(published, rel=0.01)
    if name not in INEXACT:
        assert found == published


@pytest.mark.parametrize('name', NAMES)
def test_every_size_has_a_count(name):
    assert set(FAMILIES[name].SIZES) == set(FAMILIES[name].PARAMETERS)
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
