"""Every setting that exists, its type and its default: the dataclasses that a config file resolves to.

A config file (`configs/X.py`) states only the values it cares about; `train/settings/parse.py` lays them over these defaults,
checks everything at once and freezes the result. A trailing underscore stands for a Python keyword
(`init.from` is the field `from_`). `model` is `model.config.Config`; `objective` holds `name` and the fields of the
dataclass in `data/objectives/NAME.py`. Imports no JAX.
"""
import dataclasses
import typing
from typing import Any, Optional, Tuple

from model import config as model_config

KINDS = ('unigram', 'bpe', 'bytes')
OPTIMIZERS = ('adamw', 'adam', 'adafactor', 'lamb', 'lion', 'muon', 'sgd', 'adagrad', 'rmsprop')
SCHEDULES = ('constant', 'linear', 'linear_bert', 'linear_electra', 'cosine', 'rsqrt', 'wsd', 'cyclic')
STRETCHED = ('linear', 'linear_bert', 'linear_electra', 'cosine', 'wsd', 'cyclic')  # those whose shape depends on `steps`
DTYPES = ('float32', 'bfloat16')
AXES = ('data', 'fsdp', 'tensor', 'context')  # of the mesh, outermost first


@dataclasses.dataclass(frozen=True)
class Data:
    train: str = 'bundled:novels'             # bundled:NAME | file or glob (.txt .jsonl .parquet) | tfds:NAME:SPLIT
    eval: Optional[str] = None                # the same; None = the last `eval_fraction` of the characters of `train`
    eval_fraction: float = 0.1
    field: str = 'text'                       # column of JSONL, parquet and TFDS rows
    cache: str = '~/.cache/pretext'           # tokenised documents, addressed by content
    threads: int = 2                          # pipeline threads
    prefetch: int = 4                         # batches made ahead


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    path: Optional[str] = None                # files of Hugging Face, a .model, or what was trained here; None = trained on data.train
    kind: str = 'unigram'                     # unigram | bpe (SentencePiece) | bytes (needs no training)
    vocab_size: int = 4096                    # reserved ids included
    sample_bytes: int = 10_000_000            # text that training reads; 0 = all


@dataclasses.dataclass(frozen=True)
class Optimizer:
    name: str = 'adamw'                       # adamw adam adafactor lamb lion muon sgd adagrad rmsprop
    learning_rate: float = 1e-3
    schedule: str = 'cosine'                  # constant linear linear_bert linear_electra cosine rsqrt wsd cyclic
    warmup: int = 0                           # steps of linear warm-up
    decay: Optional[int] = None               # wsd: steps of final decay, None = a tenth; rsqrt: start, None = warmup;
                                              # cosine: the step at which it ends, None = steps
    cycle: Optional[int] = None               # cyclic: steps a cycle; None = steps / 4
    final: float = 0.0                        # last learning rate / peak
    weight_decay: float = 0.0
    no_decay: Tuple[str, ...] = (r'bias$', r'scale$', r'norm', r'positions')  # paths without weight decay
    multipliers: Tuple[Tuple[str, float], ...] = ()  # (path regex, factor on the learning rate), first match wins
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    momentum: float = 0.0                     # sgd, rmsprop; muon: 0 = 0.95
    parameter_scale: bool = True              # adafactor: steps relative to the RMS of each parameter
    bias_correction: bool = True              # False = BERT's Adam
    adam_learning_rate: Optional[float] = None  # muon: embeddings, head and vectors; None = learning_rate
    clip: Optional[float] = 1.0               # global gradient norm
    l1: float = 0.0                           # penalty on |w|, in the gradient
    l2: float = 0.0                           # penalty on w^2 / 2, in the gradient (weight_decay is decoupled)


@dataclasses.dataclass(frozen=True)
class Loss:
    label_smoothing: float = 0.0              # spread over the V - 1 wrong tokens (T5X)
    z_loss: float = 0.0                       # coefficient of log(Z)^2


@dataclasses.dataclass(frozen=True)
class Mesh:
    data: Optional[int] = None                # None = devices / the other axes
    fsdp: int = 1
    tensor: int = 1
    context: int = 1
    rules: Tuple[Tuple[str, Any], ...] = ()   # (path regex, partition spec), tried before the built-in table


@dataclasses.dataclass(frozen=True)
class Init:
    from_: Optional[str] = None               # workdir or checkpoint folder to start from
    paths: Tuple[str, ...] = ('.*',)          # regexes of the parameters to take
    rename: Tuple[Tuple[str, str], ...] = ()  # (regex, replacement): what the paths taken are called here


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    every: int = 1000
    keep: int = 3                             # newest kept
    best: Optional[str] = None                # also keep the best by this metric, e.g. eval/loss
    asynchronous: bool = True


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    metric: Optional[str] = None              # e.g. eval/loss (lower is better); None = off
    patience: int = 5                         # evaluations without improvement
    min_delta: float = 0.0


@dataclasses.dataclass(frozen=True)
class Sample:
    prompts: Tuple[str, ...] = ('',)
    max_new_tokens: int = 64
    temperature: float = 0.8
    top_k: int = 0                            # 0 = off
    top_p: float = 1.0


@dataclasses.dataclass(frozen=True)
class Config:
    steps: Optional[int] = None               # optimizer steps; or:
    epochs: Optional[float] = None            # passes over the training examples
    seed: int = 0
    batch_size: int = 32                      # global, in rows
    sequence_length: int = 64
    accumulation: int = 1                     # microbatches a step
    dtype: str = 'float32'                    # compute: float32 | bfloat16 (parameters are float32)
    log_every: int = 10
    eval_every: int = 0                       # 0 = only at the end
    eval_batches: Optional[int] = None        # None = the whole evaluation split
    sample_every: int = 0                     # 0 = only at the end
    ema: Optional[float] = None               # decay of the moving average of the weights, evaluated instead of them
    overfit_one_batch: bool = False           # sanity switch: the first batch again and again
    tensorboard: bool = False
    objective: Any = None                     # name + fields of data/objectives/NAME.py
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
MAY_CHANGE_ON_RESUME = (r'steps', r'epochs', r'mesh\..*', r'log_every', r'eval_every', r'eval_batches', r'sample_every',
                        r'sample\..*', r'checkpoint\..*', r'data\.(cache|threads|prefetch)', r'tensorboard')


def external(name):
    """The name of a field as users write it: `from_` is `from`."""
    return name.rstrip('_')


def objective_name(objective):
    """The name of an Objective (class or instance): that of the file in data/objectives/ that defines it."""
    kind = objective if isinstance(objective, type) else type(objective)
    return kind.__module__.rpartition('.')[2]


def kinds(group=Config, prefix=''):
    """{dotted key: type} of every setting but those of the objective and of members, which come from their own dataclasses (Any)."""
    found, types = {}, typing.get_type_hints(group)
    for field in dataclasses.fields(group):
        key, kind = prefix + external(field.name), types[field.name]
        if dataclasses.is_dataclass(kind):
            found.update(kinds(kind, key + '.'))
        elif kind is not Any:
            found[key] = kind
    return found


def build(group, found, prefix=''):
    """The dataclass `group` from {dotted key: value}; a key that is missing keeps its default."""
    types, given = typing.get_type_hints(group), {}
    for field in dataclasses.fields(group):
        key, kind = prefix + external(field.name), types[field.name]
        if dataclasses.is_dataclass(kind):
            given[field.name] = build(kind, found, key + '.')
        elif key in found:
            given[field.name] = found[key]
    return group(**given)


def values(config, prefix=''):
    """{dotted key: value} of a Config, leaves only, in the order of the schema; the objective's fields included."""
    found = {}
    for field in dataclasses.fields(config):
        key, value = prefix + external(field.name), getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found.update(values(value, key + '.'))
        elif field.name == 'members':             # of a mixture (data/rows/mixture.py)
            for member in value:
                inner = f'{key}.{member.name}.'
                found.update({inner + 'name': objective_name(member.objective), inner + 'weight': member.weight})
                found.update(values(member.objective, inner))
        elif key != 'objective':
            found[key] = value
    return found
