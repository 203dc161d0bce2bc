"""Every key of config.json is read, refused or known to be harmless: compared with the keys that `transformers` has of each family."""
import json
import pathlib

import pytest

from model.huggingface import errors, keys, settings
from tests.helpers import huggingface_folder as folders

STORED = json.loads((pathlib.Path(__file__).parents[2] / 'fixtures/huggingface_keys/keys.json').read_text())['families']
FAMILIES = settings.known()
OLDER = {'rope_parameters': {'rope_theta', 'rope_scaling'}}   # model/huggingface/conversions.py:older
OTHER = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value + 0.5, str: lambda value: value + '_2',
         type(None): lambda value: 3, list: lambda value: [*value, 'x'], dict: lambda value: {**value, '7': 'x'}}


def pairs(*tables):
    """(family, key) of each key in the stored tables."""
    return [(name, key) for name, family in STORED.items() for table in tables for key in family[table]]


def read(tmp_path, name, **changed):
    """(Config, Head, ...) of a stored case whose config.json has other entries."""
    case, _ = folders.read(name)
    return settings.read(folders.write({**case, 'config': {**case['config'], **changed}}, tmp_path / name))


def test_the_families_are_those_that_are_stored():
    assert FAMILIES.keys() == STORED.keys()


@pytest.mark.parametrize('name, key', pairs('fields', 'derived', 'aliases'))
def test_no_family_forgets_a_key(name, key):
    family = FAMILIES[name]
    own = OLDER.get(key, {key}) if key not in family.aliases else {family.aliases[key]}
    assert own <= keys.named(family) | keys.ignored(family) | keys.READ


@pytest.mark.parametrize('name', STORED)
def test_the_tables_of_a_family_name_a_key_once(name):
    family = FAMILIES[name]
    assert not {*family.ignored, *family.training} & keys.named(family)
    assert not keys.HARMLESS & {*family.ignored, *family.training, *family.aliases}
    assert STORED[name]['aliases'].items() <= family.aliases.items()


@pytest.mark.parametrize('name', STORED)
def test_an_absent_key_means_the_default_of_transformers(name):
    """Sizes alone have no default here: a file without one is refused."""
    family, fields = FAMILIES[name], STORED[name]['fields']
    for key in keys.named(family) & fields.keys():
        if key in family.defaults:
            assert family.defaults[key] == fields[key], key
        elif key in keys.expected(family):
            assert keys.expected(family)[key] == fields[key], key
        else:
            assert isinstance(fields[key], int), key


@pytest.mark.parametrize('name, key', [(name, key) for name, key in pairs('fields', 'derived') if key in keys.expected(FAMILIES[name])])
def test_another_value_than_the_supported_one_is_refused(name, key, tmp_path):
    value = OTHER[type(keys.expected(FAMILIES[name])[key])](keys.expected(FAMILIES[name])[key])
    with pytest.raises(errors.ConfigError, match=f'{key} = {value!r}   expected'):
        read(tmp_path, name, **{key: value})


@pytest.mark.parametrize('name', STORED)
def test_what_is_left_aside_changes_nothing_and_is_told(name, tmp_path):
    case, family = folders.read(name)[0], FAMILIES[name]
    plain = read(tmp_path / 'plain', name)
    fields = {**STORED[name]['fields'], **STORED[name]['derived']}
    changed = {key: OTHER[type(fields.get(key))](fields.get(key)) for key in keys.ignored(family)}
    found = read(tmp_path / 'changed', name, **changed)
    assert found[:3] == plain[:3]
    told, *more = settings.notices(family, found[0], found[3])
    assert set(told.removeprefix('config.json: left aside, as they change no number of the network: ').split(', ')) == {
        key for key, value in {**case['config'], **changed}.items() if key in keys.ignored(family) and value is not None}
    assert len(more) == bool(family.training)
    for key in family.training:
        assert f'{key} = {changed[key]!r} (' in more[0]


@pytest.mark.parametrize('name, changed, says', [
    ('llama', dict(sliding_window=16), 'sliding_window = 16   nothing here knows this key'),
    ('llama', dict(partial_rotary_factor=0.5), 'partial_rotary_factor = 0.5   nothing here knows this key'),
    ('llama', dict(rope_parameters=dict(rope_type='default', partial_rotary_factor=0.5)), 'partial_rotary_factor'),
    ('bert', dict(rope_theta=10000.0), 'rope_theta = 10000.0   nothing here knows this key'),
    ('gpt2', dict(per_layer_config={'0': {'n_head': 2}}), 'per_layer_config'),
    ('qwen2', dict(layer_types=['full_attention', 'sliding_attention']), "expected 'full_attention' for each layer"),
    ('qwen2', dict(layer_types=['full_attention']), "expected 'full_attention' for each layer"),
    ('llama', dict(quantization_config={'quant_method': 'gptq'}), "quantization_config = {'quant_method': 'gptq'}   expected None"),
    ('xlnet', dict(bi_data=True), 'bi_data = True   expected False'),
    ('bloom', dict(slow_but_exact=True, pretraining_tp=2), 'slow_but_exact = True   expected False'),
    ('t5', dict(dense_act_fn='gelu_new'), "dense_act_fn = 'gelu_new'   expected 'relu', which follows from feed_forward_proj = 'relu'"),
    ('t5', dict(is_gated_act=True), 'is_gated_act = True   expected False'),
    ('bart', dict(decoder_attention_heads=None), 'decoder_attention_heads = None   expected 4'),
    ('albert', dict(embedding_size=32), 'embedding_size = 32   expected another number than hidden_size: an albert of'),
    ('gpt2', dict(num_hidden_layers=3), 'num_hidden_layers = 3   expected that of n_layer, 2, which is another name of it'),
])
def test_refused_by_name(name, changed, says, tmp_path):
    with pytest.raises(errors.ConfigError) as error:
        read(tmp_path, name, **changed)
    assert says in str(error.value)


def test_bart_without_heads_of_the_decoder_has_those_of_transformers(tmp_path):
    case, _ = folders.read('bart')
    del case['config']['decoder_attention_heads']
    with pytest.raises(errors.ConfigError, match='decoder_attention_heads = 16   expected 4, which follows'):
        settings.read(folders.write(case, tmp_path))


def test_a_key_under_another_name(tmp_path):
    case, _ = folders.read('gpt2')
    case['config'] = {('hidden_size' if key == 'n_embd' else key): value for key, value in case['config'].items()}
    assert settings.read(folders.write(case, tmp_path))[0] == read(tmp_path, 'gpt2')[0]


def test_the_dropout_of_gpt2s_embeddings_comes_in_and_goes_out(tmp_path):
    config, _, family, _ = read(tmp_path, 'gpt2', embd_pdrop=0.3)
    assert (config.dropout, config.embedding_dropout) == (0.1, 0.3)
    assert settings.to_json(family, config)['embd_pdrop'] == 0.3
