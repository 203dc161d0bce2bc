"""Verified checkpoints: `STEP/` holds Orbax's arrays (`state/`), `meta.json` and, written last, `manifest.json`.

Orbax writes the arrays asynchronously; a background thread then hashes the files, writes the manifest, reads everything
back and deletes old steps. `restore` takes the newest step whose files are all as they were written. Arrays are stored by path
and independent of their sharding: any mesh and any number of processes restores them, bit by bit. Several processes share one
folder: each saves its shards; process 0 makes the decisions, writes the manifest and tells the others (parallel/processes.py).
"""
import concurrent.futures
import contextlib
import functools
import itertools
import re
from typing import Any, Callable

from etils import epath
import jax

from model import paths
from train.checkpoints import arrays, folders, manifest
from train.parallel import processes

NothingRestorable, Mismatch, fingerprint = folders.NothingRestorable, arrays.Mismatch, arrays.fingerprint


class SaveError(Exception):
    """A checkpoint could not be written; earlier ones are intact."""

    exit_code, kind = 6, 'save'


class NotFinite(SaveError):
    """The state holds NaN or infinity; it is not saved, so that the newest checkpoint stays usable."""

    exit_code, kind = 5, 'diverged'


class Checkpoints(contextlib.AbstractContextManager):
    """The checkpoints of one run. All processes make the same calls in the same order.

    folder: WORKDIR/checkpoints. keep: number of the newest steps that are kept (None = all). best: a metric; the step with the best
    meta['metrics'][best] is kept too (the lowest, unless folders.higher_is_better). Use `with`, or `close()` at the end: a save
    in progress ends with the interpreter.
    """

    def __init__(self, folder: epath.PathLike, keep: int | None = 3, best: str | None = None, asynchronous: bool = True):
        self.folder, self.keep, self.best, self.asynchronous = folders.absolute(folder), keep, best, asynchronous
        self._known = set()                   # steps of this run: those it saved, and the one it resumed from
        self._background, self._saving = concurrent.futures.ThreadPoolExecutor(1, 'checkpoint'), None

    @functools.cached_property
    def _orbax(self):
        return arrays.orbax().AsyncCheckpointer(arrays.orbax().PyTreeCheckpointHandler(), timeout_secs=600)

    def save(self, step: int, state: Any, meta: dict) -> None:
        """Saves `state` (any pytree) and `meta` (JSON: examples, config, tokenizer, vocab_size, metrics, ...).

        Returns as soon as the arrays may be donated; first waits for a save in progress, and raises its SaveError.
        A step that this run has saved already, or resumed from, is not written again. NotFinite if any of it is NaN or infinite.
        """
        self.wait()
        if step in self._known:
            return
        leaves = paths.flatten(state)
        specs, (expected, bad) = {path: arrays.spec(leaf) for path, leaf in leaves.items()}, arrays.digests(leaves)
        if bad := list(dict.fromkeys(itertools.chain(*processes.each(f'finite/{step}', lambda: bad)))):
            raise NotFinite(f'step {step} was not saved: NaN or infinity in {paths.listed(bad)}')
        try:
            processes.lead(f'prepare/{step}', lambda: folders.make_room(self._at(step)))
            plain = paths.unflatten({path: arrays.plain(leaf) for path, leaf in leaves.items()})
            self._orbax.save(folders.for_orbax(self._at(step)) / 'state', args=arrays.orbax().args.PyTreeSave(plain))
        except Exception as error:
            raise self._failed(step, error) from error
        self._saving = self._background.submit(self._finish, step, meta, specs, expected)
        if not self.asynchronous:
            self.wait()

    def wait(self) -> None:
        """Waits for a save in progress; raises its SaveError."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Waits for the last save (raising its SaveError) and ends Orbax's threads."""
        try:
            self.wait()
        finally:
            if '_orbax' in self.__dict__:
                with contextlib.suppress(Exception):  # it raises once more what failed the save, in other words
                    self.__dict__.pop('_orbax').close()

    def __exit__(self, *_):
        self.close()

    def restore(self, abstract_state: Any, notice: Callable = print) -> tuple | None:
        """(state, meta) of the newest undamaged step, or None if nothing was ever saved.

        abstract_state: the state as ShapeDtypeStructs with shardings (none = the first device). Damaged steps are moved
        to bad/ with a line to `notice`. NothingRestorable if all steps are damaged; Mismatch if the undamaged one does not fit.
        """
        self.wait()
        step = folders.choose(self.folder, notice, move=True)
        if step is None:
            return None
        found = read(self._at(step), abstract_state)
        self._known = {step}
        return found

    def verify(self, step: int, state: Any) -> str:
        """Reads a step back, compares it with `state` bit by bit and returns the fingerprint: for the last save."""
        self.wait()
        leaves, found = paths.flatten(state), {}
        expected = fingerprint(leaves)

        def unread():
            try:
                found.update(arrays.read(self._at(step), leaves))
            except ValueError as error:       # damaged so that it cannot be decoded
                return arrays.reason(error)

        try:
            if text := next(filter(None, processes.each(f'verify/{step}', unread)), None):
                raise manifest.Different(text)
            if (other := fingerprint(found)) != expected:
                raise manifest.Different(f'sha256 {other[:12]} instead of {expected[:12]}')
        except Exception as error:
            raise self._failed(step, error) from error
        return expected

    def _at(self, step):
        return self.folder / str(step)

    def _finish(self, step, meta, specs, expected):
        """Completes a save in the background thread: what each process wrote is read back before process 0 seals the step."""
        def unlike():
            self._orbax.wait_until_finished()
            return arrays.unlike(self._at(step), expected)

        def seal():
            arrays.finish(self._at(step), step, meta, specs, self.best)
            folders.prune(self.folder, self.keep, self.best)

        try:
            if different := sorted(set(itertools.chain(*processes.each(f'unlike/{step}', unlike)))):
                raise manifest.Different(paths.listed(different))
            processes.lead(f'seal/{step}', seal)
        except Exception as error:
            raise self._failed(step, error) from error
        self._known.add(step)

    def _failed(self, step, error):
        """The SaveError for a failed save or verification.

        Deletes an incomplete step, because a full disk needs the space; one that differs from the state goes to bad/ without a manifest.
        """
        self._known.discard(step)
        different = isinstance(error, manifest.Different)
        text = f'cannot save step {step} in {self.folder}: {arrays.reason(error)}'
        if different:
            text = f'step {step} in {self.folder} does not read back as it was saved: {error}'
        try:
            if processes.rank() == 0 and different:
                text += f'; {folders.unseal(self._at(step), str(error))}'
            elif processes.rank() == 0 and not (self._at(step) / manifest.NAME).exists():
                folders.remove(self._at(step))
            before = [other for other in folders.complete(self.folder) if other != step]
        except OSError:
            before = []
        intact = f'step {before[-1]} is intact' if before else 'there is no earlier checkpoint'
        return SaveError(f'{text}; {intact}')


def read(target: epath.Path, abstract_state: Any) -> tuple[Any, dict]:
    """(state, meta) of the folder of a step. abstract_state: as in `Checkpoints.restore`. Mismatch if it does not fit."""
    wanted = paths.flatten(abstract_state)
    arrays.compare(arrays.specs(target), {path: arrays.spec(leaf) for path, leaf in wanted.items()}, target)
    found = arrays.read(target, wanted)
    return paths.apply(lambda path, _: found[path], abstract_state), folders.read_meta(target)


def load_params(folder: epath.PathLike, like: Any = None, patterns: tuple[str, ...] = ('.*',), step: int | str | None = None,
                what: str = 'params', notice: Callable = print, rename: tuple = ()) -> tuple[dict, dict]:
    """(parameters, meta) of a checkpoint from any machine: nested dicts of the paths in which a pattern is found (re.search).

    folder, step: as in folders.locate. like: (abstract) parameters with the same paths and shapes, whose shardings the result gets;
    None = the first device. what: 'params' or 'ema', the trained parameters or their moving average; frozen parameters come with
    both. rename: (regex, replacement) pairs, applied in turn to the stored paths to give those of `like`.
    """
    source = folders.locate(folder, step, notice)
    specs = arrays.specs(source)
    stored_at = _stored_at(specs, what)
    taken = [path for path in stored_at if any(re.search(pattern, path) for pattern in patterns)]
    if not taken:
        raise Mismatch(f'{source}: nothing in {what} matches {", ".join(patterns)}; it holds {paths.listed(sorted(stored_at)) or "none"}')
    origin = {functools.reduce(lambda name, row: re.sub(*row, name), rename, path): stored_at[path] for path in taken}
    if len(origin) < len(taken):
        raise Mismatch(f'{source}: two parameters get one name by {", ".join(map(repr, rename))}; take fewer of them')
    targets = {path: jax.ShapeDtypeStruct(*reversed(arrays.parse(specs[at]))) for path, at in origin.items()}
    if like is not None:
        targets = {path: leaf for path, leaf in paths.flatten(like).items() if path in origin}
        arrays.compare({f'params/{path}': specs[at] for path, at in origin.items()},
                       {f'params/{path}': arrays.spec(leaf) for path, leaf in targets.items()}, source)
    found = arrays.read(source, {origin[path]: leaf for path, leaf in targets.items()})
    return paths.unflatten({path: found[at] for path, at in origin.items()}), folders.read_meta(source)


def stored(folder: epath.PathLike, what: str = 'params') -> dict[str, str]:
    """{path: 'float32[2, 64]'} of the parameters in the newest checkpoint of a workdir, or in a step; its bytes are not checked. {} if
    there is none to read. what: as in `load_params`."""
    folder, step = folders.split(folder)
    steps = folders.complete(folder)[-1:] if step is None else [step]
    try:
        specs = arrays.specs(folder / str(steps[0])) if steps else {}
    except (OSError, ValueError):             # damaged: loading it is the error
        specs = {}
    return {path: specs[at] for path, at in _stored_at(specs, what).items()}


def _stored_at(specs, what):
    """{path of a parameter: its path in the checkpoint}, below `what` or `frozen`."""
    return {at.partition('/')[2]: at for at in specs if at.partition('/')[0] in (what, 'frozen')}
