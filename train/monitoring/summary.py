"""What a report says of runs: how far they are, what they cost, what they reached, and how their settings differ."""
import dataclasses
import json
import os
from typing import Any

from etils import epath

from train.checkpoints import folders
from train.monitoring import loss_terms, metrics
from train.settings import config_file, errors, json_file, parse, values

SPLITS = ('train', 'eval')
RESULTS = ('train/loss', 'eval/loss', 'eval/bits_per_byte', 'tokens_per_second')


@dataclasses.dataclass
class Run:
    """A workdir, read. config, default: {dotted key: JSON text}; last: the newest number of each name."""
    name: str
    records: list[dict]
    samples: list[dict]
    config: dict[str, str]
    default: dict[str, str]
    environment: dict[str, Any]
    terms: loss_terms.Terms
    parameters: int | None
    last: dict[str, float]
    status: str                               # 'step 40 of 100, unfinished'
    tokens: int | None                        # padding counted
    seconds: float | None                     # of all processes that trained it, one after the other
    notes: list[str]                          # what is damaged

    @property
    def changed(self) -> dict[str, str]:
        """The settings that differ from their defaults."""
        return {key: value for key, value in self.config.items() if value != self.default.get(key)}

    @property
    def equations(self) -> str:
        """'train/loss = generator 4.96 + 50 × discriminator 0.26 · eval/loss = ...' of the newest lines; '' for a loss of one term."""
        texts = {split: self.terms.equation(self.last, split) for split in SPLITS}
        return ' · '.join(f'{split}/loss = {text}' for split, text in texts.items() if text)


def runs(workdirs: list[epath.PathLike]) -> list[Run]:
    """The runs in some folders, under names that differ: the last part of each path, or more of it."""
    paths = [os.fspath(folder).rstrip('/') for folder in workdirs]
    names = [path.rpartition('/')[2] or path for path in paths]
    return [_run(epath.Path(path), name if names.count(name) == 1 else path) for path, name in zip(paths, names)]


def _run(folder, name):
    notes = []
    records, environment = metrics.read(folder, notice=notes.append), _environment(folder / 'environment.json', notes)
    samples = [{'prompt': '', 'text': '', **sample} for sample in metrics.read(folder, 'samples.jsonl', notes.append)]
    tree, last = _config(folder / 'config.json'), {}
    for record in records:
        last |= {key: value for key, value in record.items() if isinstance(value, (int, float))}
    scales, tokens, parameters = (environment.pop(name, None) for name in ('loss', 'perplexity_of', 'parameters'))
    known = isinstance(scales, dict) and all(isinstance(scale, (int, float)) for scale in scales.values())
    terms = loss_terms.Terms(scales, tokens) if known else loss_terms.Terms()
    try:
        config = parse.from_dict(tree)
        default = {key: values.to_json(value) for key, value in parse.defaults(config).items()}
        lengths = config.objective.lengths()
        row = config.batch_size * (lengths['tokens'] + lengths.get('encoder_tokens', 0))
    except errors.Error as error:             # of another state of the code
        default, row = {}, None
        notes.append(f'config.json has settings of another version: {error.problems[0].subject}')
    step = last.get('step', 0)
    return Run(
        name, records, samples, _texts(dict(config_file.leaves(tree))), _texts(default), environment, terms,
        parameters if isinstance(parameters, int) else None, last, _status(folder, step, tree.get('steps')), row and row * step,
        _seconds(records), notes)


def results(found: list[Run]) -> list[list[str]]:
    """The table of results, its head first; columns that no run has are left out."""
    rows = [{'run': run.name, 'state': run.status, 'parameters': _number(run.parameters), 'tokens': _number(run.tokens),
             'time': _duration(run.seconds), **{name: _number(run.last.get(name)) for name in RESULTS},
             **{f'{split} perplexity': _number(run.terms.perplexity(run.last, split)) for split in SPLITS}} for run in found]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    return [names, *([row[name] for name in names] for row in rows)]


def differences(found: list[Run]) -> list[list[str]]:
    """[[key, value in each run]] of the settings that are not the same in all runs; '' where a run has no such setting."""
    keys = dict.fromkeys(key for run in found for key in run.config)
    rows = [[key, *(run.config.get(key, '') for run in found)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def _status(folder, step, steps):
    if not isinstance(steps, int) or step >= steps:
        return f'step {step:,}'
    try:
        meta = folders.read_meta(folder / 'checkpoints' / str(folders.complete(folder / 'checkpoints')[-1]))
        stopped = meta['config']['early_stopping']
        early = stopped['metric'] is not None and meta['early_stopping']['waited'] >= stopped['patience']
    except (IndexError, KeyError, OSError, TypeError, ValueError):
        early = False
    return f'step {step:,} of {steps:,}, {"stopped early" if early else "unfinished"}'


def _seconds(records):
    """The sum over processes: `seconds` begins anew in each."""
    times = [record['seconds'] for record in records if isinstance(record.get('seconds'), (int, float))]
    return sum(now for now, after in zip(times, [*times[1:], -1]) if after < now) if times else None


def _environment(path, notes):
    try:
        return {key: value for key, value in json_file.read(path).items() if key != 'sha256'}
    except ValueError as error:
        notes.append(f'environment.json cannot be read: {error}')
        return {}


def _config(path):
    try:
        return json_file.read(path)
    except ValueError as error:
        raise errors.Error([errors.Problem(str(path), f'expected JSON, got {error}.')], 'report', 'nothing was written') from None


def _texts(tree):
    return {key: json.dumps(value, ensure_ascii=False) for key, value in tree.items()}


def _number(value):
    if not isinstance(value, (int, float)):
        return ''
    return f'{value:,}' if isinstance(value, int) else f'{value:,.4f}' if abs(value) < 1000 else f'{value:,.0f}'


def _duration(seconds):
    return '' if seconds is None else f'{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}'
