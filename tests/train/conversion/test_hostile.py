"""Folders of strangers: whatever config.json and the headers say, an import is right, or one message before memory is asked for."""
import dataclasses
import json
import pathlib
import random
import struct
import tracemalloc

import numpy as np
import pytest
from safetensors import numpy as safetensors

from model import huggingface, task_model
from model.huggingface import errors, files, keys, settings
from tests.helpers import huggingface_folder as folders
from train import convert


def changed(**settings):
    def damage(folder):
        config = json.loads((folder / 'config.json').read_text())
        (folder / 'config.json').write_text(json.dumps({**config, **settings}))
    return damage


def config(text):
    return lambda folder: (folder / 'config.json').write_bytes(text if isinstance(text, bytes) else text.encode())


NORM, LENGTH = 'transformer.h.0.ln_1.weight', 'original_max_position_embeddings'
SCALING = {'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, LENGTH: 16}


def header(**entries):
    """Other entries for a tensor in the header of model.safetensors, whose length is made to fit."""
    def damage(folder):
        path = folder / 'model.safetensors'
        data = path.read_bytes()
        size, = struct.unpack('<Q', data[:8])
        found = json.loads(data[8:8 + size])
        found[NORM].update(entries)
        text = json.dumps(found).encode()
        path.write_bytes(struct.pack('<Q', len(text)) + text + data[8 + size:])
    return damage


def length(size):
    return lambda folder: (folder / 'model.safetensors').write_bytes(
        struct.pack('<Q', size) + (folder / 'model.safetensors').read_bytes()[8:])


def index(text):
    def damage(folder):
        (folder / 'model.safetensors').rename(folder / 'a.safetensors')
        (folder / files.INDEX).write_text(text)
    return damage


def shards(**changes):
    """Two files and their index, some entries of which are other ones, or none."""
    def damage(folder):
        found = sorted(safetensors.load_file(folder / 'model.safetensors').items())
        for name, part in (('a.safetensors', found[:5]), ('b.safetensors', found[5:])):
            safetensors.save_file(dict(part), folder / name)
        said = {tensor: 'a.safetensors' if i < 5 else 'b.safetensors' for i, (tensor, _) in enumerate(found)} | changes
        (folder / 'model.safetensors').unlink()
        (folder / files.INDEX).write_text(json.dumps({'weight_map': {tensor: name for tensor, name in said.items() if name}}))
    return damage


def a_folder(name):
    return lambda folder: ((folder / name).unlink(missing_ok=True), (folder / name).mkdir())


def generation(text):
    return lambda folder: (folder / 'generation_config.json').write_bytes(text if isinstance(text, bytes) else text.encode())


# {what: (stored case, what is done to its folder, exit code, a part of the message)}
HOSTILE = {
    'layers': ('gpt2', changed(n_layer=10 ** 9), 3, 'n_layer = 1000000000   expected at most 28'),
    'layers that share weights': ('albert', changed(num_hidden_layers=10 ** 9), 3, '= 1000000000   expected at most 10000'),
    'layers of a decoder': ('t5', changed(num_decoder_layers=10 ** 9), 3, 'num_decoder_layers = 1000000000   expected at most'),
    'tokens': ('gpt2', changed(vocab_size=2 ** 62), 2, 'vocab_size = 4611686018427387904   expected a whole number above 0'),
    'tokens of 32 bits': ('gpt2', changed(vocab_size=2 ** 31 - 1), 3, 'vocab_size = 2147483647   expected at most 128'),
    'positions': ('gpt2', changed(n_positions=2 ** 30), 3, 'n_positions = 1073741824   expected at most 128'),
    'positions without a table': ('llama', changed(max_position_embeddings=2 ** 62), 2, 'max_position_embeddings = 4611686018427387904'),
    'width': ('llama', changed(hidden_size=2 ** 30), 3, 'hidden_size = 1073741824   expected at most 99'),
    'heads': ('gpt2', changed(n_head=2 ** 30), 2, 'model.heads: model.dim = 32 is not divisible by 1073741824'),
    'labels': ('bert_classes', changed(id2label=None, num_labels=2 ** 30), 3, 'num_labels = 1073741824   expected at most 99'),
    'labels of 62 bits': ('bert_classes', changed(id2label=None, num_labels=2 ** 62), 2, 'num_labels = 4611686018427387904   expected'),
    'labels in a list': ('bert_classes', changed(id2label=['a']), 2, "id2label = ['a']   expected"),
    'classes': ('gpt2', changed(architectures='GPT2LMHeadModel'), 2, "architectures = 'GPT2LMHeadModel'   expected one of"),
    'classes that are none': ('gpt2', changed(architectures=[[]]), 2, 'architectures = [[]]   expected one of'),
    'brackets': ('gpt2', config('[' * 100_000), 3, 'config.json: expected JSON, got brackets nested too deep'),
    'brackets of a key': ('gpt2', config('{"model_type": "gpt2", "x": ' + '[' * 100_000 + ']' * 100_000 + '}'), 3, 'nested too deep'),
    'brackets that JSON allows': ('gpt2', changed(x=json.loads('[' * 700 + ']' * 700)), 2, 'x = [[[['),
    'a list': ('gpt2', config('[1, 2]'), 2, 'model_type = None   expected one of'),
    'a number': ('gpt2', config('3'), 2, 'model_type = None   expected one of'),
    'nothing': ('gpt2', config(''), 3, 'expected JSON, got Expecting value'),
    'no text': ('gpt2', config(b'\xff\xfe{}'), 3, "expected JSON, got 'utf-8' codec can't decode"),
    'too much text': ('gpt2', config(b' ' * (files.LARGEST + 1)), 3, 'config.json: expected at most 67,108,864 bytes'),
    'no number': ('llama', changed(rms_norm_eps=float('nan')), 2, 'rms_norm_eps = nan   expected a number more than 0 and below 1'),
    'infinity': ('gpt2', changed(layer_norm_epsilon=float('inf')), 2, 'layer_norm_epsilon = inf   expected a number more than 0'),
    'a huge number': ('gpt2', changed(layer_norm_epsilon=10 ** 400), 2, 'layer_norm_epsilon = 1000'),
    'more digits than Python reads': ('gpt2', config('{"n_layer": 1' + '0' * 5000 + '}'), 3, 'expected JSON, got Exceeds'),
    'a string': ('t5', changed(d_model='512'), 2, "d_model = '512'   expected a whole number"),
    'a word for a bool': ('t5', changed(tie_word_embeddings='no'), 2, "tie_word_embeddings = 'no'   expected true or false"),
    'padding of another kind': ('roberta', changed(pad_token_id='1'), 2, "pad_token_id = '1'   expected a number"),
    'a dropout above one': ('gpt2', changed(resid_pdrop=1.5), 2, 'resid_pdrop = 1.5   expected a number at least 0 and below 1'),
    'many keys': ('gpt2', changed(**{f'key{i}': i for i in range(10_000)}), 2, '  ... and 9990 more lines'),
    'a long key': ('gpt2', changed(**{'k' * 10 ** 6: 1}), 2, 'kkk…'),
    'escapes': ('gpt2', changed(**{'\x1b[2J': '\x1b]0;x\x07'}), 2, r'\x1b[2J = '),
    'a folder for a file': ('gpt2', a_folder('config.json'), 3, 'got no config.json'),
    'a folder for the weights': ('gpt2', a_folder('model.safetensors'), 3, 'model.safetensors.index.json, got neither'),
    'header of 2^60 bytes': ('gpt2', length(2 ** 60), 3, 'model.safetensors: expected a whole safetensors file'),
    'header of no bytes': ('gpt2', length(0), 3, 'expected a whole safetensors file'),
    'an offset beyond the file': ('gpt2', header(data_offsets=[0, 2 ** 40]), 3, 'whole safetensors file'),
    'offsets that overlap': ('gpt2', header(data_offsets=[0, 128]), 3, 'whole safetensors file'),
    'offsets that are no numbers': ('gpt2', header(data_offsets='ab'), 3, 'whole safetensors file'),
    'a shape that lies': ('gpt2', header(shape=[2 ** 62]), 3, 'whole safetensors file'),
    'a type that lies': ('gpt2', header(dtype='I32'), 3, f'F16, BF16, F32, F64, got I32 for {NORM}'),
    'an index that leaves the folder': ('gpt2', index('{"weight_map": {"a": "../x.safetensors"}}'), 3, "got '../x.safetensors'"),
    'an index of a missing file': ('gpt2', index('{"weight_map": {"a": "x.safetensors"}}'), 3, 'names x.safetensors, which is not there'),
    'an index of a long name': ('gpt2', index('{"weight_map": {"a": "' + 'x' * 5000 + '"}}'), 3, 'names xxx'),
    'an index of an empty byte': ('gpt2', index('{"weight_map": {"a": "a\\u0000"}}'), 3, 'which is not there'),
    'an index with escapes': ('gpt2', index('{"weight_map": {"a": "\\u001b[2Jx"}}'), 3, r'names \x1b[2Jx'),
    'an index of lists': ('gpt2', index('{"weight_map": {"a": ["a.safetensors"]}}'), 3, 'expected JSON with a weight_map'),
    'an index of brackets': ('gpt2', index('[' * 100_000), 3, 'nested too deep'),
    'an index of a tensor that is nowhere': ('gpt2', shards(x='a.safetensors'), 3, 'x   expected in a.safetensors, found in no file'),
    'an index of another file': ('gpt2', shards(**{NORM: 'a.safetensors'}), 3, f'{NORM}   expected in a.safetensors, found in b.'),
    'an index without a tensor': ('gpt2', shards(**{NORM: None}), 3, f'{NORM}   expected in no file, found in b.safetensors'),
    'a whole number of 62 bits': ('gpt2', changed(layer_norm_epsilon=2 ** 62), 2, 'layer_norm_epsilon = 4611686018427387904   expected'),
    'an epsilon above one': ('bert', changed(layer_norm_eps=2.5), 2, 'layer_norm_eps = 2.5   expected a number more than 0 and below 1'),
    'an epsilon of T5': ('t5', changed(layer_norm_epsilon=10 ** 9), 2, 'layer_norm_epsilon = 1000000000   expected'),
    'a base below one': ('llama_scaled_hub', changed(rope_theta=1e-300), 2, 'rope_theta = 1e-300   expected a number at least 1'),
    'a scaling of 62 bits': ('llama', changed(rope_scaling={**SCALING, LENGTH: 2 ** 62}), 2, 'the last one whole'),
    'a scaling to nothing': ('llama', changed(rope_scaling={**SCALING, 'factor': 1e-300}), 2, 'factor at least 1'),
    'a scaling of half a token': ('llama', changed(rope_scaling={**SCALING, LENGTH: 2.5}), 2, 'the last one whole'),
    'an id that is none': ('bert', changed(eos_token_id={}), 3, 'eos_token_id = {}   expected an id from 0 to 98, a list'),
    'an id of NaN': ('gpt2', changed(bos_token_id=float('nan')), 3, 'config.json: expected JSON with finite numbers'),
    'an id of 400 digits': ('t5', changed(eos_token_id=10 ** 400), 3, 'eos_token_id = 1000'),
    'an id outside the vocabulary': ('gpt2', changed(eos_token_id=[1, 99]), 3, 'eos_token_id = [1, 99]   expected an id from 0 to 98'),
    'an id of text': ('gpt2', changed(pad_token_id='\x1b[2J'), 3, r"pad_token_id = '\x1b[2J'   expected an id"),
    'a type of weights': ('gpt2', changed(torch_dtype='\x1b[2J'), 3, r"torch_dtype = '\x1b[2J'   expected one of float32, float16"),
    'a type of weights that is none': ('t5', changed(dtype={}), 3, 'dtype = {}   expected one of float32, float16'),
    'a temperature of NaN': ('gpt2', changed(temperature=float('nan')), 3, 'config.json: expected JSON with finite numbers'),
    'long keys': ('gpt2', changed(**{f'{i}' + 'k' * 900: 1 for i in range(500)}), 2, '... and 490 more lines'),
    'a generation config that is no text': ('gpt2', generation(b'\xff'), 3, "generation_config.json: expected JSON, got 'utf-8' codec"),
    'a generation config that is a list': ('gpt2', generation('[]'), 3, 'generation_config.json: expected a JSON object, got list'),
    'a generation config of nothing': ('gpt2', generation(''), 3, 'generation_config.json: expected JSON, got Expecting value'),
    'a generation config of brackets': ('gpt2', generation('[' * 100_000), 3, 'generation_config.json: expected JSON, got brackets nested'),
    'a generation config of NaN': ('gpt2', generation('{"temperature": NaN}'), 3, 'generation_config.json: expected JSON with finite'),
    'a generation config of another model': ('gpt2', generation('{"eos_token_id": 999999}'), 3, 'eos_token_id = 999999   expected an id'),
    'a folder for the generation config': ('gpt2', a_folder('generation_config.json'), 3, 'generation_config.json: expected a file'),
    'a folder for the card': ('gpt2', a_folder('README.md'), 3, 'README.md: expected a file, got something else; remove it'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_one_message_and_nothing_written(name, tmp_path, capsys):
    case, damage, code, says = HOSTILE[name]
    damage(folders.write(folders.read(case)[0], tmp_path / 'hf'))
    tracemalloc.start()
    assert convert.main(['import', f'--hf={tmp_path}/hf', f'--out={tmp_path}/out']) == code
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = capsys.readouterr().err
    assert said.startswith(f'huggingface: {tmp_path}/hf') and says in said and len(said) < 12_000
    assert '\x1b' not in said and [path.name for path in tmp_path.iterdir()] == ['hf']
    assert peak < 3 * files.LARGEST


def test_one_tensor_in_two_files(tmp_path, capsys):
    folder = folders.write(folders.read('gpt2')[0], tmp_path / 'hf')
    (folder / 'b.safetensors').write_bytes((folder / 'model.safetensors').read_bytes())
    index(json.dumps({'weight_map': {'x': 'a.safetensors', 'y': 'b.safetensors'}}))(folder)
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out']) == 3
    assert 'got two, in a.safetensors and b.safetensors' in capsys.readouterr().err


@pytest.mark.filterwarnings('error')
def test_numbers_that_no_float32_holds(tmp_path, capsys):
    found = folders.tensors(folders.read('gpt2')[0])
    folder = folders.write(folders.read('gpt2')[0], tmp_path / 'hf', {**found, NORM: np.full(found[NORM].shape, 1e300)})
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out']) == 3
    said = capsys.readouterr().err
    assert 'NaN or infinity in the tensors of' in said and 'Warning' not in said


def test_the_name_of_a_folder_is_shown_without_its_escapes(tmp_path, capsys):
    assert convert.main(['import', f'--hf={tmp_path}/\x1b[31mred', f'--out={tmp_path}/out']) == 2
    (tmp_path / '\x1b[31mred').mkdir()
    assert convert.main(['import', f'--hf={tmp_path}/\x1b[31mred', f'--out={tmp_path}/out']) == 3
    said = capsys.readouterr().err
    assert '\x1b' not in said and said.count(r'\x1b[31mred') == 2


FAST, SLOW = 15, 500                          # mutations of config.json, and as many of the header
CASES = ('gpt2', 'bert', 'roberta', 'albert', 'electra', 'xlnet', 't5', 'bart', 'bloom', 'llama', 'qwen2')
VALUES = (None, True, False, 0, 1, -1, 2, 7, 0.5, 1e-12, -0.5, float('nan'), float('inf'), 2 ** 31, 2 ** 63, 10 ** 30, '', 'gelu', 'relu',
          '1', '\x1b[2J', [], [1], ['full_attention'], {}, {'0': 'a'}, {'rope_type': 'linear', 'factor': 2.0}, [[]])
SEEDS = [*range(FAST), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(FAST, SLOW))]


def loaded(folder):
    """(Config, Head, {path: array}) of a folder."""
    found = huggingface.folders.read(folder)
    arrays = huggingface.arrays(found, task_model.Model(found.config, found.head), notice=lambda text: None)
    return found.config, found.head, dict(arrays)


def described(config, head, *_):
    """Every setting, written out where it follows from others, and the head."""
    return {field.name: settings.resolved(config, field.name) for field in dataclasses.fields(config)}, head


@pytest.mark.parametrize('seed', SEEDS)
def test_a_mutated_config_is_refused_or_says_what_is_computed(seed, tmp_path):
    """Up to three entries changed, removed or added: what is accepted is what an export would say, and all else is as it was."""
    rng = random.Random(seed)
    case, _ = folders.read(rng.choice(CASES))
    folder = folders.write(case, tmp_path)
    before = loaded(folder)
    raw = dict(case['config'])
    for _ in range(rng.randint(1, 3)):
        key = rng.choice([*raw, 'sliding_window', 'attention_bias', 'layer_types', 'rope_scaling', 'quantization_config', 'num_labels'])
        if rng.random() < 0.15:
            raw.pop(key, None)
        else:
            raw[key] = rng.choice(VALUES)
    refused_or_said(folder, raw, before)


def refused_or_said(folder, raw, before):
    """Reads a folder with another config.json; before: what `loaded` gave of its own."""
    (folder / 'config.json').write_text(json.dumps(raw))
    try:
        config, head, params = loaded(folder)
    except errors.Error as error:
        assert str(folder) in str(error)
        return
    family = settings.known()[raw['model_type']]
    said, given = settings.to_json(family, config), settings.renamed(family, raw)
    for key in keys.named(family) & said.keys() & given.keys():
        if given[key] is not None and not isinstance(given[key], str) and (key, family.output) != ('tie_word_embeddings', 'lm_head.weight'):
            assert said[key] == given[key], key
    again = {key: value for key, value in {**raw, **said}.items() if key not in keys.ignored(family)}
    (folder / 'config.json').write_text(json.dumps(again))
    assert described(*loaded(folder)) == described(config, head)
    assert params.keys() == before[2].keys()
    for path, array in params.items():
        np.testing.assert_array_equal(array, before[2][path], err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['gpt2', 'bert', 't5'])
def test_every_key_with_every_value(name, tmp_path):
    case, _ = folders.read(name)
    folder = folders.write(case, tmp_path)
    before = loaded(folder)
    for key in [*case['config'], 'rope_theta', 'rope_scaling', 'layer_types', 'num_labels', 'torch_dtype', 'decoder_start_token_id']:
        for value in (*VALUES, 2 ** 62, 10 ** 400):
            refused_or_said(folder, {**case['config'], key: value}, before)


@pytest.mark.parametrize('seed', SEEDS)
def test_a_mutated_header_is_refused_or_read_as_before(seed, tmp_path):
    """Bytes of the header changed, cut out or put in, its length changed, the file cut."""
    rng = random.Random(seed)
    folder = folders.write(folders.read(rng.choice(CASES))[0], tmp_path)
    before = loaded(folder)
    path = pathlib.Path(folder) / 'model.safetensors'
    data = bytearray(path.read_bytes())
    size, = struct.unpack('<Q', data[:8])
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(8 + size), rng.randrange(5)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.randint(1, 40)]
        elif kind == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 40)))
        elif kind == 3:
            data[:8] = struct.pack('<Q', rng.choice([0, size + 1, size - 1, 2 ** 31, 2 ** 60, 2 ** 64 - 1]))
        else:
            del data[rng.randrange(len(data)):]
    path.write_bytes(data)
    try:
        found = loaded(folder)
    except errors.Error as error:
        assert str(folder) in str(error)
        return
    assert found[:2] == before[:2]
    for path, array in found[2].items():
        np.testing.assert_array_equal(array, before[2][path], err_msg=path)
