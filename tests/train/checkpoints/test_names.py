"""A run may lie in a folder of any name: Orbax finds files by patterns, TensorStore takes a backslash for a slash."""
import string
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import subprocesses
from tests.train.checkpoints import test_checkpoint as states
from train.checkpoints import checkpoint, folders, manifest, streaming, workdir
from train.settings import errors

PUNCTUATION = ''.join(c for c in string.punctuation if c not in '/*?[\\')
NAMES = ('run[1]', 'a\\b', 'a*b', 'a?b', '[!x]', '**', 'lr[1e-3]/a', ' ', '~', 'x:', PUNCTUATION, ''.join(map(chr, range(1, 33))),
         'Ünï 北京 🙂 e\u0301')


def save_and_restore(folder, seed):
    state = {'params': {'w': jnp.float32([seed, 2, 3])}, 'step': jnp.int32(seed)}
    with checkpoint.Checkpoints(folder, asynchronous=False) as saved:
        saved.save(seed, state, {})
        states.same(saved.restore(states.shapes(state))[0], state)
    states.same(checkpoint.load_params(folder)[0], state['params'])


def test_names_of_all_characters(tmp_path):
    for seed, name in enumerate(NAMES, 1):
        save_and_restore(tmp_path / name / 'checkpoints', seed)
        assert (tmp_path / name / 'checkpoints' / str(seed) / 'manifest.json').exists(), name


def test_a_pattern_does_not_mix_a_run_with_its_neighbours(tmp_path):
    for seed, name in enumerate(('axb', 'a1b', 'a*b', 'a?b', 'a[1]b'), 1):
        save_and_restore(tmp_path / name / 'checkpoints', 7 + seed)
    for folder in tmp_path.iterdir():
        assert not list(folder.rglob('ocdbt.process_1')) and len(list((folder / 'checkpoints').iterdir())) == 1


def test_a_link_where_the_temporary_folder_has_such_a_name_too(tmp_path, monkeypatch):
    (tmp_path / 'tmp[1]').mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'tmp[1]'))
    save_and_restore(tmp_path / 'run[2]' / 'checkpoints', 1)
    assert (tmp_path / 'run[2]' / 'checkpoints' / '1' / 'manifest.json').exists()


def test_an_import_is_written_and_read_there(tmp_path):
    folder = tmp_path / 'v[1]' / 'checkpoints'
    streaming.save(str(folder), 0, {'a': (2,)}, iter([('a', np.float32([1, 2]))]), {})
    np.testing.assert_array_equal(checkpoint.load_params(folder)[0]['a'], [1, 2])


@pytest.mark.parametrize('name, message', [
    ('caf\udce9', r'''folder: 1 problem
  1. caf\udce9   expected a name in UTF-8; rename it, or its folder.
nothing was run'''),
    ('x://y', '''folder: 1 problem
  1. x://y   expected a local folder, or a location that begins with gs://, s3:// or az://.
nothing was run'''),
    ('http://x/run', '''folder: 1 problem
  1. http://x/run   expected a local folder, or a location that begins with gs://, s3:// or az://.
nothing was run'''),
    ('/gs/bucket/run', '''folder: 1 problem
  1. /gs/bucket/run   expected a local folder, or a location that begins with gs://, s3:// or az://.
nothing was run'''),
    ('gs://bucket/run[1]', '''folder: 1 problem
  1. gs://bucket/run[1]   expected a location without *, ?, [ and \\, which Orbax would take for patterns. Choose another name.
nothing was run''')])
def test_what_cannot_be_a_run_is_refused_before_anything_else(name, message):
    for call in (workdir.check_writable, folders.locate, checkpoint.Checkpoints):
        with pytest.raises(errors.Error) as error:
            call(name)
        assert str(error.value) == message


TWO = """
import sys
import jax
jax.distributed.initialize('127.0.0.1:{port}', 2, int(sys.argv[1]))
from tests.train.checkpoints import test_checkpoint as t
from train.checkpoints import checkpoint
state = t.put(t.make(3), ((4, 1), 4))
with checkpoint.Checkpoints({folder!r}) as saved:
    saved.save(3, state, {{}})
    print('saved', saved.verify(3, state), flush=True)
"""


def test_two_processes_share_such_a_folder(tmp_path):
    folder = tmp_path / 'run[1]' / 'a\\b*' / 'checkpoints'
    code = TWO.format(folder=str(folder), port=subprocesses.free_port())
    for status, out in states.run_all([[sys.executable, '-c', code, str(rank)] for rank in range(2)], devices=2):
        assert status == 0 and f'saved {checkpoint.fingerprint(states.make(3))}' in out, out
    states.same(checkpoint.Checkpoints(folder).restore(states.shapes(states.make()))[0], states.make(3))
    assert manifest.check(folder / '3') == [] and jax.process_count() == 1
