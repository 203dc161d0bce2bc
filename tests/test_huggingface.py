"""Published models from and to Hugging Face: logits against PyTorch's (tests/data/huggingface), tensors byte for byte."""
import dataclasses
import json

import huggingface_folder as folders
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors

from model import huggingface
from model import memory as memories

BUFFERS = {'final_logits_bias'}               # what an export leaves out: no parameters
METHODS = {'prediction_logits': 'language', 'seq_relationship_logits': None, 'sop_logits': None}  # None = the model itself


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


def batch(config, arrays):
    """The batch of a case's inputs: permuted rows by their ranks, with the integers of data/example.py."""
    names = ('input_ids', 'attention_mask', 'token_type_ids', 'decoder_input_ids', 'decoder_attention_mask')
    found = huggingface.batch(config, **{name: arrays[name] for name in names if name in arrays})
    if 'ranks' in arrays:
        ranks, slots = (arrays[name].astype(np.int32) for name in ('ranks', 'slots'))
        before = arrays['mems'].shape[2] if 'mems' in arrays else 0
        found |= {'sees': ranks, 'seen': ranks, 'slots': slots, 'weights': np.ones(slots.shape, np.float32),
                  'positions': found['positions'] + before}
    return found


def says(module, variables, arrays):
    """{PyTorch's name of an output: ours}, logits of the vocabulary without its padding."""
    config, given = module.config, batch(module.config, arrays)

    def call(method=None):
        return np.asarray(jax.jit(lambda variables: module.apply(variables, given, method=method))(variables))

    wanted = {name.removeprefix('expected/') for name in arrays if name.startswith('expected/')}
    if 'mems' in arrays:
        memory = memories.Memory(jnp.moveaxis(arrays['mems'], 0, 1))
        found = {'logits': call(lambda self, given: self.streams(given, memory)[0])}
    elif 'start_logits' in wanted:
        found = dict(zip(('start_logits', 'end_logits'), np.moveaxis(call(), 2, 0)))
    elif 'pooler_output' in wanted:
        found = {'pooler_output': call(), 'last_hidden_state': call(lambda self, given: self.backbone.hidden(given))}
    elif 'prediction_logits' in wanted:
        found = {name: call(METHODS[name]) for name in wanted}
    else:
        found = {'logits': call()}
    kind = module.settings.kind
    return {name: value[..., :config.vocab_size] if name == 'prediction_logits' or kind == 'language' else value
            for name, value in found.items()}


def difference(said, arrays):
    """The largest |difference| over real tokens."""
    mask = arrays.get('decoder_attention_mask', arrays.get('attention_mask'))
    found = []
    for name, ours in said.items():
        theirs = arrays[f'expected/{name}']
        assert ours.shape == theirs.shape and ours.dtype == np.float32, (name, ours.shape, theirs.shape)
        apart = np.abs(ours - theirs)
        found.append(apart[mask > 0].max() if mask is not None and apart.shape[:2] == mask.shape else apart.max())
    return max(found)


def description(folder):
    """What settings.read says of a folder, with settings that follow from others written out."""
    config, head, family, _ = huggingface.settings.read(folder)
    return {field.name: huggingface.settings.resolved(config, field.name) for field in dataclasses.fields(config)}, head, family


def test_logits_are_those_of_pytorch(loaded):
    _, arrays, _, module, variables = loaded
    said = says(module, variables, arrays)
    assert {f'expected/{name}' for name in said} == {name for name in arrays if name.startswith('expected/')}
    assert difference(said, arrays) <= 1e-4


def test_an_export_of_the_import_is_byte_equal(loaded, tmp_path):
    case, _, folder, module, variables = loaded
    _, _, _, raw = huggingface.settings.read(folder)
    assert huggingface.save(tmp_path, module, variables, more=raw) == ['model.safetensors']
    old, new = (safetensors.load_file(where / 'model.safetensors') for where in (folder, tmp_path))
    assert old.keys() - new.keys() <= BUFFERS and not new.keys() - old.keys()
    for name in new:
        assert new[name].dtype == old[name].dtype and new[name].shape == old[name].shape, name
        assert new[name].tobytes() == old[name].tobytes(), name
    config = json.loads((tmp_path / 'config.json').read_text())
    assert description(tmp_path) == description(folder)
    changed = {key for key, value in case['config'].items() if value is not None and config.get(key, value) != value}
    assert changed <= ({'tie_word_embeddings'} if 'scale_decoder_outputs' in case['config'] else set())
    assert case['config'].keys() - config.keys() <= {'transformers_version', 'rope_parameters'}
