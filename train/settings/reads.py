"""Which settings each choice reads. A setting that nothing would read is refused where it was given (train/settings/parse.py).

What an optimizer or a schedule reads is taken from its function in `train/optimization` (`settings.NAME`, also in the functions that it
calls), without running it: a new one needs no row here. A position scheme and an objective state it in their classes. No JAX.
"""
import ast
import functools
import pathlib
from typing import Any, Iterator

from data.text import formats
from model import positions
from train.settings import errors

FOLDER = pathlib.Path(__file__).resolve().parents[1] / 'optimization'


@functools.cache
def functions(module: str) -> tuple[dict[str, set[str]], set[str]]:
    """({name in a table of train/optimization/MODULE.py: what its functions read}, what all other functions read).

    Both as sets of names: `settings.NAME` is 'optimizer.NAME', other variables are their own names.
    """
    tree = ast.parse((FOLDER / f'{module}.py').read_text(encoding='utf-8'))
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    used, found = set(), {}

    def read(name):
        used.add(name)
        nodes = list(ast.walk(known[name]))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {f'optimizer.{node.attr}' for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == 'settings'}
        return names.union(*(read(other) for other in names & known.keys() - {name}))

    for table in (node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
        for key, value in zip(table.keys, table.values):
            found.setdefault(key.value, set()).update(read(value.id))
    return found, set().union(*(read(name) for name in known.keys() - used))


def choices(module: str) -> dict[str, set[str]]:
    """{name of an optimizer ('optimizer') or a schedule ('schedules'): what its functions read}."""
    return functions(module)[0]


def stretched(schedule: str) -> bool:
    """Whether the shape of a schedule depends on `steps`."""
    return 'steps' in choices('schedules')[schedule]


def rows(config: Any, parts: dict[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    """(settings, the setting that decides whether they are read, are they, what it would have to be).

    parts: {prefix of its keys: Objective} of the objective and its members.
    """
    data, tokenizer, optimizer, architecture = config.data, config.tokenizer, config.optimizer, config.model.architecture
    named = [name for name in (data.train, data.eval) if name]
    files = [name for name in named if not name.startswith(('bundled:', 'tfds:'))]
    kinds = {data.format} if data.format and files else {formats.of(part)[0] for name in files for part in name.split(',')}
    columns, texts = len(files) < len(named) or kinds - {'text'}, kinds & {'', 'text'}
    decays = optimizer.weight_decay or optimizer.l1 or optimizer.l2 or 'decays' in choices('optimizer')[optimizer.name]
    yield 'data.eval_fraction', 'data.eval', not data.eval, 'None'
    yield 'data.format', 'data.train', files, 'files'
    yield 'data.documents', 'data.train', texts, 'text files, such as .txt'
    yield 'data.field', 'data.train', columns, 'files with columns, such as .jsonl or .parquet'
    yield ('data.words', 'objective.name', any(part.whole_words for part in parts.values()),
           'one that chooses whole words, such as masked_lm with objective.select = word')
    yield 'eval_batches', 'data.eval_fraction', data.eval or data.eval_fraction, 'more than 0, or a text in data.eval'
    yield 'tokenizer.kind tokenizer.vocab_size tokenizer.sample_bytes', 'tokenizer.path', not tokenizer.path, 'None'
    yield 'tokenizer.vocab_size tokenizer.sample_bytes', 'tokenizer.kind', tokenizer.kind != 'bytes', 'unigram, bpe or wordpiece'
    yield 'init.paths init.rename init.optimizer', 'init.from', config.init.from_, 'a folder to start from'
    yield 'init.paths init.rename', 'init.optimizer', not config.init.optimizer, 'False'
    yield 'early_stopping.patience early_stopping.min_delta', 'early_stopping.metric', config.early_stopping.metric, 'a metric'
    yield 'optimizer.no_decay', 'optimizer.weight_decay', decays, 'more than 0, or a penalty in optimizer.l1 or optimizer.l2'
    yield 'model.decoder_layers', 'model.architecture', architecture == 'encoder_decoder', 'encoder_decoder'
    yield ('sample.prompts sample.max_new_tokens sample.temperature sample.top_k sample.top_p', 'model.architecture',
           architecture == 'decoder', 'decoder')
    yield 'sample.top_k sample.top_p', 'sample.temperature', config.sample.temperature, 'more than 0'
    schemes = {name: {f'model.{field}' for field in scheme.reads} for name, scheme in positions.SCHEMES.items()}
    everywhere = functions('optimizer')[1] | functions('schedules')[1]
    for choice, value, readers in (('optimizer.name', optimizer.name, choices('optimizer')),
                                   ('optimizer.schedule', optimizer.schedule, choices('schedules')),
                                   ('model.positions', config.model.positions, schemes)):
        for key in sorted(key for key in set().union(*readers.values()) - everywhere if '.' in key):
            yield key, choice, key in readers[value], errors.one_of([name for name, read in readers.items() if key in read])
    for prefix, part in parts.items():
        for fields, choice, values in part.reads:
            value = getattr(part, choice)
            yield (' '.join(prefix + field for field in fields.split()), prefix + choice, value in values if values else value,
                   errors.one_of(values) if values else 'more than 0')
