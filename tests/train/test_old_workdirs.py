"""Runs that an earlier state of the code wrote (tests/fixtures/workdirs) go on, generate and are exported."""
import json
import shutil

import pytest

from model import huggingface
from tests.helpers import subprocesses
from train.monitoring import metrics

STORED = subprocesses.ROOT / 'tests/fixtures/workdirs'
FLAGS = ('--config.sequence_length=16', '--config.model.dim=16', '--config.model.heads=2', '--config.batch_size=4', '--config.log_every=1',
         '--config.eval_batches=2', '--config.checkpoint.every=4', '--config.optimizer.schedule=constant', '--config.optimizer.warmup=0')


def command(name, *flags):
    return subprocesses.run('-m', f'train.{name}', *flags)  # on one device, as it was


@pytest.mark.parametrize('name, more', [('causal_lm', ('--config.optimizer.momentum=0.5',)), ('replaced_token_detection', ())])
def test_an_old_run_goes_on_generates_and_is_exported(name, more, tmp_path):
    shutil.copytree(STORED / name, tmp_path / 'run')
    shown = command('main', f'--config=configs/tiny.py:{name}', f'--workdir={tmp_path}/run', '--config.steps=8', *FLAGS, *more,
                    f'--config.data.cache={tmp_path}/cache').stdout
    assert 'continuing at step 4 of 8' in shown
    found = [{key: value for key, value in line.items() if not metrics.timed(key)} for line in metrics.read(tmp_path / 'run')
             if line['step'] > 4]
    expected = json.loads((STORED / f'{name}.json').read_text())
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    for line, other in zip(found, expected):
        assert line == pytest.approx(other, rel=1e-4)

    prompt = 'It was' if name == 'causal_lm' else 'It w<mask>s'
    said = json.loads(command('generate', f'--workdir={tmp_path}/run', f'--prompt={prompt}', '--method=greedy', '--max_new_tokens=4',
                              '--json').stdout)
    assert said['prompt'] == prompt and len(said['tokens']) == {'causal_lm': 4, 'replaced_token_detection': 1}[name]

    command('convert', 'export', f'--workdir={tmp_path}/run', f'--hf={tmp_path}/hf')
    module, variables = huggingface.load(tmp_path / 'hf')
    assert module.config.dim == 16 and variables['params']['backbone']['embed']['embedding'].shape[1] in (16, 32)
