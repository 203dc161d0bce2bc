"""Published sizes: parameters against the released models or the papers' tables, by shapes alone; what papers state beside."""
import importlib
import pkgutil

import jax
import jax.numpy as jnp
import pytest

from data.objectives import replaced_token_detection as objectives
from model import config as model_config
from model import families
from model import flops
from model import heads
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
