"""What settings of two groups must be beside one another: warm-up and steps, an objective and the architecture, ...

Every check yields (key, text): what was expected and what to change; `train/settings/parse.py` adds the value and
who set it. No JAX: these run before it is imported. The mesh has its own file, `train/settings/fits.py`.
"""
import dataclasses
import importlib.util
from typing import Any, Callable, Iterable, Iterator

from model import positions as schemes
from train.settings import errors, schema

Found = Iterator[tuple[str, str]]             # (key, what is wrong)


class Reported(Exception):
    """A check has read a value that is already reported as wrong; it ends there."""


def guarded(group: Any, bad: set[str], prefix: str = '') -> Any:
    """A copy of a Config, or of a group of it, that raises Reported when a value of the keys `bad` is read, in its own methods too."""
    def read(self, name):
        key = prefix + schema.external(name)
        if key in bad or key == 'objective' and any(k.startswith('objective.') or k in schema.FOLLOWS.values() for k in bad):
            raise Reported
        return object.__getattribute__(self, name)

    made = object.__new__(type('Guarded', (type(group),), {'__getattribute__': read}))
    for name, value in vars(group).items():
        inside = dataclasses.is_dataclass(value) and name != 'objective'
        vars(made)[name] = guarded(value, bad, f'{prefix}{name}.') if inside else value
    return made


def length(config: schema.Config) -> Found:
    if bool(config.steps) == bool(config.epochs):
        key = 'epochs' if config.epochs else 'steps'
        both = f'steps = {config.steps} is set too, expected one of them; unset the other, such as --config.steps=None.'
        yield key, both if config.epochs else 'expected steps or epochs; set one, such as --config.steps=1000.'


def positions(config: schema.Config) -> Found:
    if schemes.of(config.model).limit and longest(config) > config.model.limit:
        yield 'model.max_length', f'expected at least {longest(config)} for sequence_length = {config.sequence_length}.'


def sentence_types(config: schema.Config) -> Found:
    """A table of types has a row for each of those of the objective: ids past its end have no embedding."""
    for prefix, part in schema.walk(config.objective).items():
        if 0 < config.model.types < part.types:
            yield 'model.types', (f'{prefix}name = {part.name} tells {part.types} types apart; '
                                  f'expected at least {part.types}, or 0 for none.')


def longest(config: schema.Config) -> int:
    """The most tokens that a stack of the model reads in a row."""
    return max([config.sequence_length, *lengths(config).values()])


def lengths(config: schema.Config) -> dict[str, int]:
    """{'tokens': ..., 'encoder_tokens': ...} of the batch; {} for an objective whose settings are wrong."""
    if config.objective is None or config.objective.problems():
        return {}
    return {name: size for name, size in config.objective.lengths().items() if name in ('tokens', 'encoder_tokens')}


def vocabulary(config: schema.Config) -> Found:
    size, settings = config.model.vocab_size, config.tokenizer
    if size and not settings.path and settings.kind != 'bytes' and size < settings.vocab_size:
        yield 'model.vocab_size', f'expected at least tokenizer.vocab_size = {settings.vocab_size}; None takes that.'


def objective(config: schema.Config) -> Found:
    if config.objective is not None:
        yield from config.objective.problems()
    if config.objective is not None and config.model.architecture not in config.objective.architectures:
        name = config.objective.name
        yield 'model.architecture', f'objective.name = {name} needs {errors.one_of(config.objective.architectures)}.'


def streams(config: schema.Config) -> Found:
    """Positions of a row count from the start of its text: absolute ones cannot tell a memory or a text read backwards."""
    scheme = config.model.positions
    if schemes.of(config.model).absolute:
        for prefix, part in schema.walk(config.objective).items():
            if part.memory_length:
                yield f'{prefix}memory_length', (f'model.positions = {scheme} are absolute, what is remembered lies before a row; '
                                                 'expected 0, or model.positions = xl.')
            if part.backwards:
                yield prefix + part.backwards, (f'model.positions = {scheme} are absolute, rows that are read backwards have negative '
                                                'ones; expected forward, or model.positions = xl.')


def schedule(config: schema.Config) -> Found:
    optimizer, steps = config.optimizer, config.steps
    if not steps:
        return
    if optimizer.warmup > steps:
        yield 'optimizer.warmup', f'expected at most steps = {steps}.'
    elif optimizer.schedule == 'wsd' and optimizer.decay and optimizer.warmup + optimizer.decay > steps:
        yield 'optimizer.decay', (f'optimizer.warmup + optimizer.decay = {optimizer.warmup} + {optimizer.decay} steps, '
                                  f'more than steps = {steps}; expected at most {steps - optimizer.warmup}.')
    elif optimizer.schedule == 'cyclic' and optimizer.cycle and optimizer.cycle > steps:
        yield 'optimizer.cycle', f'expected at most steps = {steps}.'


def evaluation(config: schema.Config) -> Found:
    metrics = {'checkpoint.best': config.checkpoint.best, 'early_stopping.metric': config.early_stopping.metric}
    for key, metric in ((key, metric) for key, metric in metrics.items() if metric is not None):
        if not metric.startswith('eval/'):
            yield key, 'expected a metric of the evaluation, such as eval/loss.'
        if not config.eval_every:
            yield key, 'expected evaluations on the way, got eval_every = 0; set it, such as --config.eval_every=100.'
    if config.eval_every and not config.data.eval and not config.data.eval_fraction:
        yield 'eval_every', 'nothing to evaluate on: set data.eval, or data.eval_fraction above 0.'


def packages(config: schema.Config) -> Found:
    if config.tensorboard and not importlib.util.find_spec('tensorboardX'):
        yield 'tensorboard', "needs the package tensorboardX: pip install -e '.[tensorboard]'."


GROUPS = ('model', 'optimizer', 'mesh', 'init')
CHECKS = (positions, sentence_types, vocabulary, objective, streams, schedule, evaluation, packages)


def together(config: schema.Config, bad: Iterable[str] = (), *more: Callable) -> list[tuple[str, str]]:
    """[(key, text)] for every disagreement between values, and of the checks `more`; what depends on a key in `bad` is left out."""
    found, seen = [], guarded(config, {*bad})
    for check in (length, *(lambda config, name=name: getattr(config, name).problems() for name in GROUPS), *CHECKS, *more):
        try:
            for problem in check(seen):
                found.append(problem)
        except Reported:
            pass
    return found
