"""Real checkpoints, mutated, killed, moved between meshes: what was saved comes back bit for bit, or an older one."""
import dataclasses
import hashlib
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data import atomic
from model import paths
from tests.helpers import subprocesses
from train import state as states
from train.checkpoints import arrays, checkpoint, folders, manifest

ROOT = pathlib.Path(__file__).resolve().parents[3]
KEPT = {'examples': 640, 'config': {'steps': 100}, 'tokenizer': 'abc', 'vocab_size': 300,
        'early_stopping': {'best': float('inf'), 'count': 2}}


ADAM = optax.adamw(1e-3)


def make(seed=0, dim=16, carry=False, ema=False, optimizer=ADAM):
    rng = np.random.default_rng(seed)
    embedding = jnp.asarray(rng.normal(size=(32, dim)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(2, dim, 8)), jnp.bfloat16)
    params = {'backbone': {'embed': {'embedding': embedding}, 'blocks': {'mlp': {'up': {'kernel': kernel}}}}}
    return states.State(step=jnp.int32(seed), params=params, opt_state=optimizer.init(params), rng=jax.random.key(seed),
                        carry=jnp.asarray(rng.normal(size=(8, dim)), jnp.float32) if carry else None,
                        ema=jax.tree.map(lambda x: x * 2, params) if ema else None)


def shapes(state, sharding=None):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding or x.sharding), state)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        assert x.dtype == y.dtype and x.shape == y.shape
        x, y = (np.asarray(jax.random.key_data(z) if arrays.is_key(z) else z) for z in (x, y))
        assert x.tobytes() == y.tobytes()


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """A run's checkpoints 10 and 20."""
    folder = tmp_path_factory.mktemp('run') / 'checkpoints'
    with checkpoint.Checkpoints(folder) as saved:
        saved.save(10, make(10), KEPT)
        saved.save(20, make(20), KEPT)
    return folder


@pytest.mark.parametrize('carry, ema', [(False, False), (True, True)])
def test_what_is_restored_is_what_was_saved(tmp_path, carry, ema):
    state = make(7, carry=carry, ema=ema)
    with checkpoint.Checkpoints(tmp_path / 'checkpoints') as saved:
        assert saved.restore(shapes(state)) is None
        saved.save(7, state, KEPT)
        assert saved.verify(7, state) == checkpoint.fingerprint(state)
    restored, meta = checkpoint.Checkpoints(tmp_path / 'checkpoints').restore(shapes(state))
    same(restored, state)
    assert {key: meta[key] for key in KEPT} == KEPT
    assert meta['step'] == 7 and meta['rng'] == {'rng': 'threefry2x32'} and meta['versions']['jax'] == jax.__version__
    folder = tmp_path / 'checkpoints' / '7'
    assert sorted(entry.name for entry in folder.iterdir()) == ['manifest.json', 'meta.json', 'state']


def test_another_random_number_implementation(tmp_path):
    state = {'rng': jax.random.key(3, impl='rbg'), 'keys': jax.random.split(jax.random.key(4), 3)}
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, state, {})
        same(saved.restore(shapes(state))[0], state)
        with pytest.raises(checkpoint.Mismatch, match='JAX_DEFAULT_PRNG_IMPL'):
            saved.restore(shapes({**state, 'rng': jax.random.key(3)}))


def test_a_step_that_donates_the_state_does_not_change_the_save(tmp_path):
    state = {'params': {'w': jnp.arange(500_000, dtype=jnp.float32), 'b': jnp.ones((1000, 300))}}
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    with checkpoint.Checkpoints(tmp_path) as saved:
        for number in range(1, 6):
            expected = checkpoint.fingerprint(state)
            saved.save(number, state, {})
            state = step(step(state))
            assert checkpoint.fingerprint(saved.restore(shapes(state))[0]) == expected


def test_every_damage_to_every_file_is_noticed_and_nothing_is_deleted(two, tmp_path):
    def invert(raw, i):
        return raw[:i] + bytes([raw[i] ^ 0xff]) + raw[i + 1:]
    damages = {
        'first byte': lambda file, raw: file.write_bytes(invert(raw, 0)),
        'middle byte': lambda file, raw: file.write_bytes(invert(raw, len(raw) // 2)),
        'last byte': lambda file, raw: file.write_bytes(invert(raw, len(raw) - 1)),
        'cut': lambda file, raw: file.write_bytes(raw[:-1]),
        'emptied': lambda file, raw: file.write_bytes(b''),
        'deleted': lambda file, raw: file.unlink(),
        'extra file': lambda file, raw: file.with_name('extra').write_bytes(b'x')}
    names = files(two / '20')
    assert len(names) >= 10 and {'meta.json', 'manifest.json'} <= set(names)
    for i, name in enumerate(names):
        for damage, apply in damages.items():
            run = tmp_path / str(i) / damage / 'checkpoints'
            shutil.copytree(two, run)
            file = run / '20' / name
            apply(file, file.read_bytes())
            left, lines, saved = files(run / '20'), [], checkpoint.Checkpoints(run)
            if list(damages)[i % len(damages)] == damage:       # one damage of each file, all damages in turn
                same(saved.restore(shapes(make()), lines.append)[0], make(10))
            else:
                assert folders.choose(saved.folder, lines.append, move=True) == 10
            assert len(lines) == 1, (name, damage, lines)
            if (name, damage) == ('manifest.json', 'deleted'):  # as a kill in the middle of a save would leave it
                assert lines == ['checkpoint 20 was never finished (it has no manifest.json): ignored']
                assert files(run / '20') == left
            else:
                assert lines[0].startswith('checkpoint 20 is damaged, moved to bad/20: ')
                assert files(run / 'bad' / '20') == left and not (run / '20').exists()


def test_every_one_of_500_random_bit_flips_is_noticed(two, tmp_path):
    run, draw = tmp_path / 'checkpoints', np.random.default_rng(0)
    shutil.copytree(two, run)
    names = [name for name in files(run / '20') if (run / '20' / name).stat().st_size]
    for turn in range(500):
        file = run / '20' / names[turn % len(names)]
        good, bit = file.read_bytes(), int(draw.integers(8 * file.stat().st_size))
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        problem, = folders.check(run / '20')
        assert problem.startswith(f'{names[turn % len(names)]}: content changed'), bit
        file.write_bytes(good)
    assert folders.check(run / '20') == []


def test_the_line_that_tells_of_damage(two, tmp_path):
    run = tmp_path / 'checkpoints'
    shutil.copytree(two, run)
    for number in ('10', '20'):
        (run / number / 'meta.json').unlink()
        (run / number / 'new').write_text('')
    shutil.copytree(run / '20', run / 'bad' / '20')
    lines = []
    with pytest.raises(checkpoint.NothingRestorable) as error:
        checkpoint.Checkpoints(run).restore(shapes(make()), lines.append)
    assert lines == ['checkpoint 20 is damaged, moved to bad/20.2: meta.json: missing (and 1 more)',
                     'checkpoint 10 is damaged, moved to bad/10: meta.json: missing (and 1 more)']
    assert str(error.value) == f"""\
none of the checkpoints in {run} can be restored
  10: meta.json: missing (and 1 more)
  20: meta.json: missing (and 1 more)
  bad/20: damaged, moved there earlier
Put a good copy of one back as {run}/STEP, or start anew with another --workdir."""
    with pytest.raises(checkpoint.NothingRestorable, match='bad/20.2: damaged, moved there earlier'):
        checkpoint.Checkpoints(run).restore(shapes(make()))     # never silently from the start


def test_without_rename_a_damaged_step_is_marked_and_copied_when_it_comes_again(two, tmp_path, monkeypatch):
    run = tmp_path / 'checkpoints'
    shutil.copytree(two, run)
    (run / '20' / 'meta.json').write_text('{}')
    monkeypatch.setattr(atomic, 'local', lambda _: False)
    monkeypatch.setattr(pathlib.Path, 'rename', None)
    with checkpoint.Checkpoints(run) as saved:
        lines = []
        same(saved.restore(shapes(make()), lines.append)[0], make(10))
        assert lines == ['checkpoint 20 is damaged, marked DAMAGED: meta.json: 2 bytes instead of 428'.replace(
            '428', f'{(two / "20" / "meta.json").stat().st_size:,}')]
        assert folders.complete(saved.folder) == [10]
        same(saved.restore(shapes(make()), lines.append)[0], make(10))
        assert len(lines) == 1
        saved.save(20, make(21), {})
        saved.wait()
        same(saved.restore(shapes(make()), lines.append)[0], make(21))
    assert files(run / 'bad' / '20') == sorted([*files(two / '20'), 'DAMAGED'])


def test_the_newest_and_the_best_stay(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2, best='eval/loss') as saved:
        for step, loss in enumerate((5.0, 3.0, 4.0, float('nan'), 6.0, 3.0), 1):
            saved.save(step, make(step), {'metrics': {'eval/loss': loss}})
            saved.wait()
        assert folders.complete(saved.folder) == [2, 5, 6] and folders.best(tmp_path, 'eval/loss') == 2
        saved.save(7, make(7), {})
        saved.wait()
        assert folders.complete(saved.folder) == [2, 6, 7]
    params, meta = checkpoint.load_params(tmp_path, step='best')
    same(params, make(2).params)
    assert meta['step'] == 2
    with checkpoint.Checkpoints(tmp_path, keep=1, best='eval/accuracy') as saved:
        for step, accuracy in enumerate((0.2, 0.9, 0.3), 8):
            saved.save(step, make(step), {'metrics': {'eval/accuracy': accuracy}})
        saved.wait()
        assert folders.complete(saved.folder) == [9, 10]
        (tmp_path / '9' / 'meta.json').write_text('{')           # damage elsewhere does not fail a save
        saved.save(11, make(11), {})
        saved.wait()
        assert folders.complete(saved.folder) == [10, 11]


def test_higher_is_better_by_name():
    higher = ['eval/accuracy', 'token_accuracy', 'squad/f1', 'exact_match']
    assert [name for name in ['eval/loss', *higher, 'perplexity'] if folders.higher_is_better(name)] == higher


def test_a_step_is_saved_once_and_one_of_another_line_is_moved_aside(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, make(1), {})
        saved.save(2, make(2), {})
        saved.save(2, make(99), {})
        same(saved.restore(shapes(make()))[0], make(2))
    with checkpoint.Checkpoints(tmp_path) as again:              # knows nothing of step 2
        again.save(2, make(3), {})
        same(again.restore(shapes(make()))[0], make(3))
    assert manifest.check(tmp_path / 'bad' / '2') == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from tests.train.checkpoints import test_checkpoint as t
from train.checkpoints import checkpoint, manifest
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
saved = checkpoint.Checkpoints({folder!r}, keep=1)
saved.save(10, t.make(10), {{}})
saved.wait()
{fault}
saved.save(20, t.make(20), {{}})
{after}
saved.wait()
"""
FAULTS = {                                    # code before save(20), code after it, the step that is then good
    'orbax has just begun': ('', 'die()', 10),
    'before meta': ('t.atomic.write = die', '', 10),
    'before the manifest': ('manifest.write = die', '', 10),
    'while deleting the old one': ('type(saved.folder).rmtree = lambda self, **_: self.exists() and die()', '', 20)}


@pytest.mark.parametrize('fault', FAULTS)
def test_kill_9_during_a_save_costs_at_most_that_save(tmp_path, fault):
    before, after, newest = FAULTS[fault]
    code = KILLED.format(root=str(ROOT), folder=str(tmp_path / 'c'),
                         fault=before, after=after)
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert run.returncode == -9, run.stderr
    with checkpoint.Checkpoints(tmp_path / 'c', keep=1) as saved:
        lines = []
        same(saved.restore(shapes(make()), lines.append)[0], make(newest))
        unfinished = 'checkpoint 20 was never finished (it has no manifest.json): ignored'
        assert lines == ([unfinished] if newest == 10 else []) and not (tmp_path / 'c' / 'bad').exists()
        saved.save(20, make(20), {})
        saved.save(30, make(30), {})
    assert files(tmp_path / 'c') == [f'30/{name}' for name in files(tmp_path / 'c' / '30')]  # remains are gone


@pytest.mark.parametrize('name', ['06', '٦', '²', '6 ', 'six'])
def test_a_step_has_one_name(two, tmp_path, name):
    shutil.copytree(two / '10', tmp_path / '10')
    shutil.copytree(two / '20', tmp_path / name)
    lines = []
    with checkpoint.Checkpoints(tmp_path) as saved:
        same(saved.restore(shapes(make()), lines.append)[0], make(10))
        saved.save(30, make(30), {})
    assert lines == [f'{name!r} holds a checkpoint under another name, not the number of its step: ignored']
    assert (tmp_path / name / 'manifest.json').exists() and folders.complete(tmp_path) == [10, 30]


@pytest.mark.parametrize('what', ['file', 'broken link', 'endless link', 'folder'])
def test_what_lies_in_the_place_of_a_step_is_set_aside(tmp_path, what):
    place = tmp_path / '8'
    make_it = {'file': lambda: place.write_text('x'), 'broken link': lambda: place.symlink_to('nowhere'),
               'endless link': lambda: place.symlink_to('8'), 'folder': lambda: (place / 'x').mkdir(parents=True)}
    make_it[what]()
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(8, make(8), {})
        same(saved.restore(shapes(make()))[0], make(8))
    assert os.path.lexists(tmp_path / 'bad' / '8') == (what != 'folder')  # a folder without a manifest is an unfinished step


def test_a_manifest_of_brackets_is_damage(two, tmp_path):
    for step in ('10', '20'):
        shutil.copytree(two / step, tmp_path / step)
    (tmp_path / '20' / 'manifest.json').write_text('[' * 200_000)
    lines = []
    with checkpoint.Checkpoints(tmp_path) as saved:
        same(saved.restore(shapes(make()), lines.append)[0], make(10))
    assert lines == ['checkpoint 20 is damaged, moved to bad/20: manifest.json: content changed']


def test_only_an_unfinished_save_means_a_start_from_nothing(tmp_path):
    (tmp_path / '10' / 'state').mkdir(parents=True)
    lines = []
    assert checkpoint.Checkpoints(tmp_path).restore(shapes(make()), lines.append) is None
    assert lines == ['checkpoint 10 was never finished (it has no manifest.json): ignored']


def put(state, shape):
    """The state on a mesh, its large leaves sharded over both axes; None = the first device."""
    if shape is None:
        return jax.device_put(state, jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:shape[1]]).reshape(shape[0]), ('fsdp', 'tensor'))
    spec = jax.sharding.PartitionSpec
    specs = {2: spec('fsdp', 'tensor'), 3: spec(None, 'fsdp', 'tensor')}
    shardings = jax.tree.map(lambda x: jax.sharding.NamedSharding(mesh, specs.get(x.ndim, spec())), state)
    return jax.jit(lambda x: x, out_shardings=shardings)(state)


def test_any_mesh_restores_any_other_bit_by_bit(tmp_path):
    all_meshes = {'one device': None, 'fsdp 8': ((8, 1), 8), 'fsdp 4, tensor 2': ((4, 2), 8), 'fsdp 2': ((2, 1), 2)}
    expected = make(5, carry=True)
    for source, shape in all_meshes.items():
        with checkpoint.Checkpoints(tmp_path / source) as saved:
            state = put(expected, shape)
            assert checkpoint.fingerprint(state) == checkpoint.fingerprint(expected)
            saved.save(5, state, {})
            saved.wait()
            for target in all_meshes.values():
                wanted = put(make(0, carry=True), target)
                restored = saved.restore(shapes(wanted))[0]
                same(restored, expected)
                for x, y in zip(jax.tree.leaves(restored), jax.tree.leaves(wanted)):
                    assert x.sharding.is_equivalent_to(y.sharding, x.ndim)


def test_fingerprint_is_sha256_over_path_dtype_shape_and_bytes():
    w, count = np.arange(6, dtype=np.float32).reshape(2, 3), np.int32(4)
    lines = [('opt_state/0', 'int32[]', count), ('params/w', 'float32[2, 3]', w)]
    text = ''.join(f'{path}\t{spec}\t{hashlib.sha256(x.tobytes()).hexdigest()}\n' for path, spec, x in lines)
    expected = hashlib.sha256(text.encode())
    state = {'params': {'w': jnp.asarray(w)}, 'opt_state': [jnp.asarray(count)], 'carry': None}
    assert checkpoint.fingerprint(state) == expected.hexdigest()
    others = [{**state, 'opt_state': [jnp.int32(5)]}, {**state, 'carry': jnp.zeros(1)}] + [
        {**state, 'params': params} for params in ({'w': jnp.asarray(w.T)}, {'v': w}, {'w': w.reshape(3, 2)})]
    prints = {checkpoint.fingerprint(other) for other in others}
    assert len(prints) == len(others) and expected.hexdigest() not in prints
    assert checkpoint.fingerprint({'rng': jax.random.key(1)}) != checkpoint.fingerprint({'rng': jax.random.key(2)})


def test_a_checkpoint_that_does_not_fit_shows_both_trees(two):
    with pytest.raises(checkpoint.Mismatch) as error:
        checkpoint.Checkpoints(two).restore(shapes(make(dim=32, optimizer=optax.sgd(0.1))))
    assert str(error.value) == f"""\
{two}/20 does not fit this config (- in the checkpoint, + wanted; 2 other arrays agree)
  - opt_state/0/count  int32[]
  - opt_state/0/mu/backbone/blocks/mlp/up/kernel  bfloat16[2, 16, 8]
  - opt_state/0/mu/backbone/embed/embedding  float32[32, 16]
  - opt_state/0/nu/backbone/blocks/mlp/up/kernel  bfloat16[2, 16, 8]
  - opt_state/0/nu/backbone/embed/embedding  float32[32, 16]
  - params/backbone/blocks/mlp/up/kernel  bfloat16[2, 16, 8]
  + params/backbone/blocks/mlp/up/kernel  bfloat16[2, 32, 8]
  - params/backbone/embed/embedding  float32[32, 16]
  + params/backbone/embed/embedding  float32[32, 32]
likely cause: model.dim or model.embed_dim"""
    sgd = 'optimizer.name, optimizer.momentum, optimizer.clip or optimizer.schedule'
    for other, cause in ((make(optimizer=optax.sgd(0.1)), sgd), (make(ema=True), 'ema'),
                         (make(carry=True), 'batch_size or objective.* (its memory)')):
        with pytest.raises(checkpoint.Mismatch, match=re.escape(f'likely cause: {cause}')):
            checkpoint.Checkpoints(two).restore(shapes(other))
    assert folders.complete(two) == [10, 20]                       # not damage: nothing is moved


def test_parameters_alone_from_any_folder_and_by_path(two, tmp_path):
    for folder in (two.parent, two, two / '20'):
        params, meta = checkpoint.load_params(folder)
        same(params, make(20).params)
        assert meta['examples'] == 640
    same(checkpoint.load_params(two, step=10)[0], make(10).params)
    like = put(make().params, ((8, 1), 8))
    taken, _ = checkpoint.load_params(two, like=shapes(like), patterns=('^nothing', 'embed/'))
    same(taken, {'backbone': {'embed': make(20).params['backbone']['embed']}})
    assert taken['backbone']['embed']['embedding'].sharding == like['backbone']['embed']['embedding'].sharding
    with pytest.raises(checkpoint.Mismatch, match='likely cause: model.dim'):
        checkpoint.load_params(two, like=shapes(make(dim=8).params))
    with pytest.raises(checkpoint.Mismatch) as error:
        checkpoint.load_params(two, patterns=('^head',))
    assert str(error.value) == (f"{two}/20: nothing in params matches ^head; it holds 'backbone/blocks/mlp/up/kernel', "
                                "'backbone/embed/embedding'")
    with pytest.raises(checkpoint.NothingRestorable, match='there is no checkpoint in'):
        checkpoint.load_params(tmp_path)
    with pytest.raises(checkpoint.NothingRestorable, match='there is no checkpoint 30 in .*; expected one of 10, 20'):
        checkpoint.load_params(two, step=30)


def test_another_run_is_never_changed(two, tmp_path):
    run = tmp_path / 'checkpoints'
    shutil.copytree(two, run)
    (run / '20' / 'meta.json').write_text('{}')
    before, lines = files(run), []
    same(checkpoint.load_params(tmp_path, notice=lines.append)[0], make(10).params)
    assert files(run) == before
    assert len(lines) == 1 and lines[0].startswith('checkpoint 20 is damaged: meta.json: 2 bytes')


def test_the_moving_average_can_be_loaded(tmp_path):
    state = make(1, ema=True)
    with checkpoint.Checkpoints(tmp_path, asynchronous=False) as saved:
        saved.save(1, state, {})
    same(checkpoint.load_params(tmp_path, what='ema')[0], state.ema)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('path', ['params/backbone/embed/embedding', 'params/backbone/blocks/mlp/up/kernel',
                                  'opt_state/0/nu/backbone/embed/embedding', 'ema/backbone/blocks/mlp/up/kernel', 'carry', 'frozen/w'])
def test_what_is_not_finite_never_reaches_a_checkpoint(tmp_path, path, value):
    def state(seed, **changes):
        made = dataclasses.replace(make(seed, carry=True, ema=True), frozen={'w': jnp.ones(3)})
        return paths.apply(lambda at, leaf: leaf.at[(-1,) * leaf.ndim].set(changes[at]) if at in changes else leaf, made)

    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, state(1), {})
        with pytest.raises(checkpoint.NotFinite) as error:
            saved.save(2, state(2, **{path: value}), {})
        assert str(error.value) == f"step 2 was not saved: NaN or infinity in '{path}'" and error.value.exit_code == 5
        assert folders.complete(saved.folder) == [1] and not (tmp_path / '2').exists()
        same(saved.restore(shapes(state(0)))[0], state(1))


def test_a_failed_save_says_why_and_the_last_good_one_stays(tmp_path, monkeypatch, capfd, caplog):
    folder = tmp_path / 'checkpoints'
    big = {'params': {'w': jnp.asarray(np.random.default_rng(0).normal(size=(600, 600)), jnp.float32)}}
    saved = checkpoint.Checkpoints(folder)
    saved.save(1, big, {})
    saved.wait()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))   # stands for a disk that fills up
    try:
        saved.save(2, big, {})
        expected = r'^cannot save step 2 in .*File too large.*; step 1 is intact$'
        with pytest.raises(checkpoint.SaveError, match=expected) as error:
            saved.save(3, big, {})
        assert '\n' not in str(error.value) and len(str(error.value)) < 500
        assert 'Traceback' not in capfd.readouterr().err and 'Traceback' not in caplog.text  # Orbax logs three
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folders.complete(saved.folder) == [1] and not (folder / '2').exists()
    saved.save(4, big, {})                                       # there is room again: goes on
    saved.wait()

    def full(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(manifest, 'write', full)
    saved.save(5, big, {})
    with pytest.raises(checkpoint.SaveError) as error:
        saved.close()
    assert str(error.value) == (
        f'cannot save step 5 in {folder}: OSError: [Errno 28] No space left on device; step 4 is intact')
    same(checkpoint.Checkpoints(folder).restore(shapes(big))[0], big)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'checkpoints').write_text('a file')
    with pytest.raises(checkpoint.SaveError) as error:
        checkpoint.Checkpoints(tmp_path / 'checkpoints', asynchronous=False).save(1, make(), {})
    assert str(error.value).startswith(f'cannot save step 1 in {tmp_path}/checkpoints: ')
    assert str(error.value).endswith('; there is no earlier checkpoint')


def test_a_file_that_changes_while_the_step_is_sealed(tmp_path, monkeypatch):
    digest = manifest._digest

    def bad_disk(file, sync=False):
        found = digest(file, sync)
        if sync and file.name == 'meta.json':
            file.write_text('{}')
        return found
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, make(1), {})
        saved.wait()
        monkeypatch.setattr(manifest, '_digest', bad_disk)
        saved.save(2, make(2), {})
        with pytest.raises(checkpoint.SaveError) as error:
            saved.wait()
    assert re.fullmatch(f'step 2 in {tmp_path} does not read back as it was saved: meta.json: 2 bytes instead of \\d+; moved to bad/2; '
                        'step 1 is intact', str(error.value))
    assert not (tmp_path / '2').exists() and not (tmp_path / 'bad' / '2' / 'manifest.json').exists()


@pytest.mark.parametrize('damage', ['inverted', 'deleted'])
def test_arrays_that_do_not_open_as_they_were_are_never_sealed(tmp_path, monkeypatch, damage):
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, make(1), {})
        saved.wait()
        waited = saved._orbax.wait_until_finished

        def bad_disk():
            waited()
            for file in (tmp_path / '2' / 'state').rglob('d/*'):
                file.write_bytes(bytes(byte ^ 0xff for byte in file.read_bytes())) if damage == 'inverted' else file.unlink()
        monkeypatch.setattr(saved._orbax, 'wait_until_finished', bad_disk)
        saved.save(2, make(2), {})
        with pytest.raises(checkpoint.SaveError) as error:
            saved.wait()
        assert str(error.value).startswith(f"step 2 in {tmp_path} does not read back as it was saved: 'opt_state/0/count', ")
        assert str(error.value).endswith('; moved to bad/2; step 1 is intact')
        assert not (tmp_path / '2').exists() and not (tmp_path / 'bad' / '2' / 'manifest.json').exists()
        monkeypatch.undo()
        same(saved.restore(shapes(make()))[0], make(1))
        saved.save(2, make(3), {})
        assert saved.verify(2, make(3)) == checkpoint.fingerprint(make(3))


def test_each_part_of_a_sharded_array_is_compared(tmp_path):
    state = put(make(1), ((4, 2), 8))
    leaves = {path: arrays.plain(leaf) for path, leaf in paths.flatten(state).items()}
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, state, {})
    expected, bad = arrays.digests(leaves)
    assert bad == []
    assert {path: len(parts) for path, parts in expected.items() if len(parts) > 1} == dict.fromkeys(
        (path for path, leaf in leaves.items() if leaf.ndim >= 2), 8)
    assert arrays.unlike(tmp_path / '1', expected) == []
    for path, parts in expected.items():
        for i, (index, _) in enumerate(parts):
            assert arrays.unlike(tmp_path / '1', {**expected, path: [*parts[:i], (index, '0'), *parts[i + 1:]]}) == [path]


def test_the_end_of_orbax_hides_no_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    saved = checkpoint.Checkpoints(tmp_path)
    saved.save(1, make(1), {})
    saved.wait()
    close = saved._orbax.close
    monkeypatch.setattr(saved._orbax, 'close', lambda: (close(), full()))
    monkeypatch.setattr(manifest, 'write', full)
    saved.save(2, make(2), {})
    with pytest.raises(checkpoint.SaveError, match='^cannot save step 2 in .*; step 1 is intact$'):
        saved.close()


def test_what_verify_cannot_decode_is_unsealed(tmp_path, monkeypatch):
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, make(1), {})
        saved.save(2, make(2), {})
        monkeypatch.setattr(arrays, 'read', lambda *_: (_ for _ in ()).throw(ValueError('DATA_LOSS: cannot be decoded')))
        with pytest.raises(checkpoint.SaveError, match='step 2 in .* does not read back as .*DATA_LOSS.*; moved to bad/2; step 1 is'):
            saved.verify(2, make(2))
    assert folders.complete(tmp_path) == [1]


def test_verify_notices_another_state(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(1, make(1), {})
        saved.save(2, make(2), {})
        with pytest.raises(checkpoint.SaveError) as error:
            saved.verify(2, make(1))
        assert re.fullmatch(f'step 2 in {tmp_path} does not read back as it was saved: sha256 \\w+ instead of \\w+; moved to bad/2; '
                            'step 1 is intact', str(error.value))
        assert not (tmp_path / 'bad' / '2' / 'manifest.json').exists()
        same(saved.restore(shapes(make()))[0], make(1))


def test_a_step_under_another_name(two, tmp_path):
    shutil.copytree(two / '10', tmp_path / '10')
    shutil.copytree(two / '10', tmp_path / '30')
    lines = []
    with checkpoint.Checkpoints(tmp_path) as saved:
        same(saved.restore(shapes(make()), lines.append)[0], make(10))
    assert lines == ['checkpoint 30 is damaged, moved to bad/30: manifest.json: this is step 10']
    (tmp_path / '10').rename(tmp_path / 'best')
    with pytest.raises(checkpoint.NothingRestorable, match='best holds a checkpoint under another name; expected the number of its step'):
        checkpoint.load_params(tmp_path / 'best')


TWO = """
import dataclasses
import sys
sys.path.insert(0, {root!r})
import jax
rank = int(sys.argv[1])
jax.distributed.initialize('127.0.0.1:{port}', 2, rank)
from tests.train.checkpoints import test_checkpoint as t
from train.checkpoints import arrays, checkpoint, manifest
state = t.put(t.make(30, carry=True), ((4, 1), 4))
saved = checkpoint.Checkpoints({folder!r})
lines = []
restored, meta = saved.restore(t.shapes(state), lines.append)
print('restored', meta['step'], checkpoint.fingerprint(restored), len(lines), flush=True)
saved.save(30, state, {{'examples': 3}})
print('saved', saved.verify(30, state), flush=True)
if rank == 0:
    manifest.write = lambda *_: 1 / 0
saved.save(40, state, {{}})
try:
    saved.wait()
except checkpoint.SaveError as error:
    print(error, flush=True)
last = jax.jit(lambda carry: carry.at[-1, -1].set(float('nan')), out_shardings=state.carry.sharding)(state.carry)  # process 1 holds it
try:
    saved.save(45, dataclasses.replace(state, carry=last), {{}})
except checkpoint.NotFinite as error:
    print(error, flush=True)
if rank == 1:
    digests = arrays.digests
    arrays.digests = lambda leaves: ({{**digests(leaves)[0], 'carry': [(slice(4, 8), slice(0, 16)), '0']}}, [])
saved.save(50, state, {{}})
try:
    saved.close()
except checkpoint.SaveError as error:
    print(error, flush=True)
"""


def test_two_processes_save_one_checkpoint_that_one_process_restores(tmp_path):
    folder = tmp_path / 'checkpoints'
    with checkpoint.Checkpoints(folder) as saved:
        saved.save(10, make(10, carry=True), {})
        saved.save(20, make(20, carry=True), {})
    (folder / '20' / 'meta.json').write_text('{}')               # both must fall back to 10
    code = TWO.format(root=str(ROOT), folder=str(folder), port=subprocesses.free_port())
    outputs = run_all([[sys.executable, '-c', code, str(rank)] for rank in range(2)], devices=2)
    expected = [f'restored 10 {checkpoint.fingerprint(make(10, carry=True))}',
                f'saved {checkpoint.fingerprint(make(30, carry=True))}',
                f'cannot save step 40 in {folder}: ZeroDivisionError: division by zero; step 30 is intact',
                "step 45 was not saved: NaN or infinity in 'carry'",
                f"step 50 in {folder} does not read back as it was saved: 'carry'; {{}}step 30 is intact"]
    for rank, (status, out) in enumerate(outputs):
        assert status == 0, out
        lines = [line for line in out.splitlines() if line.startswith(('restored', 'saved', 'cannot', 'step '))]
        assert lines == [f'{expected[0]} {1 - rank}', *expected[1:4], expected[4].format('moved to bad/50; ' * (1 - rank))], out
    restored, meta = checkpoint.Checkpoints(folder).restore(shapes(make(carry=True)))
    same(restored, make(30, carry=True))
    assert meta['examples'] == 3 and sorted(entry.name for entry in folder.iterdir()) == ['10', '30', 'bad']


def run_all(commands, devices, seconds=150, meanwhile=None):
    """[(status, output)] of commands that run side by side; those not done after `seconds` are killed."""
    children = [subprocesses.start(command, devices) for command in commands]
    try:
        if meanwhile:
            meanwhile(children)
        end = time.monotonic() + seconds
        outputs = [child.communicate(timeout=max(1, end - time.monotonic()))[0] for child in children]
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
    return [(child.returncode, output) for child, output in zip(children, outputs)]
