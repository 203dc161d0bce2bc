"""The page on adding a family is true: its diff is one file and one config; in a clone they import, compute and export an OPT."""
import json
import pathlib
import re

import numpy as np
import pytest
from safetensors import numpy as safetensors

from tests.helpers import huggingface_folder as folders, subprocesses

ROOT = pathlib.Path(__file__).resolve().parents[3]
DIFF = ROOT / 'docs' / 'new_family.diff'
ADDED = ['configs/pretrain_opt.py', 'model/families/opt.py']
LAYERS, D, F, HEADS, V, LENGTH = 2, 16, 40, 4, 50, 12
CONFIG = dict(
    architectures=['OPTForCausalLM'], model_type='opt', vocab_size=V, hidden_size=D, word_embed_proj_dim=D, ffn_dim=F,
    activation_function='relu', num_hidden_layers=LAYERS, num_attention_heads=HEADS, max_position_embeddings=LENGTH, dropout=0.1,
    attention_dropout=0.0, layerdrop=0.0, do_layer_norm_before=True, _remove_final_layer_norm=False, bos_token_id=2, eos_token_id=2,
    pad_token_id=1)
LOGITS = """
import sys
import numpy as np
from model import flops, huggingface
module, variables = huggingface.load(sys.argv[1])
print(flops.parameters(module.config))
np.save(sys.argv[3], module.apply(variables, huggingface.batch(module.config, np.load(sys.argv[2])))[..., :module.config.vocab_size])
"""


def tensors():
    """{name: float32 array} of an OPT, as `transformers` writes it."""
    shapes = {'embed_tokens.weight': (V, D), 'embed_positions.weight': (LENGTH + 2, D), **norm('final_layer_norm')}
    for layer in range(LAYERS):
        own = {f'self_attn.{name}_proj': (D, D) for name in 'qkv'} | {'self_attn.out_proj': (D, D), 'fc1': (F, D), 'fc2': (D, F)}
        for name, shape in own.items():
            shapes |= {f'layers.{layer}.{name}.weight': shape, f'layers.{layer}.{name}.bias': shape[:1]}
        shapes |= norm(f'layers.{layer}.self_attn_layer_norm') | norm(f'layers.{layer}.final_layer_norm')
    return {f'model.decoder.{name}': folders.weight(name, shape) for name, shape in shapes.items()}


def norm(name):
    return {f'{name}.weight': (D,), f'{name}.bias': (D,)}


def logits(found, ids):
    """What OPT computes (`transformers`, modeling_opt.py): float[B, T, V] for ids int[B, T] without padding."""
    def dense(x, name):
        return x @ found[f'model.decoder.{name}.weight'].T + found[f'model.decoder.{name}.bias']

    def normalized(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
        return x * found[f'model.decoder.{name}.weight'] + found[f'model.decoder.{name}.bias']

    def heads(x):
        return x.reshape(*x.shape[:2], HEADS, D // HEADS).transpose(0, 2, 1, 3)

    T = ids.shape[1]
    x = found['model.decoder.embed_tokens.weight'][ids] + found['model.decoder.embed_positions.weight'][2:T + 2]
    for layer in (f'layers.{number}' for number in range(LAYERS)):
        y = normalized(x, f'{layer}.self_attn_layer_norm')
        query, key, value = (heads(dense(y, f'{layer}.self_attn.{name}_proj')) for name in 'qkv')
        scores = query @ key.transpose(0, 1, 3, 2) * (D // HEADS) ** -0.5 + np.where(np.tri(T), 0, -1e9)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        y = (weights / weights.sum(-1, keepdims=True) @ value).transpose(0, 2, 1, 3).reshape(*ids.shape, D)
        x = x + dense(y, f'{layer}.self_attn.out_proj')
        y = np.maximum(dense(normalized(x, f'{layer}.final_layer_norm'), f'{layer}.fc1'), 0)
        x = x + dense(y, f'{layer}.fc2')
    return normalized(x, 'final_layer_norm') @ found['model.decoder.embed_tokens.weight'].T


def run(clone, *arguments):
    return subprocesses.run(*arguments, cwd=clone[0]).stdout


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """The last commit with the diff applied: its folder and what git says of it."""
    folder = tmp_path_factory.mktemp('new_family') / 'clone'
    return folder, subprocesses.clone(folder, DIFF.name)


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A Hugging Face folder with a small OPT."""
    return folders.write({'config': CONFIG}, tmp_path_factory.mktemp('opt'), tensors())


def test_the_diff_adds_one_file_and_one_config(clone):
    assert sorted(re.findall(r'^\+\+\+ b/(.*)$', DIFF.read_text(encoding='utf-8'), re.M)) == ADDED
    assert clone[1] == [f'?? {path}' for path in ADDED]
    page = (ROOT / 'docs' / 'adding-a-family.md').read_text(encoding='utf-8')
    assert 'git apply docs/new_family.diff' in page and all(path in page for path in ADDED)


def test_its_logits_are_those_of_opt(clone, published, tmp_path):
    ids = np.random.default_rng(0).integers(3, V, (2, LENGTH))
    np.save(tmp_path / 'ids.npy', ids)
    counted = run(clone, '-c', LOGITS, published, tmp_path / 'ids.npy', tmp_path / 'logits.npy')
    assert int(counted) == sum(array.size for array in tensors().values())
    np.testing.assert_allclose(np.load(tmp_path / 'logits.npy'), logits(tensors(), ids), rtol=0, atol=1e-4)


def test_it_comes_in_and_goes_out(clone, published, tmp_path):
    run(clone, '-m', 'train.convert', 'import', f'--hf={published}', f'--out={tmp_path}/workdir')
    config = json.loads((tmp_path / 'workdir/config.json').read_text())
    assert (config['objective']['name'], config['model']['activation'], config['model']['position_offset']) == ('causal_lm', 'relu', 2)
    run(clone, '-m', 'train.convert', 'export', f'--workdir={tmp_path}/workdir', f'--hf={tmp_path}/exported')
    written = safetensors.load_file(tmp_path / 'exported/model.safetensors')
    assert {name: array.tobytes() for name, array in written.items()} == {name: array.tobytes() for name, array in tensors().items()}
    assert CONFIG.items() <= json.loads((tmp_path / 'exported/config.json').read_text()).items()


def test_its_config_trains(clone, tmp_path):
    run(clone, '-m', 'train.main', '--config=configs/pretrain_opt.py:tiny', f'--workdir={tmp_path}/run',
        f'--config.data.cache={tmp_path}/cache')
    last = json.loads((tmp_path / 'run/metrics.jsonl').read_text().splitlines()[-1])
    assert last['step'] == 20 and np.isfinite(last['train/loss'])
