"""Runs that an earlier state of the code wrote (tests/fixtures/workdirs) go on, generate and are exported."""
import io
import json
import shutil

import jax
import pytest
import rich.console

from model import huggingface
from tests.helpers import subprocesses
from train import convert, generate, loop
from train.monitoring import display, metrics
from train.settings import parse

STORED = subprocesses.ROOT / 'tests/fixtures/workdirs'
FLAGS = ('--config.sequence_length=16', '--config.model.dim=16', '--config.model.heads=2', '--config.batch_size=4', '--config.log_every=1',
         '--config.eval_batches=2', '--config.checkpoint.every=4', '--config.optimizer.schedule=constant', '--config.optimizer.warmup=0')


@pytest.mark.parametrize('name, more', [('causal_lm', ('--config.optimizer.momentum=0.5',)), ('replaced_token_detection', ())])
def test_an_old_run_goes_on_generates_and_is_exported(name, more, tmp_path, capsys):
    shutil.copytree(STORED / name, tmp_path / 'run')
    request = parse.parse([f'--config=configs/tiny.py:{name}', f'--workdir={tmp_path}/run', '--config.steps=8', *FLAGS, *more,
                           f'--config.data.cache={tmp_path}/cache'], devices=False)
    shown = io.StringIO()
    with display.Display(console=rich.console.Console(file=shown, width=200)) as screen:
        loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])  # one device, as it was
    assert 'continuing at step 4 of 8' in shown.getvalue()
    found = [{key: value for key, value in line.items() if not metrics.timed(key)} for line in metrics.read(tmp_path / 'run')
             if line['step'] > 4]
    expected = json.loads((STORED / f'{name}.json').read_text())
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    trained = lambda line: {key: value for key, value in line.items() if not key.startswith('eval/')}  # of other rows of the split now
    for line, other in zip(found, expected):
        assert trained(line) == pytest.approx(trained(other), rel=1e-4)

    prompt, flags = ('It was', ['--method=greedy', '--max_new_tokens=4']) if name == 'causal_lm' else ('It w<mask>s', [])
    capsys.readouterr()
    assert generate.main([f'--workdir={tmp_path}/run', f'--prompt={prompt}', *flags, '--json']) == 0
    said = json.loads(capsys.readouterr().out)
    assert said['prompt'] == prompt and len(said['tokens']) == {'causal_lm': 4, 'replaced_token_detection': 1}[name]

    assert convert.main(['export', f'--workdir={tmp_path}/run', f'--hf={tmp_path}/hf']) == 0
    module, variables = huggingface.load(tmp_path / 'hf')
    assert module.config.dim == 16 and variables['params']['backbone']['embed']['embedding'].shape[1] in (16, 32)
