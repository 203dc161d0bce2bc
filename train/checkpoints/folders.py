"""The folders of a run's checkpoints, `STEP/`: which are complete, undamaged, best; `bad/` holds the damaged ones.

A step is complete once its manifest exists, so a save that was killed leaves no checkpoint. A damaged step is never deleted: it
is renamed (or marked with an object DAMAGED, where there is no rename). Needs no JAX.
"""
import atexit
import contextlib
import functools
import itertools
import json
import math
import os
import re
import shutil
import tempfile
from typing import Callable

from etils import epath

from data import atomic, places
from train.checkpoints import manifest
from train.parallel import processes
from train.settings import errors

HIGHER = ('accuracy', 'auc', 'f1', 'precision', 'recall', 'exact_match', 'bleu', 'rouge', 'mcc', 'pearson', 'spearman')
DAMAGED = 'DAMAGED'
MISREAD = re.compile(r'[*?\[\\]')             # Orbax finds its files by patterns; TensorStore takes \ for /


class NothingRestorable(Exception):
    """There are checkpoints, and all are damaged."""

    exit_code, kind = 4, 'restore'


def complete(folder: epath.PathLike) -> list[int]:
    """The complete steps, ascending. They may be damaged: `choose` checks them."""
    return sorted(int(entry.name) for entry in _steps(folder) if (entry / manifest.NAME).exists() and not (entry / DAMAGED).exists())


def higher_is_better(metric: str) -> bool:
    """Whether a metric is to be maximised: a part of its name is in HIGHER ('token_accuracy'). All others are minimised."""
    return re.search(rf'(^|[/_. -])({"|".join(HIGHER)})($|[/_. -])', metric.lower()) is not None


def best(folder: epath.PathLike, metric: str) -> int | None:
    """The complete step with the best finite meta['metrics'][metric] (the earliest of equals), or None."""
    sign = -1 if higher_is_better(metric) else 1
    values = {}
    for step in complete(folder):
        try:
            value = read_meta(epath.Path(folder) / str(step)).get('metrics', {}).get(metric)
        except (OSError, ValueError):         # a damaged step is reported when it is restored, not during a save
            continue
        if value is not None and math.isfinite(value):
            values[step] = sign * value
    return min(values, key=lambda step: (values[step], step), default=None)


def read_meta(target: epath.Path) -> dict:
    """The meta of a step's folder."""
    return json.loads((target / 'meta.json').read_text())


def newest_meta(folder: epath.PathLike) -> tuple[int | None, dict]:
    """(step, meta) of the newest complete step, whose arrays are not checked; (None, {}) if there is none, or its meta.json is damaged."""
    for step in complete(folder)[-1:]:
        target = epath.Path(folder) / str(step)
        with contextlib.suppress(OSError, ValueError):
            if manifest.intact(target, 'meta.json'):
                return step, read_meta(target)
    return None, {}


def choose(folder: epath.PathLike, notice: Callable[[str], None], only: int | None = None, move: bool = False) -> int | None:
    """The newest undamaged step (or `only`, if undamaged); None if there are no checkpoints; else NothingRestorable.

    notice(line) is called for each step that is skipped. With `move`, damaged steps are moved to bad/. Process 0 decides for all:
    the others read and move nothing, and get the same step or error.
    """
    step, bad = processes.lead('choose', lambda: _choose(epath.Path(folder), notice, only, move))
    if step is None and bad:
        raise NothingRestorable('\n'.join([
            f'none of the checkpoints in {folder} can be restored', *(f'  {line}' for line in bad),
            f'Put a good copy of one back as {folder}/STEP, or start anew with another --workdir.']))
    return step


def _choose(folder, notice, only, move):
    """[the step or None, a line for each step that is damaged]."""
    found = complete(folder)
    if only is not None:
        if only not in found:
            raise NothingRestorable(f'there is no checkpoint {only} in {folder}; expected one of {", ".join(map(str, found)) or "none"}')
        found = [only]
    for entry in _entries(folder) if only is None else ():
        whole = (entry / manifest.NAME).exists()
        if _is_step(entry) and int(entry.name) > max(found, default=-1) and not whole:
            notice(f'checkpoint {entry.name} was never finished (it has no {manifest.NAME}): ignored')
        elif whole and not _is_step(entry):
            notice(f'{errors.shown(entry.name)} holds a checkpoint under another name, not the number of its step: ignored')
    bad = [f'bad/{entry.name}: damaged, moved there earlier' for entry in _entries(folder / 'bad')]
    bad += [f'{entry.name}: damaged, marked earlier' for entry in _steps(folder) if (entry / DAMAGED).exists()]
    for step in reversed(found):
        problems = check(folder / str(step))
        if not problems:
            return [step, bad]
        where = f', {move_aside(folder / str(step), problems)}' if move else ''
        notice(f'checkpoint {step} is damaged{where}: {manifest.summary(problems)}')
        bad.insert(0, f'{step}: {manifest.summary(problems)}')
    return [None, bad]


def check(target: epath.Path) -> list[str]:
    """The problems of a step's folder, one line each: changed files, or another step inside than its name says."""
    problems = manifest.check(target)
    inside = problems or manifest.read(target)['extra']['step']
    return problems or [f'{manifest.NAME}: this is step {inside}'] * (str(inside) != target.name)


def absolute(folder: epath.PathLike) -> epath.Path:
    """The absolute path, which Orbax requires; a location such as gs://bucket/run is one already. errors.Error if a run cannot be there."""
    given, path, wrong = os.fspath(folder), None, None
    remote = '://' in given
    with contextlib.suppress(KeyError):       # epath knows no such scheme
        path = epath.Path(given if remote else os.path.abspath(os.path.expanduser(given)))
    if given != given.encode(errors='replace').decode():
        wrong = 'expected a name in UTF-8; rename it, or its folder.'
    elif path is None or remote != ('://' in os.fspath(path)):
        wrong = 'expected a local folder, or a location that begins with gs://, s3:// or az://.'
    elif remote and MISREAD.search(given):
        wrong = 'expected a location without *, ?, [ and \\, which Orbax would take for patterns. Choose another name.'
    elif unreachable := places.wrong(given):
        wrong = f'{unreachable}.'
    if wrong:
        raise errors.Error([errors.Problem(given, wrong)], kind='folder')
    return path


def for_orbax(target: epath.Path) -> epath.Path:
    """A path of a step's folder that Orbax reads as it is written: the same, or one through a symbolic link in a temporary folder.

    Otherwise the files of a step in `run[1]` or `a\\b` would not be found again, and those in `a*b` be mixed with those in `axb`.
    """
    return _linked(target.parent) / target.name if MISREAD.search(str(target)) else target


@functools.cache
def _linked(folder):
    temporary = tempfile.mkdtemp(prefix='pretext-', dir='/tmp' if MISREAD.search(tempfile.gettempdir()) else None)
    link = epath.Path(temporary) / 'checkpoints'
    os.symlink(folder, link)
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)  # deletes the link, not what it leads to
    return link


def split(folder: epath.PathLike) -> tuple[epath.Path, int | None]:
    """(folder of the steps, the step) of a workdir, its checkpoints/ (step None), or a step."""
    folder = absolute(folder)
    if (folder / manifest.NAME).exists():
        if not _is_step(folder):
            raise NothingRestorable(f'{folder} holds a checkpoint under another name; expected the number of its step')
        return folder.parent, int(folder.name)
    return (folder / 'checkpoints' if (folder / 'checkpoints').exists() else folder), None


def locate(folder: epath.PathLike, step: int | str | None = None, notice: Callable = print) -> epath.Path:
    """The folder of an undamaged step in `folder` (a workdir, its checkpoints/, or a step). step: None = the newest, a number, or
    'best'. Changes nothing there. NothingRestorable if there is none."""
    folder, only = split(folder)
    step = step if only is None else only
    if step == 'best':
        newest = complete(folder)[-1:]
        metric = newest and read_meta(folder / str(newest[0])).get('best')
        step = best(folder, metric) if metric else None
    chosen = choose(folder, notice, step)
    if chosen is None:
        raise NothingRestorable(f'there is no checkpoint in {folder}')
    return folder / str(chosen)


def move_aside(target: epath.Path, problems: list[str] | None = None) -> str:
    """Moves a step to bad/ under a free name; returns a description for the notice.

    Without rename a damaged step (`problems`) is only marked; it is copied to bad/ when the same step is saved again.
    """
    if problems and not atomic.local(target):
        atomic.write(target / DAMAGED, ('\n'.join(problems) + '\n').encode())
        return f'marked {DAMAGED}'
    free = _free(target)
    if atomic.local(target):
        target.rename(free)
    else:
        for name in [*manifest.listing(target), manifest.NAME]:
            (free / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).copy(free / name)
        remove(target)
    return f'moved to bad/{free.name}'


def unseal(target: epath.Path, problem: str) -> str:
    """Takes the manifest away from a step that is not what was to be saved, and moves it aside; returns a description."""
    (target / manifest.NAME).unlink(missing_ok=True)
    return move_aside(target, [problem])


def set_aside(file: epath.Path, data: bytes | None = None) -> str:
    """Writes what a damaged text file of a workdir holds to bad/ beside it, under a free name; returns 'bad/NAME'.

    data: its bytes; None = it cannot be read, as a folder in its place, and is moved.
    """
    free = _free(file)
    if data is None:
        file.rename(free)
    else:
        atomic.write(free, data)
    return f'bad/{free.name}'


def make_room(target: epath.Path) -> None:
    """Makes an empty folder for a step. A complete one, and what is no folder, moves to bad/; an unfinished one is deleted."""
    strange = atomic.local(target) and os.path.lexists(target) and (os.path.islink(target) or not os.path.isdir(target))
    if strange or (target / manifest.NAME).exists():
        move_aside(target)
    remove(target)
    target.mkdir(parents=True)


def remove(target: epath.Path) -> None:
    """Deletes a step, its manifest first, so that an interrupted deletion leaves no checkpoint. Errors are ignored."""
    with contextlib.suppress(OSError):
        (target / manifest.NAME).unlink(missing_ok=True)
        target.rmtree(missing_ok=True)


def prune(folder: epath.PathLike, keep: int | None, metric: str | None = None) -> None:
    """Deletes steps other than the newest `keep` complete ones (None = all) and the best by `metric`, incomplete ones included."""
    found = complete(folder)
    kept = {*(found[-keep:] if keep else found), *([best(folder, metric)] if metric else [])}
    for entry in _steps(folder):
        if int(entry.name) < found[-1] and int(entry.name) not in kept and not (entry / DAMAGED).exists():
            remove(entry)


def _free(target):
    """A path in bad/, which exists then, that nothing has: the target's name, or with a number."""
    bad = target.parent / 'bad'
    bad.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([target.name], (f'{target.name}.{n}' for n in itertools.count(2)))
    return next(bad / name for name in names if not (bad / name).exists())


def _entries(folder):
    folder = epath.Path(folder)
    return sorted(folder.iterdir(), key=lambda entry: entry.name) if folder.exists() else []


def _steps(folder):
    return [entry for entry in _entries(folder) if _is_step(entry)]


def _is_step(entry):
    """Whether the name is the number of a step as it is written: no 06, no ²."""
    return re.fullmatch('0|[1-9][0-9]*', entry.name) is not None
