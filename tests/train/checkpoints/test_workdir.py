"""The config.json of a run is that of its checkpoints: a changed bit in it is an error, or changes nothing."""
import dataclasses
import json
import random

import jax.numpy as jnp
import pytest

from train.checkpoints import checkpoint, workdir
from train.settings import errors, parse


@pytest.fixture
def run(tmp_path):
    """A workdir with config.json and a checkpoint, and its Config."""
    config = parse.parse(['--config=configs/tiny.py', f'--workdir={tmp_path}'], devices=False).config
    workdir.write(str(tmp_path), config, None, 3)
    with checkpoint.Checkpoints(tmp_path / 'checkpoints') as saved:
        saved.save(1, {'params': {'w': jnp.ones(3)}}, {'config': parse.to_dict(config)})
    return tmp_path, config


def test_every_bit_flip_in_config_json_is_noticed_or_changes_nothing(run):
    folder, config = run
    file, changed = folder / 'config.json', 0
    good = file.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(good)), 300):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            found = workdir.read(folder)
        except errors.Error:
            changed += 1
            continue
        assert all(parse.may_change(key) for key, _, _ in parse.diff(config, found)), flipped
    assert changed > 150


def test_the_message_and_settings_that_may_change(run):
    folder, config = run
    (folder / 'config.json').write_text(json.dumps(parse.to_dict(dataclasses.replace(config, seed=7, log_every=3))))
    with pytest.raises(errors.Error) as error:
        workdir.read(folder)
    assert str(error.value) == f'''config: 1 problem
  1. seed   {folder}/config.json has 7, its checkpoint 1 was trained with 0: the file was changed since. Put it back.
nothing was run'''
    (folder / 'config.json').write_text(json.dumps(parse.to_dict(dataclasses.replace(config, log_every=3, steps=99))))
    assert workdir.read(folder).steps == 99


def test_a_damaged_meta_is_left_to_whoever_loads_the_checkpoint(run):
    folder, config = run
    (folder / 'checkpoints' / '1' / 'meta.json').write_text('{"config": {"seed": 9}}')
    assert workdir.read(folder) == config


def test_a_run_whose_dropout_of_attention_was_drawn_otherwise_says_so_once(run):
    _, config = run
    dropping = dataclasses.replace(config, model=dataclasses.replace(config.model, attention_dropout=0.1))
    now = {'config': parse.to_dict(dropping)}
    before = {'config': {'model': {name: value for name, value in now['config']['model'].items() if name != 'attention'}}}
    assert workdir.redrawn(before, dropping) == (
        'the dropout of attention is drawn in another way than when this run was started: other masks at the same rate from here on')
    assert workdir.redrawn(now, dropping) is workdir.redrawn({}, dropping) is workdir.redrawn(before, config) is None
