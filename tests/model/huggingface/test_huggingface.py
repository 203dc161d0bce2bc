"""Published models from and to Hugging Face: logits against PyTorch's (tests/fixtures/huggingface), tensors byte for byte."""
import dataclasses
import importlib
import json
import pkgutil

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as safetensors

from model import config as model_config, families, huggingface, task_model
from model.families import albert, bart, bert, roberta, t5
from tests.helpers import huggingface_folder as folders, huggingface_logits

BUFFERS = {'final_logits_bias'}               # what an export leaves out: no parameters
COPIES = {'t5_tied_unscaled': {'lm_head.weight'}}  # what it repeats for versions of `transformers` that tie by config.json


def silent(text):
    raise AssertionError(text)


@pytest.fixture(scope='module', params=folders.names())
def loaded(request, tmp_path_factory):
    """(case, its arrays, its folder, module, variables) of every stored case."""
    case, arrays = folders.read(request.param)
    found = folders.tensors(case)
    assert folders.checksum(found) == case['checksum'], 'numpy draws other numbers than it did: make the cases again'
    folder = folders.write(case, tmp_path_factory.mktemp('folder'), found)
    return (case, arrays, folder, *huggingface.load(folder, notice=silent))


def description(folder):
    """What settings.read says of a folder, with settings that follow from others written out."""
    _, config, head, family, _ = huggingface.folders.read(folder)
    return {field.name: huggingface.settings.resolved(config, field.name) for field in dataclasses.fields(config)}, head, family


def test_logits_are_those_of_pytorch(loaded):
    _, arrays, _, module, variables = loaded
    said = huggingface_logits.says(module, variables, arrays)
    assert {f'expected/{name}' for name in said} == {name for name in arrays if name.startswith('expected/')}
    assert huggingface_logits.difference(said, arrays) <= 1e-4


def test_an_export_of_the_import_is_byte_equal(request, loaded, tmp_path):
    case, _, folder, module, variables = loaded
    _, _, _, raw = huggingface.settings.read(folder)
    assert huggingface.save(tmp_path, module, variables, more=raw) == ['model.safetensors']
    old, new = (safetensors.load_file(where / 'model.safetensors') for where in (folder, tmp_path))
    copies = COPIES.get(request.node.callspec.params['loaded'], set())
    assert old.keys() - new.keys() <= BUFFERS and new.keys() - old.keys() == copies
    for name in new.keys() - copies:
        assert new[name].dtype == old[name].dtype and new[name].shape == old[name].shape, name
        assert new[name].tobytes() == old[name].tobytes(), name
    config = json.loads((tmp_path / 'config.json').read_text())
    assert description(tmp_path) == description(folder)
    changed = {key for key, value in case['config'].items() if value is not None and config.get(key, value) != value}
    assert changed <= ({'tie_word_embeddings'} if 'scale_decoder_outputs' in case['config'] else set())
    assert case['config'].keys() - config.keys() <= {'transformers_version', 'rope_parameters'}
    assert config['architectures'] == case['config']['architectures']


def model(name, folder, found=None):
    """(case, the tensors of its file, module, variables) of a stored case whose file has the tensors `found`, or else its own."""
    case, _ = folders.read(name)
    module, variables = huggingface.load(folders.write(case, folder, found), notice=silent)
    return case, folders.tensors(case), module, variables


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)))


@pytest.mark.parametrize('name,number', [('float16', np.float16), ('bfloat16', ml_dtypes.bfloat16)])
def test_half_the_bits(name, number, tmp_path):
    """What comes in is float32 and exactly the file's numbers; what goes out is the file."""
    case, found, module, whole = model('llama_tied', tmp_path / 'whole')
    half = {tensor: array.astype(number) for tensor, array in found.items()}
    _, _, _, variables = model('llama_tied', tmp_path / 'half', half)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')} and not same(variables, whole)
    assert same(variables, jax.tree.map(lambda leaf: np.asarray(leaf).astype(number).astype(np.float32), whole))
    (tmp_path / 'out').mkdir()
    huggingface.save(tmp_path / 'out', module, whole, name)
    written = safetensors.load_file(tmp_path / 'out/model.safetensors')
    assert written.keys() == half.keys()
    assert all(written[tensor].dtype == number and written[tensor].tobytes() == half[tensor].tobytes() for tensor in half)
    assert json.loads((tmp_path / 'out/config.json').read_text())['dtype'] == name


def test_many_files_with_an_index(tmp_path):
    """Written here: each file within the limit or of one tensor, all of them in the index. Read: as `transformers` cut them."""
    case, found, module, whole = model('bart', tmp_path / 'whole')
    names = [name for name in found if name not in BUFFERS]
    (tmp_path / 'ours').mkdir()
    files = huggingface.save(tmp_path / 'ours', module, whole, shard=20_000)
    assert len(files) > 3 and files[0] == f'model-00001-of-{len(files):05d}.safetensors'
    index = json.loads((tmp_path / 'ours/model.safetensors.index.json').read_text())
    assert index['metadata']['total_size'] == sum(found[name].nbytes for name in names)
    held = {name: safetensors.load_file(tmp_path / 'ours' / name) for name in files}
    assert {tensor: file for file, tensors in held.items() for tensor in tensors} == index['weight_map']
    assert sorted(index['weight_map']) == sorted(names)
    assert all(len(tensors) == 1 or sum(array.nbytes for array in tensors.values()) <= 20_000 for tensors in held.values())
    assert same(huggingface.load(tmp_path / 'ours', notice=silent)[1], whole)

    folder = folders.write(case, tmp_path / 'theirs', found)
    (folder / 'model.safetensors').unlink()
    cut = {f'model-0000{part + 1}-of-00003.safetensors': dict(list(found.items())[part::3]) for part in range(3)}
    for name, tensors in cut.items():
        safetensors.save_file(tensors, folder / name)
    (folder / 'model.safetensors.index.json').write_text(json.dumps(
        {'metadata': {'total_size': 0}, 'weight_map': {tensor: name for name, tensors in cut.items() for tensor in tensors}}))
    assert same(huggingface.load(folder, notice=silent)[1], whole)


def older_bert(found):
    """The first files on the hub: norms as in TensorFlow, tied tensors twice, a buffer of positions."""
    older = {name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'): array
             for name, array in found.items()}
    return {**older, 'bert.embeddings.position_ids': np.arange(64)[None],
            'cls.predictions.decoder.weight': found['bert.embeddings.word_embeddings.weight'],
            'cls.predictions.decoder.bias': found['cls.predictions.bias']}


def older_gpt2(found):
    """The file of GPT-2 on the hub: that of a bare backbone, whatever config.json says, with the causal masks."""
    return {**{name.removeprefix('transformer.'): array for name, array in found.items()},
            **{f'h.{layer}.attn.bias': np.tril(np.ones((1, 1, 64, 64), np.float32)) for layer in range(2)}}


def older_t5(found):
    """The table once for each side, and the bias of cross attention that was never read."""
    return {**found, 'encoder.embed_tokens.weight': found['shared.weight'], 'decoder.embed_tokens.weight': found['shared.weight'],
            'lm_head.weight': found['shared.weight'],
            'decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight': np.ones((8, 4), np.float32)}


def older_bart(found):
    return {**found, 'lm_head.weight': found['model.shared.weight'],
            'model.encoder.embed_tokens.weight': found['model.shared.weight'],
            'model.decoder.embed_tokens.weight': found['model.shared.weight'], 'model.encoder.version': np.zeros(1, np.float32)}


def older_albert(found):
    return {**found, 'albert.embeddings.position_ids': np.arange(64)[None],
            'predictions.decoder.weight': found['albert.embeddings.word_embeddings.weight'],
            'predictions.decoder.bias': found['predictions.bias']}


def older_xlnet(found):
    return {**found, 'lm_loss.weight': found['transformer.word_embedding.weight']}


def older_llama(found):
    return {**found, **{f'model.layers.{layer}.self_attn.rotary_emb.inv_freq': np.ones(4, np.float32) for layer in range(2)}}


@pytest.mark.parametrize('name,older', [('bert', older_bert), ('gpt2', older_gpt2), ('t5', older_t5), ('bart', older_bart),
                                        ('albert', older_albert), ('xlnet', older_xlnet), ('llama', older_llama)])
def test_buffers_and_tied_duplicates_of_older_files_are_left_aside(name, older, tmp_path):
    _, found, _, whole = model(name, tmp_path / 'whole')
    assert older(found).keys() != found.keys()
    assert same(model(name, tmp_path / 'older', older(found))[3], whole)


OTHERS = {'gpt3': 'gpt2', 'ul2': 't5', 'pangu': None}   # families that go by another's name at Hugging Face, or by none


@pytest.mark.parametrize('family', [entry.name for entry in pkgutil.iter_modules(families.__path__)])
def test_every_published_size_has_its_place(family):
    """By structure alone; an ELECTRA that does not project its embeddings is a BERT unless its head says what it is."""
    head = task_model.Head('discriminator') if family == 'electra' else None
    for size, given in importlib.import_module(f'model.families.{family}').SIZES.items():
        config, expected = model_config.Config(**given), OTHERS.get(family, family)
        if expected is None or (family, size) == ('gpt3', '13b'):  # 40 heads of 128 in 5,140 dimensions: no GPT-2 has such
            with pytest.raises(huggingface.errors.ConfigError, match='the nearest is gpt2'):
                huggingface.settings.fit(config, head)
        else:
            assert huggingface.settings.fit(config, head).model_type == expected, size


@pytest.mark.parametrize('changed,differs', [
    (dict(logit_scale=None), []), (dict(tied=False), [('logit_scale', 512 ** -0.5, None)]),
    (dict(tied=False, logit_scale=None), []), (dict(activation='gelu'), []), (dict(activation='silu', gated=True), []),
    (dict(activation='gelu', gated=True), [('gated', True, False)]), (dict(activation='gelu_tanh'), [('gated', False, True)]),
    (dict(embed_scale=2.0), [('embed_scale', 2.0, None)]), (dict(dropout=0.3), [])])
def test_what_a_config_would_not_bring_back_keeps_a_model_out(changed, differs):
    """T5 scales states before a tied output, or not; never before another. One word names its activation and says whether it gates."""
    config = model_config.Config(**{**t5.SIZES['small'], **changed})
    assert huggingface.settings.differences(t5.FAMILY, config) == differs


@pytest.mark.parametrize('family,size,changed,differs', [
    (bert, 'base', dict(tied=False), ('tied', False, True)),            # with a bias of its own, beside that of the head
    (bart, 'base', dict(tied=False), ('tied', False, True)),            # with a table for each side
    (roberta, 'base', dict(activation='relu'), ('activation', 'relu', 'gelu')),  # its language head has GELU whatever config.json says
    (albert, 'base', dict(embed_dim=768), ('embed_dim', 768, 'another number than model.dim'))])  # it would be projected there
def test_what_transformers_would_compute_otherwise_keeps_a_model_out(family, size, changed, differs):
    config = model_config.Config(**{**family.SIZES[size], **changed})
    assert huggingface.settings.differences(family.FAMILY, config) == [differs]


SMALL = dict(layers=2, dim=16, heads=2, vocab_size=50, max_length=12)


@pytest.mark.parametrize('family,changed,pad,expected,tables', [
    (roberta, {}, None, 'roberta', {}), (roberta, {}, 1, 'roberta', {}),
    (roberta, {}, 0, 'roberta', dict(position_offset=1)), (roberta, {}, 4, 'roberta', dict(position_offset=5)),
    (roberta, dict(types=0), 3, 'roberta', dict(types=1, position_offset=4)),
    (roberta, dict(activation='relu'), 1, 'bert', dict(position_offset=0)),
    (bert, dict(types=0), 0, 'bert', dict(types=1)), (bert, dict(position_offset=7), 0, 'bert', dict(position_offset=0)),
    (bart, dict(position_offset=0), 0, 'bart', dict(position_offset=2))])
def test_tables_become_those_of_the_family(family, changed, pad, expected, tables, tmp_path):
    """A run without types, or with other rows before position 0; RoBERTa counts positions from one after its padding's id."""
    module = task_model.Model(model_config.Config(**{**family.SIZES['base'], **SMALL, **changed}))
    rng = np.random.default_rng(0)
    variables = {'params': jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape)), huggingface.abstract(module))}
    more = {} if pad is None else {'pad_token_id': pad}
    huggingface.save(tmp_path, module, variables, more=more)
    config = json.loads((tmp_path / 'config.json').read_text())
    back, found = huggingface.load(tmp_path, notice=silent)
    assert config['model_type'] == expected and config.get('pad_token_id', pad) == (1 if expected == 'roberta' and pad is None else pad)
    assert dataclasses.replace(module.config, **tables) == dataclasses.replace(
        back.config, **{name: getattr(module.config, name) for name in ('initializer', 'mlp_dim', 'decoder_layers')})
    ids = rng.integers(5, 50, (2, 12))
    given = huggingface.batch(module.config, ids, decoder_input_ids=ids[:, :7])
    one, other = (np.asarray(model.apply(variables, given)) for model, variables in ((module, variables), (back, found)))
    np.testing.assert_array_equal(one, other)


ROPE = dict(rope_type='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
SCALED = (8.0, 1.0, 4.0, 64)


@pytest.mark.parametrize('keys,base,scaling', [
    ({}, 10000.0, None), (dict(rope_theta=5.0), 5.0, None), (dict(rope_scaling=ROPE, rope_theta=5.0), 5.0, SCALED),
    (dict(rope_parameters=dict(ROPE, rope_theta=5.0)), 5.0, SCALED),
    (dict(rope_parameters=ROPE, rope_theta=5.0), 5.0, SCALED), (dict(rope_parameters=ROPE), 10000.0, SCALED),
    (dict(rope_scaling=ROPE, rope_parameters=dict(rope_type='default', rope_theta=5.0)), 10000.0, SCALED),
    (dict(rope_scaling=None, rope_parameters=dict(ROPE, rope_theta=5.0)), 5.0, SCALED),
    (dict(rope_scaling=dict(type='default'), rope_theta=5.0), 5.0, None)])
def test_rotary_settings_under_older_and_newer_keys(keys, base, scaling, tmp_path):
    """As `transformers` 5 reads them, wherever the base lies and whichever of the two is there."""
    case, _ = folders.read('llama')
    del case['config']['rope_parameters']
    case['config'].update(keys, pretraining_tp=2)     # how it was trained: no other numbers
    config = huggingface.settings.read(folders.write(case, tmp_path))[0]
    assert (config.rotary_base, config.rotary_scaling) == (base, scaling)


@pytest.mark.parametrize('name,changed,says', [
    ('llama', dict(hidden_size=None), 'hidden_size   expected, as dim follows from it; got nothing'),
    ('llama', dict(rope_scaling='linear'), "rope_scaling = 'linear'   expected none, or rope_type llama3"),
    ('llama', dict(hidden_size='32'), "hidden_size = '32'   expected a whole number above 0"),
    ('llama', dict(num_hidden_layers=0), 'num_hidden_layers = 0   expected a whole number above 0'),
    ('llama', dict(rms_norm_eps=None), 'rms_norm_eps = None   expected a number'),
    ('llama', dict(tie_word_embeddings='no'), "tie_word_embeddings = 'no'   expected true or false"),
    ('llama', dict(num_key_value_heads=3), 'num_key_value_heads = 3   expected a divisor of the 4 heads'),
    ('llama', dict(hidden_act=[]), "hidden_act = []   expected 'gelu' or"),
    ('llama', dict(model_type=['llama']), "model_type = ['llama']   expected one of"),
    ('roberta', dict(hidden_act='relu'), "hidden_act = 'relu'   expected 'gelu'"),
    ('roberta', dict(pad_token_id=None), 'pad_token_id = None   expected a number'),
    ('bert', dict(tie_word_embeddings=False), 'tie_word_embeddings = False   expected True')])
def test_what_a_config_json_cannot_say(name, changed, says, tmp_path):
    case, _ = folders.read(name)
    case['config'].update(changed)
    with pytest.raises(huggingface.errors.ConfigError) as error:
        huggingface.settings.read(folders.write(case, tmp_path))
    assert says in str(error.value)


@pytest.mark.parametrize('changed', [dict(bias=False), dict(activation='gelu'), dict(read='last')])
def test_a_head_of_classes_goes_out_only_as_what_it_is(changed):
    head = task_model.Head('classes', 3, activation='tanh')
    assert huggingface.settings.architecture(bert.FAMILY, head) == 'BertForSequenceClassification'
    with pytest.raises(huggingface.errors.ConfigError):
        huggingface.settings.architecture(bert.FAMILY, dataclasses.replace(head, **changed))


def test_names_of_labels_stay_while_they_are_as_many(tmp_path):
    _, _, module, variables = model('bert_classes', tmp_path / 'folder')
    names = {'id2label': {'0': 'no', '1': 'perhaps', '2': 'yes'}, 'label2id': {'no': 0, 'perhaps': 1, 'yes': 2}}
    huggingface.settings.write(tmp_path, bert.FAMILY, module.config, module.settings, 'float32', names)
    assert names.items() <= json.loads((tmp_path / 'config.json').read_text()).items()
    huggingface.settings.write(tmp_path, bert.FAMILY, module.config, dataclasses.replace(module.settings, labels=2), 'float32', names)
    assert json.loads((tmp_path / 'config.json').read_text())['id2label'] == {'0': 'LABEL_0', '1': 'LABEL_1'}
    assert huggingface.settings.read(tmp_path)[1].labels == 2


def test_the_head_of_older_files(tmp_path):
    """A number of labels without their names, and T5's class as it was first called."""
    classes = task_model.Head('classes', 5, activation='tanh')
    for name, removed, said, expected in (('bert_classes', ('id2label', 'label2id'), dict(num_labels=5), classes),
                                          ('t5', (), dict(architectures=['T5WithLMHeadModel']), task_model.Head())):
        case, _ = folders.read(name)
        case['config'] = {key: value for key, value in case['config'].items() if key not in removed} | said
        assert huggingface.settings.read(folders.write(case, tmp_path / name))[1] == expected


def test_another_head_is_that_of_the_familys_class(tmp_path):
    """A kind by name: read, activation and bias are the family's; what the checkpoint lacks starts fresh, what it has is taken."""
    case, _ = folders.read('bert')
    folder, notices = folders.write(case, tmp_path / 'bert'), []
    module, variables = huggingface.load(folder, 'classes', labels=5, notice=notices.append)
    assert module.settings == task_model.Head('classes', 5, 'first', 'tanh')
    pooler = folders.tensors(case)['bert.pooler.dense.weight']
    assert np.array_equal(variables['params']['head']['transform']['kernel'], pooler.T)
    assert variables['params']['head']['labels']['kernel'].shape == (32, 5) and len(notices) == 2
    assert notices[1] == f'not in {folder}, and so initialised: head/labels/bias, head/labels/kernel'

    decoder, _ = huggingface.load(folders.write(folders.read('gpt2')[0], tmp_path / 'gpt2'), 'classes', notice=notices.append)
    assert decoder.settings == task_model.Head('classes', 2, 'last', None, bias=False)
    message = "no gpt2 at Hugging Face has a head of the kind 'pair'; expected classes"
    with pytest.raises(huggingface.settings.errors.ConfigError, match=message):
        huggingface.load(tmp_path / 'gpt2', 'pair')


def test_a_head_with_other_labels_starts_fresh(tmp_path):
    case, _ = folders.read('bert_classes')
    folder, notices = folders.write(case, tmp_path / 'bert'), []
    module, variables = huggingface.load(folder, 'classes', labels=7, notice=notices.append)
    assert variables['params']['head']['labels']['kernel'].shape == (32, 7)
    assert notices == [f'not in {folder}, and so initialised: head/labels/bias, head/labels/kernel']


SIZES = dict(vocab_size=9, max_length=4, types=2)
IDS = [[1, 8, 3]]


@pytest.mark.parametrize('given, settings, says', [
    (dict(input_ids=[[1, 9]]), {}, 'input_ids: expected numbers from 0 to 8, got 9'),
    (dict(input_ids=[[1, -100]]), {}, 'input_ids: expected numbers from 0 to 8, got -100'),
    (dict(input_ids=[[2 ** 40]]), {}, 'input_ids: expected numbers from 0 to 8, got 1099511627776'),
    (dict(input_ids=[[0.5]]), {}, 'input_ids: expected whole numbers'),
    (dict(input_ids=[1, 2]), {}, r'input_ids: expected the shape \[rows, tokens\], got \[2\]'),
    (dict(input_ids=[[1] * 5]), {}, 'input_ids: expected at most 4 tokens in a row, as the table of positions has, got 5'),
    (dict(input_ids=IDS, attention_mask=[[1, 1]]), {}, r'attention_mask: expected the shape \[1, 3\], got \[1, 2\]'),
    (dict(input_ids=IDS, attention_mask=[[1, 1, 2]]), {}, 'attention_mask: expected numbers from 0 to 1, got 2'),
    (dict(input_ids=IDS, token_type_ids=[[0, 2, 0]]), {}, 'token_type_ids: expected numbers from 0 to 1, got 2'),
    (dict(input_ids=IDS, token_type_ids=[[0, 1, 0]]), dict(types=0), 'token_type_ids: expected numbers from 0 to 0, got 1'),
    (dict(input_ids=IDS, decoder_input_ids=[[9]]), dict(architecture='encoder_decoder'), 'expected numbers from 0 to 8, got 9'),
    (dict(input_ids=IDS, decoder_input_ids=[[1] * 5]), dict(architecture='encoder_decoder'), 'expected at most 4 tokens')])
def test_ids_that_no_table_has_a_row_for(given, settings, says):
    with pytest.raises(ValueError, match=says):
        huggingface.batch(model_config.Config(**{**SIZES, **settings}), **given)


def test_what_a_model_without_tables_may_read():
    long = [[1] * 5]
    assert huggingface.batch(model_config.Config(**SIZES), long, [[1, 1, 1, 1, 0]])['positions'].max() == 3    # four real tokens
    assert huggingface.batch(model_config.Config(**{**SIZES, 'positions': 'rotary'}), long)['tokens'].shape == (1, 5)
    config = model_config.Config(**{**SIZES, 'types': 0, 'architecture': 'encoder', 'positions': 'xl', 'relative_segments': True})
    assert huggingface.batch(config, IDS, token_type_ids=[[0, 1, 2]])['types'].max() == 2       # they are compared, not looked up


def test_an_encoder_decoder_reads_two_texts():
    config = model_config.Config(architecture='encoder_decoder', vocab_size=9)
    with pytest.raises(ValueError, match='expected decoder_input_ids'):
        huggingface.batch(config, np.zeros((1, 3)))
