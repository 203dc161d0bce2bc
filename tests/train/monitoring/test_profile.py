"""A profile: the trace is in the workdir, the largest operations are named by the source, steps that the run does not take are refused."""
import io

import jax
import pytest
import rich.console

from train import loop, main
from train.monitoring import display, profile
from train.settings import errors, parse

FLAGS = ('--config=configs/tiny.py', '--config.steps=4', '--config.model.layers=1', '--config.model.dim=32', '--config.eval_batches=1')


def shown(folder, window, *flags):
    """The lines of a run on one device with --profile."""
    request, text = parse.parse([*FLAGS, f'--workdir={folder}', *flags], devices=False), io.StringIO()
    with display.Display(console=rich.console.Console(file=text, width=400)) as screen:
        loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1], profile=window)
    return text.getvalue().splitlines()


def test_a_trace_of_some_steps_and_its_largest_operations(tmp_path):
    lines = shown(tmp_path, (2, 3))
    at = next(i for i, line in enumerate(lines) if line.startswith('profile of steps 2 to 3: '))
    found, = (tmp_path / 'profile').rglob('*.xplane.pb')
    assert [*found.parent.glob('*.trace.json.gz')] and str(tmp_path / 'profile') in lines[at]
    operations = [line.split() for line in lines[at + 2:at + 2 + profile.SHOWN]]
    shares = [float(words[0].rstrip('%')) for words in operations]
    assert shares == sorted(shares, reverse=True) and 10 < sum(shares) <= 100.5 and all(words[2] == 'ms' for words in operations)
    assert any(line.split()[-1].startswith(('gradients/forward/TokenLoss/backbone', 'gradients/backward/TokenLoss/backbone'))
               for line in lines[at + 2:at + 2 + profile.SHOWN])


def test_steps_that_the_run_does_not_take_are_refused_before_anything_is_compiled(tmp_path):
    with pytest.raises(errors.Error) as error:
        shown(tmp_path, (3, 5))
    assert str(error.value) == (
        'config: 1 problem\n  1. --profile = 3:5   expected steps from 1 to 4, which this run takes.\nnothing was run')


def test_a_run_that_has_passed_these_steps_goes_on(tmp_path):
    shown(tmp_path, None, '--config.steps=3')
    lines = shown(tmp_path, (2, 4))
    assert 'no profile: steps 2 to 4 are behind this run, or in part' in lines and 'done: 4 steps' in lines
    assert not (tmp_path / 'profile').exists()


def test_an_error_inside_the_window_stays_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, 'train_line', lambda measured, rate: {'train/loss': float('nan')})
    with pytest.raises(loop.Diverged):
        shown(tmp_path, (1, 3))
    assert not (tmp_path / 'profile').exists()


@pytest.mark.parametrize('text', ['10', '5:4', '0:3', 'a:b', '-1:3'])
def test_a_bad_value_is_refused_at_once(tmp_path, capsys, text):
    assert main.main([*FLAGS, f'--workdir={tmp_path}/run', f'--profile={text}']) == 2
    assert capsys.readouterr().err == ('config: 1 problem\n  1. --profile   expected FIRST:LAST, two steps such as 10:15, '
                                       f'got {text}.\nnothing was run\n')


def test_operations_are_named_by_their_source():
    program = '''HloModule jit_step
%fused (a: f32[2]) -> f32[2] {
  ROOT %dot.1 = f32[2]{0} dot(%a, %a), metadata={op_name="jit(step)/gradients/while/body/eval_jaxpr/transpose(jvp(Loss))/mlp/up/dot_general"}
}
ENTRY %main (a: f32[2]) -> f32[2] {
  %copy.2 = f32[2]{0} copy(%a)
  ROOT %fusion.3 = f32[2]{0} fusion(%a), kind=kLoop, calls=%fused, metadata={op_name="jit(step)/optimizer/add" stack_frame_id=1}
}'''  # noqa: E501
    assert profile.origins(program) == {'dot.1': 'gradients/backward/Loss/mlp/up/dot_general', 'fusion.3': 'optimizer/add'}
    lines = profile.largest({'copy.2': 1.0, 'fusion.3': 3.0}, profile.origins(program), 2)
    assert [line.split() for line in lines] == [['75.0%', '1.500', 'ms', 'fusion.3', 'optimizer/add'], ['25.0%', '0.500', 'ms', 'copy.2']]
