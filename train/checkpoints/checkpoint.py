"""Checkpoints that can be trusted: `STEP/` holds Orbax's arrays (`state/`), `meta.json` and, last, `manifest.json`.

The arrays are written behind the loop's back (Orbax); a background thread then hashes the files, writes the manifest,
reads everything back and drops old steps. Restoring takes the newest step whose every byte checks. Arrays are stored by
path, whole, whatever their sharding: any mesh and any number of processes restores them, bit by bit. Several processes
share one folder: all save their shards, process 0 checks, decides and seals, and the others hear of it through `peers`.
"""
import functools
import importlib.metadata
import itertools
import json
import logging
import re
import threading

import jax

from model import paths
from train.checkpoints import arrays, folders, manifest
from train.parallel import processes

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')
NothingRestorable, Mismatch = folders.NothingRestorable, arrays.Mismatch
fingerprint = arrays.fingerprint
_saves = itertools.count()                    # equal in all processes, as they make the same calls


class SaveError(Exception):
    """A checkpoint could not be written; those before it are intact."""

    exit_code, kind = 6, 'save'


class NotFinite(SaveError):
    """Parameters hold NaN or infinity; not saved, so that the newest checkpoint stays a usable one."""

    exit_code, kind = 5, 'diverged'


class Checkpoints:
    """The checkpoints of one run. All processes make the same calls in the same order.

    folder: WORKDIR/checkpoints. keep: how many of the newest steps stay (None = all). best: a metric; the step whose
    meta['metrics'][best] is best stays too (lowest, unless steps.higher_is_better). Use `with`, or `close()` in the
    end: a save that still runs dies with the interpreter.
    """

    def __init__(self, folder, keep=3, best=None, asynchronous=True):
        self.folder, self.keep, self.best, self.asynchronous = folders.absolute(folder), keep, best, asynchronous
        self._known = set()                   # steps of this run: those it saved, and the one it resumed from
        self._orbax, self._thread, self._error = None, None, None

    def save(self, step, state, meta):
        """Saves `state` (any pytree) and `meta` (JSON: examples, config, tokenizer, vocab_size, metrics, ...).

        Returns as soon as the arrays may be donated; waits first for a save that still runs, and raises its SaveError.
        A step that this run has saved already, or resumed from, is not written again. NotFinite if parameters are not.
        """
        self.wait()
        if step in self._known:
            return
        leaves = paths.flatten(state)
        if bad := arrays.not_finite(leaves):
            raise NotFinite(f'step {step} was not saved: NaN or infinity in {paths.listed(bad)}')
        specs = {path: arrays.spec(leaf) for path, leaf in leaves.items()}
        meta = described(meta, step, specs, self.best)
        call = f'save/{next(_saves)}/{step}'
        try:
            processes.lead(f'{call}/prepare', lambda: self._prepare(step))
            self._checkpointer().save(self._at(step) / 'state', args=orbax().args.PyTreeSave(
                paths.unflatten({path: arrays.plain(leaf) for path, leaf in leaves.items()})))
        except Exception as error:
            raise self._failed(step, error) from error
        self._thread = threading.Thread(target=self._finish, args=(step, meta, specs, call), name='checkpoint')
        self._thread.start()
        if not self.asynchronous:
            self.wait()

    def wait(self):
        """Waits for the save that is running, if any; raises its SaveError."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self):
        """Waits for the last save (raising its SaveError) and ends Orbax's threads."""
        try:
            self.wait()
        finally:
            if self._orbax is not None:
                self._orbax.close()
                self._orbax = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def steps(self):
        """The complete steps, ascending."""
        return folders.complete(self.folder)

    def restore(self, abstract_state, notice=print):
        """(state, meta) of the newest step that checks, or None if nothing was ever saved.

        abstract_state: the state as ShapeDtypeStructs with shardings (none = the first device). Damaged steps are moved
        to bad/ with a line to `notice`. NothingRestorable if no step is good; Mismatch if the good one does not fit.
        """
        self.wait()
        step = folders.choose_together(self.folder, notice, move=True)
        if step is None:
            return None
        wanted = paths.flatten(abstract_state)
        arrays.compare(_specs(self._at(step)), {path: arrays.spec(leaf) for path, leaf in wanted.items()}, self._at(step))
        self._known = {step}
        return arrays.rebuild(abstract_state, _read(self._at(step), wanted)), folders.read_meta(self._at(step))

    def verify(self, step, state):
        """Restores a step beside `state`, compares them bit by bit and returns their fingerprint: for the last save."""
        self.wait()
        leaves = paths.flatten(state)
        found, expected = fingerprint(_read(self._at(step), leaves)), fingerprint(leaves)
        if found != expected:
            raise SaveError(f'step {step} in {self.folder} does not read back as it was saved: '
                            f'sha256 {found[:12]} instead of {expected[:12]}')
        return expected

    def _at(self, step):
        return self.folder / str(step)

    def _checkpointer(self):
        if self._orbax is None:
            self._orbax = orbax().AsyncCheckpointer(orbax().PyTreeCheckpointHandler(), timeout_secs=600)
        return self._orbax

    def _prepare(self, step):
        """Makes an empty folder (process 0): what a killed save left there goes, a complete step is moved aside."""
        target = self._at(step)
        if (target / manifest.NAME).exists():
            folders.move_aside(target)
        folders.remove(target)
        target.mkdir(parents=True)

    def _finish(self, step, meta, specs, call):
        def seal():
            self._checkpointer().wait_until_finished()
            complete(self._at(step), step, meta, specs)
            folders.prune(self.folder, self.keep, self.best)

        try:
            if processes.rank() > 0:
                self._checkpointer().wait_until_finished()
            processes.lead(f'{call}/seal', seal)
            self._known.add(step)
        except Exception as error:            # the loop cannot see this thread: its next call raises it
            self._error = self._failed(step, error)

    def _failed(self, step, error):
        """The SaveError for a failed save. Unsealed remains go: a full disk needs the room."""
        try:
            if processes.rank() == 0 and not (self._at(step) / manifest.NAME).exists():
                folders.remove(self._at(step))
            before = [other for other in self.steps() if other != step]
        except OSError:
            before = []
        return SaveError(f'cannot save step {step} in {self.folder}: {cause(error)}; '
                         + (f'step {before[-1]} is intact' if before else 'there is no earlier checkpoint'))


def described(meta, step, specs, best=None):
    """The text of meta.json for arrays {path: spec}."""
    return json.dumps({**meta, 'step': step, 'best': best, 'versions': versions(),
                       'rng': {path: name for path, spec in specs.items() if (name := arrays.implementation(spec))}},
                      indent=1, default=lambda value: value.item() if hasattr(value, 'item') else str(value))


def complete(target, step, meta, specs):
    """Makes a folder with arrays a checkpoint: meta.json, and last the manifest. OSError if it reads back differently."""
    manifest.put(target / 'meta.json', f'{meta}\n'.encode())
    manifest.write(target, {'step': step, 'arrays': specs})
    if problems := manifest.check(target):
        raise OSError(f'it reads back differently, {folders.summary(problems)}')


def load_params(folder, like=None, patterns=('.*',), step=None, what='params', notice=print, rename=()):
    """(parameters, meta) of a checkpoint, whatever machine wrote it: nested dicts of the paths that a pattern finds.

    folder, step: as in steps.locate. patterns: re.search. like: (abstract) parameters that will take them; those taken
    must be there with the same shapes, and get their shardings; None: on the first device. what: 'params' or 'ema'.
    rename: (regex, replacement) pairs, applied in turn to the paths that were taken: what they are called in `like`.
    """
    source = folders.locate(folder, step, notice)
    stored = {path[len(what) + 1:]: spec for path, spec in _specs(source).items() if path.startswith(f'{what}/')}
    taken = {path: spec for path, spec in stored.items() if any(re.search(pattern, path) for pattern in patterns)}
    if not taken:
        raise Mismatch(f'{source}: nothing in {what} matches {", ".join(patterns)}; '
                       f'it holds {paths.listed(sorted(stored)) or "none"}')
    origin = {functools.reduce(lambda name, row: re.sub(*row, name), rename, path): path for path in taken}
    if len(origin) < len(taken):
        raise Mismatch(f'{source}: two parameters get one name by {", ".join(map(repr, rename))}; take fewer of them')
    targets = {path: jax.ShapeDtypeStruct(*reversed(arrays.parse(taken[at]))) for path, at in origin.items()}
    if like is not None:
        targets = {path: leaf for path, leaf in paths.flatten(like).items() if path in origin}
        arrays.compare({f'params/{path}': taken[at] for path, at in origin.items()},
                     {f'params/{path}': arrays.spec(leaf) for path, leaf in targets.items()}, source)
    found = _read(source, {f'{what}/{origin[path]}': leaf for path, leaf in targets.items()})
    return paths.unflatten({path: found[f'{what}/{at}'] for path, at in origin.items()}), folders.read_meta(source)


def stored(folder, what='params'):
    """{path: 'float32[2, 64]'} of the newest checkpoint of a workdir, or of a step; its bytes are not checked. {} if there is none to read."""
    folder = folders.absolute(folder)
    folder = folder / 'checkpoints' if (folder / 'checkpoints').exists() else folder
    steps = folders.complete(folder)
    source = folder if (folder / manifest.NAME).exists() else folder / str(steps[-1]) if steps else None
    try:
        specs = _specs(source) if source else {}
    except (OSError, ValueError):             # damaged: who loads it says so
        specs = {}
    return {path.removeprefix(f'{what}/'): spec for path, spec in specs.items() if path.startswith(f'{what}/')}


def orbax():
    """The package Orbax, silenced."""
    import orbax.checkpoint as ocp  # 0.2 s on top of JAX and Flax: only those pay who save or restore
    logging.getLogger('absl').addFilter(_no_orbax_traceback)
    return ocp


def _no_orbax_traceback(record):
    """Orbax logs a failed save three times over, with tracebacks, before it raises it. We say it once."""
    return not (record.exc_info and 'orbax' in record.pathname)


def versions():
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _specs(source):
    return manifest.read(source)['extra']['arrays']


def _read(source, wanted):
    """{path: array} of a step for {path: (abstract) array}, with their shardings."""
    specs, ocp = _specs(source), orbax()
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    plain = {path: arrays.plain(leaf) for path, leaf in wanted.items()}
    item = paths.unflatten({path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, 'sharding', None)
                                                       or first) for path, leaf in plain.items()})
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        found = paths.flatten(reader.restore(source / 'state', args=ocp.args.PyTreeRestore(
            item=item, restore_args=ocp.checkpoint_utils.construct_restore_args(item), partial_restore=True)))
    return {path: jax.random.wrap_key_data(found[path], impl=arrays.implementation(specs[path])) if arrays.is_key(leaf)
            else found[path] for path, leaf in wanted.items()}


def cause(error):
    """One line that names what went wrong, out of messages that run to pages; the system's reason is at their end."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), '')
    line = re.sub(r' *\[(tensorstore_spec|source locations)=.*', '', line)
    line = line if isinstance(error, processes.PeerError) else f'{type(error).__name__}: {line}'
    return line if len(line) <= 250 else f'{line[:100]} ... {line[-140:]}'
