"""Every objective learns: on held-out text its loss is at least 0.2 nats a target below the entropy of the frequencies.

The guess to beat is the unigram entropy of the very targets that the evaluation weighs. Curves must also stay within the stored bands
(tests/fixtures/learning): three seeds and MARGIN nats around them, measured by
`python -m tests.configs.test_learning NAME ...`. An interval is never widened.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from data import corpus, objectives, pipeline
from train.monitoring import metrics
from train.prediction import evaluation
from train.settings import parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BANDS = ROOT / 'tests' / 'fixtures' / 'learning'
SEEDS = (0, 1, 2)
MARGIN = 0.05
FLAGS = ('--config.steps=400', '--config.batch_size=16', '--config.eval_every=100', '--config.eval_batches=16', '--config.log_every=100',
         '--config.optimizer.name=muon', '--config.optimizer.learning_rate=0.01', '--config.optimizer.adam_learning_rate=0.01',
         '--config.checkpoint.every=0', '--config.sample.max_new_tokens=1')
NAMES = ('alternation', 'causal_lm', 'denoising', 'deshuffle', 'fill_in_the_middle', 'masked_lm', 'mixture', 'permuted_lm', 'prefix_lm',
         'replaced_token_detection', 'span_corruption', 'ul2')
OWN = {                                       # without a left neighbour to copy from, learning starts later
    'masked_lm': ('--config.steps=800',), 'permuted_lm': ('--config.steps=800',), 'span_corruption': ('--config.steps=800',),
    'replaced_token_detection': ('--config.steps=1000', '--config.model.positions=rotary')}


def command(name):
    return [f'--config=configs/tiny.py:{name}', *FLAGS, *OWN.get(name, ())]


def test_every_objective_has_a_band():
    assert set(NAMES) == set(objectives.names()) == {path.stem for path in BANDS.glob('*.json')}


def entropy(request):
    """Nats a target: the entropy of the frequencies of what an evaluation asks for, weighted as it weighs them."""
    config = request.config
    text = corpus.open(config.data, config.tokenizer, lambda line: None)
    counts = np.zeros(text.tokenizer.vocab_size)
    draw = evaluation.sample(config.objective, text.eval, config.batch_size, config.eval_batches)
    batches = pipeline.chosen(config.objective, text.eval, seed=evaluation.SEED, table=draw.rows, threads=0)
    for batch, units in zip(batches, draw.units):
        np.add.at(counts, batch['targets'].ravel(), (batch['weights'] * (units >= 0)[:, None]).ravel())
    shares = counts[counts > 0] / counts.sum()
    return -float(np.sum(shares * np.log(shares)))


def curves(folder, name, seed):
    """{metric: [its values]} of the evaluations of a run in a process of its own."""
    flags = [*command(name), f'--workdir={folder}', f'--config.seed={seed}']
    environment = {**os.environ, 'XLA_FLAGS': ''}  # one device, as the bands were measured: on more, sums are rounded otherwise
    result = subprocess.run([sys.executable, '-m', 'train.main', *flags], cwd=ROOT, env=environment, text=True, capture_output=True,
                            timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line for line in metrics.read(folder) if 'eval/loss' in line]
    always = [metric for metric in lines[0] if all(metric in line for line in lines)]  # a precision without guesses is left out
    return {metric: [line[metric] for line in lines] for metric in always if metric.startswith('eval/') or metric == 'step'}


@pytest.mark.slow
@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('name', NAMES)
def test_learns_within_its_band(tmp_path, name, seed):
    band = json.loads((BANDS / f'{name}.json').read_text())
    found = curves(tmp_path / 'run', name, seed)
    metric = band['metric']
    assert found['step'] == band['step']
    assert found[metric][-1] <= entropy(parse.parse(command(name) + [f'--workdir={tmp_path}'])) - 0.2
    for low, value, high in zip(band['low'], found[metric], band['high']):
        assert low <= value <= high, (name, seed, found[metric])
    if 'auc' in band:
        assert found['eval/auc'][-1] >= 0.60


def store(name, metric='eval/loss'):
    """Measures the band of an objective and writes it down."""
    with tempfile.TemporaryDirectory() as folder:
        found = [curves(f'{folder}/{seed}', name, seed) for seed in SEEDS]
        bound = entropy(parse.parse(command(name) + [f'--workdir={folder}']))
    columns = list(zip(*(each[metric] for each in found)))
    band = {'metric': metric, 'step': found[0]['step'], 'unigram entropy': bound,
            'low': [round(min(column) - MARGIN, 4) for column in columns], 'high': [round(max(column) + MARGIN, 4) for column in columns]}
    if 'eval/auc' in found[0]:
        band['auc'] = [each['eval/auc'][-1] for each in found]
    lines = ',\n'.join(f' {json.dumps(key)}: {json.dumps(value)}' for key, value in band.items())
    (BANDS / f'{name}.json').write_text(f'{{\n{lines}\n}}\n')
    print(name, band)


if __name__ == '__main__':
    for argument in sys.argv[1:]:
        store(*argument.split(','))
