"""Every message of tests/fixtures/messages/config, sources of values, config.json and back, what a resume may change."""
import dataclasses
import json
import pathlib
import shlex
import time

import pytest

from data import objectives
from train.settings import command_line, errors, parse, schema, values

MESSAGES = pathlib.Path(__file__).parents[3] / 'tests/fixtures/messages/config'
PLAIN = f'--config={MESSAGES}/plain.py'


@pytest.fixture(autouse=True)
def eight_devices(monkeypatch):
    monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
    monkeypatch.setenv('XLA_FLAGS', '--xla_force_host_platform_device_count=8')
    monkeypatch.delenv('JAX_NUM_CPU_DEVICES', raising=False)


def parsed(*argv):
    return parse.parse([PLAIN, '--workdir=runs/x', *argv])


@pytest.mark.parametrize('path', sorted(MESSAGES.glob('*.txt')), ids=lambda path: path.stem)
def test_message(path, monkeypatch):
    monkeypatch.chdir(command_line.ROOT)
    command, expected = path.read_text(encoding='utf-8').split('\n', 1)
    expected = expected.replace('{configs}', ', '.join(command_line.configs())).replace('{objectives}', errors.one_of(objectives.names()))
    words = shlex.split(command.removeprefix('$ '))
    while words and not words[0].startswith('-'):
        name, _, value = words.pop(0).partition('=')
        monkeypatch.setenv(name, value)
    with pytest.raises(parse.Error) as error:
        parse.parse(words)
    assert str(error.value) + '\n' == expected
    assert error.value.code == 2


def test_there_are_enough_messages():
    assert len(list(MESSAGES.glob('*.txt'))) >= 25


def test_values_come_from_the_file_then_the_flags_and_the_last_flag_wins():
    request = parsed('--config.steps=5', '--config.seed', '3', '--config.steps=7', '--config.tensorboard')
    assert (request.config.steps, request.config.seed, request.config.tensorboard) == (7, 3, True)
    assert request.config.tokenizer.kind == 'bytes'
    assert request.config.batch_size == schema.Config.batch_size
    assert request.origins['steps'] == 'set by --config.steps'
    assert request.origins['tokenizer.kind'] == f'set in {MESSAGES}/plain.py'
    assert 'batch_size' not in request.origins
    assert request.workdir == 'runs/x' and request.distributed == {}


def test_keyword_fields_are_written_without_their_underscore(tmp_path):
    assert parsed(f'--config.init.from={tmp_path}').config.init.from_ == str(tmp_path)
    assert parsed(f'--config.init.from_={tmp_path}').config.init.from_ == str(tmp_path)


def test_the_result_is_frozen_and_hashable():
    result = parsed().config
    hash(result)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.steps = 3


def test_derived_values():
    result = parsed('--config.sequence_length=48').config
    assert result.model.max_length == 48
    assert result.objective.sequence_length == 48
    assert parsed('--config.model.max_length=512').config.model.max_length == 512


@pytest.mark.parametrize('argv', [
    ['--config=configs/tiny.py'], ['--config=configs/tiny.py:masked_lm'], ['--config=configs/tiny.py:span_corruption'],
    [PLAIN, '--config.model.windows=None,16', '--config.optimizer.multipliers=[("embed", 0.5)]', '--config.init.from=.',
     '--config.mesh.rules=[("kernel$", ("fsdp", ("data", "tensor"))), ("bias$", None)]',
     '--config.sample.prompts="One, two",Three']])
def test_config_json_and_back(argv):
    resolved = parse.parse([*argv, '--workdir=x']).config
    text = json.dumps(parse.to_dict(resolved), allow_nan=False)
    assert parse.from_dict(json.loads(text)) == resolved
    assert json.dumps(parse.to_dict(parse.from_dict(json.loads(text)))) == text
    assert 'from' in json.loads(text)['init'] and 'from_' not in json.loads(text)['init']


def test_config_json_of_an_older_version_lacks_new_settings():
    tree = parse.to_dict(parsed().config)
    del tree['model']['qk_norm'], tree['sample']
    assert parse.from_dict(tree) == parsed().config
    with pytest.raises(parse.Error, match=r'steppes .* Did you mean steps\?   \(in runs/x/config.json\)'):
        parse.from_dict({**tree, 'steppes': 3}, 'runs/x/config.json')


def test_resume_allows_what_does_not_change_the_past():
    old = parsed().config
    new = parsed('--config.steps=200', '--config.log_every=1', '--config.mesh.tensor=2', '--config.checkpoint.keep=9')
    notices = parse.resume(old, new.config, 'runs/x')
    assert notices == ['steps = 200 (was 100): the cosine schedule is stretched to end at step 200',
                       'log_every = 1 (was 10)', 'mesh.tensor = 2 (was 1)', 'checkpoint.keep = 9 (was 3)']
    assert parse.resume(old, old, 'runs/x') == []
    other = parsed('--config.model.unroll=1', '--config.model.remat=full').config
    assert parse.resume(old, other, 'runs/x') == [
        "model.remat = 'full' (was 'none'): the same function, which may round otherwise from here on",
        'model.unroll = 1 (was None): the same function, which may round otherwise from here on']


def test_resume_refuses_the_rest_with_a_diff():
    old, request = parsed().config, parsed('--config.seed=1', '--config.optimizer.clip=0.5', '--config.steps=200')
    assert parse.diff(old, request.config) == [('steps', 100, 200), ('seed', 0, 1), ('optimizer.clip', 1.0, 0.5)]
    with pytest.raises(parse.Error) as error:
        parse.resume(old, request.config, 'runs/x', request.origins)
    again = 'Set it back, or start a new run with another --workdir.'
    assert str(error.value).splitlines() == [
        'config: 2 problems',
        f'  1. seed = 1               the run in runs/x has 0. {again}   (set by --config.seed)',
        f'  2. optimizer.clip = 0.5   the run in runs/x has 1.0. {again}   (set by --config.optimizer.clip)',
        'nothing was run']


@dataclasses.dataclass
class Tokenizer:
    vocab_size: int
    special: object = None


def test_the_vocabulary_is_the_tokenizers_or_larger():
    assert parse.with_vocabulary(parsed().config, Tokenizer(519)).model.vocab_size == 519
    larger = parsed('--config.model.vocab_size=1000').config
    assert parse.with_vocabulary(larger, Tokenizer(519)).model.vocab_size == 1000
    with pytest.raises(parse.Error, match="model.vocab_size = 1000   expected at least 1001, the size of"):
        parse.with_vocabulary(larger, Tokenizer(1001))


def test_steps_follow_from_epochs():
    epochs = parsed('--config.steps=None', '--config.epochs=2.5', '--config.batch_size=8').config
    assert parse.with_steps(epochs, 100).steps == 31          # 2.5 x 100 / 8, rounded down
    assert parse.with_steps(epochs, 1).steps == 1
    assert parse.with_steps(parsed().config, 10**6).steps == 100
    late = parsed('--config.steps=None', '--config.epochs=1', '--config.optimizer.warmup=50').config
    with pytest.raises(parse.Error, match='optimizer.warmup = 50   expected at most steps = 3'):
        parse.with_steps(late, 100)


def test_the_data_axis_follows_from_the_devices():
    tensor = parsed('--config.mesh.tensor=2').config
    assert parse.with_devices(tensor, 16).mesh == schema.Mesh(data=8, tensor=2)
    with pytest.raises(parse.Error, match='does not divide the 7 devices found'):
        parse.with_devices(tensor, 7)


def test_a_command_without_a_mesh_takes_any():
    argv = [PLAIN, '--workdir=x', '--config.mesh.data=256', '--config.batch_size=256']
    assert parse.parse(argv, devices=False).config.mesh.data == 256
    with pytest.raises(parse.Error, match='256 devices wanted, 8 found'):
        parse.parse(argv)


INTEGERS = [key for key, kind in schema.kinds().items() if values.parts(kind)[0] is int]


@pytest.mark.parametrize('key', INTEGERS)
def test_an_integer_may_have_any_size(key):
    """Refused in no time above 2**63; large ones below are checked in no time, too."""
    start = time.monotonic()
    with pytest.raises(parse.Error, match=f'{key} = .* expected an integer'):
        parsed(f'--config.{key}=99999999999999999999')
    try:
        parsed(f'--config.{key}={10**18}')
    except parse.Error:
        pass
    assert time.monotonic() - start < 4


def test_a_divisor_is_looked_for_near_the_value():
    with pytest.raises(parse.Error, match='model.dim = 1000000000000000003 is not divisible by 8. Near: 1'):
        parsed('--config.model.dim=1000000000000000003')
