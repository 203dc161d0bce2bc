"""Every setting that exists: the dataclasses that a config file resolves to. `docs/settings.md` lists them.

A field states its type, its range or choices (where it has them), its meaning and its default. A group's `problems()` yields
(config key, text) where its own settings contradict one another; what joins two groups is in `train/settings/checks.py`. A trailing
underscore stands for a Python keyword (`init.from` is the field `from_`). `objective` holds `name` and the fields of the dataclass in
`data/objectives/NAME.py`; of a mixture `members.NAME`, each with `name`, `weight` and the fields of that objective, so that what there is
to set follows from the names. A prefix here is that of an objective's keys: 'objective.', 'objective.members.NAME.'. Imports no JAX.
"""
import dataclasses
import functools
import os
import re
from typing import Annotated, Any, get_type_hints, Iterable, Iterator, Mapping

from data import objectives, places
from data.text import formats
from model import config as model_config
from train.settings import errors, reads

KINDS = ('unigram', 'bpe', 'wordpiece', 'bytes')
OPTIMIZERS = tuple(reads.choices('optimizer'))
SCHEDULES = tuple(reads.choices('schedules'))
DTYPES = ('float32', 'bfloat16')
FORMATS = tuple(formats.FORMATS)
DOCUMENTS = formats.DOCUMENTS
AXES = ('data', 'fsdp', 'tensor', 'context')  # of the mesh, outermost first


def regexes(key: str, patterns: Iterable, replace: str | None = None) -> Iterator[tuple[str, str]]:
    """(key, text) for the first of some regular expressions that is none; replace: pairs with a replacement."""
    for pattern in patterns:
        try:
            re.sub(*pattern, '') if replace else re.compile(pattern)
        except re.error as error:
            yield key, f'expected {replace or "regular expressions"}, got {pattern!r}: {error}.'


@dataclasses.dataclass(frozen=True)
class Data:
    train: Annotated[str, 'bundled:NAME | tfds:NAME:SPLIT | files, folders and globs, with commas between'] = 'bundled:novels'
    eval: Annotated[str | None, 'text to evaluate on, named like `train`; None = the last `eval_fraction` of `train`'] = None
    eval_fraction: Annotated[float, 'at least 0 and below 1', 'share of the characters of `train`, at its end, that is held out'] = 0.1
    format: Annotated[str | None, FORMATS, 'of files; None = by their endings, before .gz .xz .bz2 .zst'] = None
    documents: Annotated[str, DOCUMENTS, 'what a document of a text file is: blank_line = what is between blank lines'] = 'file'
    field: Annotated[str, 'column of rows; a.b = field b of column a'] = 'text'
    words: Annotated[str | None, ('jieba',), 'what finds the words of Chinese (extra `jieba`); None = each character is one'] = None
    cache: Annotated[str, 'tokenised documents, addressed by content'] = '~/.cache/pretext'
    threads: Annotated[int, 'at least 1', 'pipeline threads'] = 2
    prefetch: Annotated[int, 'at least 1', 'batches made ahead'] = 4


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    path: Annotated[str | None, 'files of Hugging Face, a .model, or what was trained here; None = trained on data.train'] = None
    kind: Annotated[str, KINDS, "unigram, bpe: SentencePiece's; wordpiece: BERT's, cased, loses spaces; bytes: no training"] = 'unigram'
    vocab_size: Annotated[int, 'at least 1', 'reserved ids included'] = 4096
    sample_bytes: Annotated[int, 'at least 0', 'text that training reads; 0 = all'] = 10_000_000


@dataclasses.dataclass(frozen=True)
class Optimizer:
    name: Annotated[str, OPTIMIZERS, 'of optax, chained in train/optimization/optimizer.py'] = 'adamw'
    learning_rate: Annotated[float, 'more than 0', 'its peak, after warm-up'] = 1e-3
    schedule: Annotated[str, SCHEDULES, 'of the learning rate: train/optimization/schedules.py'] = 'cosine'
    warmup: Annotated[int, 'at least 0', 'steps of linear warm-up'] = 0
    decay: Annotated[int | None, 'at least 1', 'wsd: its steps (a tenth); cosine: its end (steps); rsqrt: its start (warmup)'] = None
    cycle: Annotated[int | None, 'at least 1', 'cyclic: steps a cycle; None = steps / 4'] = None
    final: Annotated[float, '0 to 1', 'last learning rate / peak'] = 0.0
    weight_decay: Annotated[float, 'at least 0', 'decoupled: each step takes learning rate * this * w from w'] = 0.0
    no_decay: Annotated[tuple[str, ...], 'paths without weight decay'] = (r'bias$', r'scale$', r'norm', r'positions')
    multipliers: Annotated[tuple[tuple[str, float], ...], '(path regex, factor on the learning rate), first match wins'] = ()
    b1: Annotated[float, 'at least 0 and below 1', 'decay of the average of the gradient'] = 0.9
    b2: Annotated[float, 'at least 0 and below 1', 'decay of the average of its square'] = 0.999
    epsilon: Annotated[float, 'more than 0', 'added to the root of the average of squares'] = 1e-8
    momentum: Annotated[float, 'at least 0 and below 1', 'sgd, rmsprop; muon: 0 = 0.95'] = 0.0
    parameter_scale: Annotated[bool, 'adafactor: steps relative to the RMS of each parameter'] = True
    bias_correction: Annotated[bool, "False = BERT's Adam"] = True
    adam_learning_rate: Annotated[float | None, 'more than 0', 'muon: embeddings, head and vectors; None = learning_rate'] = None
    clip: Annotated[float | None, 'more than 0', 'largest global gradient norm; None = any'] = 1.0
    l1: Annotated[float, 'at least 0', 'penalty on |w|, in the gradient'] = 0.0
    l2: Annotated[float, 'at least 0', 'penalty on w^2 / 2, in the gradient (weight_decay is decoupled)'] = 0.0

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.name == 'adam' and self.weight_decay:
            yield 'optimizer.weight_decay', ('adam has no decoupled weight decay; use optimizer.name = adamw, '
                                             'or optimizer.l2 for a penalty in the gradient.')
        if self.schedule == 'cosine' and self.decay and self.decay <= self.warmup:
            yield 'optimizer.decay', f'expected more than optimizer.warmup = {self.warmup}: the step at which the cosine ends.'
        yield from regexes('optimizer.no_decay', self.no_decay)
        yield from regexes('optimizer.multipliers', [regex for regex, _ in self.multipliers])
        if any(factor < 0 for _, factor in self.multipliers):
            yield 'optimizer.multipliers', 'expected factors of at least 0.'


@dataclasses.dataclass(frozen=True)
class Loss:
    label_smoothing: Annotated[float, 'at least 0 and below 1', 'spread over the V - 1 wrong tokens (T5X)'] = 0.0
    z_loss: Annotated[float, 'at least 0', 'coefficient of log(Z)^2'] = 0.0


@dataclasses.dataclass(frozen=True)
class Mesh:
    data: Annotated[int | None, 'at least 1', 'devices that split the batch; None = devices / the other axes'] = None
    fsdp: Annotated[int, 'at least 1', 'devices that split the batch and hold a part of each parameter'] = 1
    tensor: Annotated[int, 'at least 1', 'devices that split heads, feed-forward layers and vocabulary'] = 1
    context: Annotated[int, 'at least 1', 'devices that split the sequence'] = 1
    rules: Annotated[tuple[tuple[str, Any], ...], '(path regex, partition spec), tried before the built-in table'] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from regexes('mesh.rules', [regex for regex, _ in self.rules])
        for pattern, spec in self.rules:
            for name in spec if isinstance(spec, tuple) else (spec,):
                for axis in name if isinstance(name, tuple) else (name,):
                    if axis is not None and axis not in AXES:
                        near = errors.did_you_mean(str(axis), AXES)
                        yield 'mesh.rules', f'{pattern!r} names the axis {axis!r}; expected None, {errors.one_of(AXES)}.{near}'


@dataclasses.dataclass(frozen=True)
class Init:
    from_: Annotated[str | None, 'workdir or checkpoint folder to start from'] = None
    paths: Annotated[tuple[str, ...], 'regexes of the parameters to take'] = ('.*',)
    rename: Annotated[tuple[tuple[str, str], ...], '(regex, replacement): what the paths taken are called here'] = ()
    optimizer: Annotated[bool, 'a branch of that run: with its optimizer statistics, step and position in the data'] = False

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from regexes('init.paths', self.paths)
        yield from regexes('init.rename', self.rename, '(regular expression, replacement) pairs')
        if wrong := self.from_ and places.wrong(self.from_):
            yield 'init.from', f'{wrong}.'
        elif self.from_ and '://' not in self.from_ and not os.path.exists(os.path.expanduser(self.from_)):
            yield 'init.from', 'no such folder; expected the workdir or the checkpoint of another run.'


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    every: Annotated[int, 'at least 0', 'steps between checkpoints; 0 = only at the end'] = 1000
    keep: Annotated[int, 'at least 1', 'how many of the newest are kept'] = 3
    best: Annotated[str | None, 'also keep the best by this metric, e.g. eval/loss'] = None
    asynchronous: Annotated[bool, 'write while training goes on'] = True


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    metric: Annotated[str | None, 'e.g. eval/loss (lower is better); None = off'] = None
    patience: Annotated[int, 'at least 1', 'evaluations without improvement'] = 5
    min_delta: Annotated[float, 'at least 0', 'a smaller improvement counts as none'] = 0.0


@dataclasses.dataclass(frozen=True)
class Sample:
    prompts: Annotated[tuple[str, ...], 'texts that a decoder continues'] = ('',)
    max_new_tokens: Annotated[int, 'at least 1', 'tokens of a continuation'] = 64
    temperature: Annotated[float, 'at least 0', 'divides the logits; 0 = the likeliest token'] = 0.8
    top_k: Annotated[int, 'at least 0', 'draw from the k likeliest tokens; 0 = from all'] = 0
    top_p: Annotated[float, 'more than 0 and at most 1', 'draw from the likeliest tokens with this probability together'] = 1.0


@dataclasses.dataclass(frozen=True)
class Config:
    steps: Annotated[int | None, 'at least 1', 'optimizer steps; set this or `epochs`'] = None
    epochs: Annotated[float | None, 'more than 0', 'passes over the training examples'] = None
    seed: Annotated[int, '0 to 4294967295', 'of parameters, data order, corruption and dropout'] = 0
    batch_size: Annotated[int, 'at least 1', 'rows of a step, on all devices together'] = 32
    sequence_length: Annotated[int, 'at least 1', 'tokens of a row'] = 64
    accumulation: Annotated[int, 'at least 1', 'microbatches a step'] = 1
    dtype: Annotated[str, DTYPES, 'of the computation; parameters are float32'] = 'float32'
    log_every: Annotated[int, 'at least 1', 'steps between lines of metrics'] = 10
    eval_every: Annotated[int, 'at least 0', 'steps between evaluations; 0 = only at the end'] = 0
    eval_batches: Annotated[int | None, 'at least 1', 'batches of an evaluation; None = all of the split'] = None
    sample_every: Annotated[int, 'at least 0', 'steps between samples; 0 = only at the end'] = 0
    ema: Annotated[float | None, 'more than 0 and below 1', 'decay of a moving average of the weights, for evaluation; None = off'] = None
    overfit_one_batch: Annotated[bool, 'trains on the first batch again and again, to see whether the loss falls to 0'] = False
    tensorboard: Annotated[bool, 'also write the metrics for TensorBoard (extra `tensorboard`)'] = False
    objective: Any = None                     # name and fields of data/objectives/NAME.py
    model: model_config.Config = model_config.Config()
    data: Data = Data()
    tokenizer: Tokenizer = Tokenizer()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    mesh: Mesh = Mesh()
    init: Init = Init()
    checkpoint: Checkpoint = Checkpoint()
    early_stopping: EarlyStopping = EarlyStopping()
    sample: Sample = Sample()


# Fields that an objective may have and nobody sets: {field of the Objective: the setting that it follows}.
FOLLOWS = {'sequence_length': 'sequence_length', 'batch_size': 'batch_size', 'architecture': 'model.architecture'}
ROUNDING = (r'model\.(attention|unroll|remat)',)         # the same function, computed in another order
MAY_CHANGE_ON_RESUME = (r'steps', r'epochs', r'mesh\..*', r'log_every', r'eval_every', r'eval_batches', r'sample_every',
                        r'sample\..*', r'checkpoint\..*', r'data\.(cache|threads|prefetch)', r'tensorboard', *ROUNDING)


def external(key: str) -> str:
    """A field or a dotted key as users write it: `init.from_` is `init.from`."""
    return re.sub(r'_+(?=\.|$)', '', key)


@functools.cache
def kinds(group: type = Config, prefix: str = '') -> dict[str, Any]:
    """{dotted key: annotation} of every setting but those of the objective and of members, which have dataclasses of their own (Any)."""
    found, types = {}, get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        key, kind = prefix + external(field.name), types[field.name]
        if dataclasses.is_dataclass(kind):
            found.update(kinds(kind, key + '.'))
        elif kind is not Any:
            found[key] = kind
    return found


def build(group: type, found: dict[str, Any], parts: Mapping[str, type] = {}, prefix: str = '') -> Any:
    """The dataclass `group` from {dotted key: value}; a key that is missing keeps its default.

    parts: {prefix: class} of the objective and its members.
    """
    given = {}
    for field in dataclasses.fields(group):
        key = prefix + external(field.name)
        if dataclasses.is_dataclass(field.default) or key + '.' in parts:
            given[field.name] = build(parts.get(key + '.') or type(field.default), found, parts, key + '.')
        elif field.name == 'members':             # of a mixture
            from data.objectives import mixture  # here, not above: --help does without numpy
            inner = {part: part[:-1].rpartition('.') for part in parts}
            given['members'] = tuple(mixture.Member(name, build(parts[part], found, parts, part), found.get(part + 'weight', 1.0))
                                     for part, (above, _, name) in inner.items() if above == key)
        elif key in found:
            given[field.name] = found[key]
    return group(**given)


def values(config: Any, prefix: str = '') -> dict[str, Any]:
    """{dotted key: value} of a Config, groups left out, in the order of the schema; the objective's name and fields included."""
    found = {}
    for field in dataclasses.fields(config):
        key, value = prefix + external(field.name), getattr(config, field.name)
        if key == 'objective':
            found['objective.name'] = value and value.name
        if dataclasses.is_dataclass(value):
            found.update(values(value, key + '.'))
        elif field.name == 'members':
            for member in value:
                inner = f'{key}.{member.name}.'
                found.update({inner + 'name': member.objective.name, inner + 'weight': member.weight, **values(member.objective, inner)})
        elif key != 'objective':
            found[key] = value
    return found


def walk(objective: Any, prefix: str = 'objective.') -> dict[str, Any]:
    """{prefix: Objective} of an objective and its members; {} for None."""
    found = {} if objective is None else {prefix: objective}
    for member in objective and objective.members or ():
        found.update(walk(member.objective, f'{prefix}members.{member.name}.'))
    return found


def settings(parts: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: annotation} of every setting, with those of {prefix: Objective class or instance, or None}."""
    name = Annotated[str, tuple(objectives.names()), 'of a file in data/objectives']
    found = {**kinds(), 'objective.name': name}
    for prefix, part in parts.items():
        found.update({prefix + 'name': name} | ({prefix + 'weight': float} if prefix != 'objective.' else {}))
        fields = kinds(part if isinstance(part, type) else type(part), prefix) if part else {}
        found.update({key: kind for key, kind in fields.items() if key.rpartition('.')[2] not in FOLLOWS})
    return found
