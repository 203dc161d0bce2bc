"""`make bench-gpu`: speed on one GPU against PyTorch, in at most six minutes: a table, and bench/results/gpu.json.

Needs jax, flax, optax and orbax-checkpoint; for the other side torch and transformers (--peers names the interpreter that has them). Each
side runs in a process of its own, one after the other. A section that fails or runs out of its time is a row that says so. MFU is by one
count of operations for both sides (model/flops.py) and the card's peak in bfloat16. `--small` runs all on a CPU, to see that it works.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import statistics
import sys
import time
from typing import Any, Callable, Iterator

from bench import cases, machine, processes
from train import objectives
from train.monitoring import throughput

LIMIT = 345                                   # seconds of all sections together
SHARE = 0.6                                   # of the time of a comparison that this side may take; it compiles longer
RESULTS = processes.ROOT / 'bench' / 'results' / 'gpu.json'
Row = dict[str, Any]                          # what, unit, higher (is better); here, peer, ratio; mfu_here, mfu_peer; note: why not


@dataclasses.dataclass(frozen=True)
class Size:
    """What is measured: on a card, or (`small`) as little as runs everything on a CPU."""
    layers: int = 12
    dim: int = 768
    heads: int = 12
    length: int = 512
    batches: tuple[int, int] = (64, 32)       # rows to begin with, of BERT, ELECTRA and T5, and of GPT-2, whose rows are twice as long
    vocabularies: tuple[int, int, int] = (50304, 30592, 32128)  # GPT-2's, BERT's and ELECTRA's, T5's, in multiples of 128
    dtype: str = 'bfloat16'
    device: str = 'cuda'
    compile: tuple[str, ...] = ('--compile',)
    flags: tuple[str, ...] = ('--warmup=2', '--steps=4', '--group=5', '--smallest=4')
    attention: tuple[str, ...] = ('--lengths=512,2048,8192', '--tokens=16384', '--heads=12', '--repeats=3', '--group=5')
    decode: tuple[str, ...] = ('--rows=1,8', '--prompt=32', '--new=128', '--repeats=2')
    patience: int = 1                         # times the seconds of SECTIONS and LIMIT


SMALL = Size(2, 32, 2, 32, (4, 4), (384, 384, 384), 'float32', 'cpu', (), ('--warmup=1', '--steps=1'),
             ('--lengths=32', '--heads=2', '--repeats=1'), ('--rows=1,2', '--prompt=2', '--new=2', '--repeats=1'), 10)


class Bench:
    """What sections need: the size, the interpreter of the peers (None: `missing` says why), the time that is left, the card's peak."""

    def __init__(self, size: Size, peers: str | None, missing: str, peak: float | None):
        self.size, self.peers, self.missing, self.peak = size, peers, missing, peak
        self.until = 0.0                      # of the section

    def left(self, share: float = 1.0) -> float:
        """Seconds for the next process. Failed when the section has none."""
        seconds = self.until - time.monotonic()
        if seconds < 1:
            raise processes.Failed('out of time')
        return seconds * share

    def peer(self, function: Callable, *arguments) -> Any:
        """The result of `processes.peer` or `train_peer`. Failed where there is no such interpreter."""
        if self.peers is None:
            raise processes.Failed(self.missing)
        return function(self.peers, *arguments, f'--device={self.size.device}', timeout=self.left())


def attempt(function: Callable, *arguments, **given) -> tuple[Any, str | None]:
    """(result, None), or (what had been printed, why it failed)."""
    try:
        return function(*arguments, **given), None
    except processes.Failed as error:
        return processes.lines(error.output), str(error)


def train(bench: Bench, label: str, family: str, *peer_flags: str, **changes) -> Iterator[Row]:
    """Training tokens a second of a family, each side with as many rows as it has memory for."""
    size = bench.size
    given = dict(layers=size.layers, dim=size.dim, heads=size.heads, length=size.length, batch=size.batches[0],
                 vocab=size.vocabularies[1], dtype=size.dtype)
    case = cases.Case(family, **{**given, **changes})
    operations = objectives.train_flops(cases.config(case)) / case.batch
    ours, failed = attempt(processes.train_here, case, *size.flags, timeout=bench.left(SHARE))
    theirs, missing = attempt(bench.peer, processes.train_peer, case, *size.flags, *peer_flags)
    row = {'what': f'{label}, {case.layers} x {case.dim}, {case.length} tokens, {case.dtype}', 'unit': 'tokens/s', 'higher': True}
    for side, result, note in (('here', ours, failed), ('peer', theirs, missing)):
        if note:
            row['note'] = f"{row['note']}; {side}: {note}" if 'note' in row else f'{side}: {note}'
            continue
        rows = 1e3 * result['batch'] / statistics.median(result['milliseconds'])
        row[side] = rows * cases.tokens(case)
        row |= {f'mfu_{side}': rows * operations / bench.peak if bench.peak else None, f'batch_{side}': result['batch'],
                f'megabytes_{side}': result['megabytes'], f'compile_seconds_{side}': result['compile_seconds'],
                f'parameters_{side}': result['parameters'], f'loss_{side}': result['loss']}
    yield row


def gpt2(bench: Bench) -> Iterator[Row]:
    """GPT-2 124M against nanoGPT's shape with torch.compile and flash attention."""
    size = bench.size
    yield from train(bench, 'GPT-2, against torch.compile', 'gpt2', *size.compile, length=2 * size.length, batch=size.batches[1],
                     vocab=size.vocabularies[0])


def bert(bench: Bench) -> Iterator[Row]:
    """BERT-base, masked LM at slots, against `transformers`."""
    yield from train(bench, 'BERT, no dropout, against transformers', 'bert')


def bert_dropout(bench: Bench) -> Iterator[Row]:
    """The same with the published dropout."""
    yield from train(bench, 'BERT, dropout 0.1, against transformers', 'bert', dropout=0.1)


def electra(bench: Bench) -> Iterator[Row]:
    """ELECTRA-base against ElectraForMaskedLM and ElectraForPreTraining."""
    yield from train(bench, 'ELECTRA, no dropout, against transformers', 'electra', generator=1 / 3)


def t5(bench: Bench) -> Iterator[Row]:
    """T5-base, span corruption, against `transformers`."""
    yield from train(bench, 'T5, no dropout, against transformers', 't5', vocab=bench.size.vocabularies[2])


def attention(bench: Bench) -> Iterator[Row]:
    """Forward and backward of attention alone, each implementation, against scaled_dot_product_attention."""
    flags = *bench.size.attention, f'--dtype={bench.size.dtype}'
    ours, failed = attempt(processes.here, 'attention', *flags, timeout=bench.left(SHARE))
    theirs, missing = attempt(bench.peer, processes.peer, 'attention', *flags)
    other = {(one['kind'], one['length']): one for one in theirs}
    for one in ours:
        against = other.get((one['kind'], one['length']), {})
        row = {'what': f"attention, {one['kind']}, {one['rows']} x {one['length']} tokens, {one['implementation']}", 'unit': 'ms'}
        sides = ('here', one), ('peer', against)
        row |= {side: statistics.median(result['milliseconds']) for side, result in sides if 'milliseconds' in result}
        if note := one.get('failed') or against.get('failed') or ('peer' not in row and missing):
            row['note'] = note
        yield row
    if failed:
        yield {'what': 'attention', 'unit': 'ms', 'note': f'here: {failed}'}


def generation(bench: Bench) -> Iterator[Row]:
    """Greedy generation of GPT-2 124M, against `generate` of `transformers`."""
    size = bench.size
    case = cases.Case('gpt2', size.layers, size.dim, size.heads, size.vocabularies[0], 2 * size.length, dtype=size.dtype)
    flags = f'--case={case.json()}', *size.decode
    ours, failed = attempt(processes.here, 'decode', *flags, timeout=bench.left(SHARE))
    theirs, missing = attempt(bench.peer, processes.peer, 'decode', *flags)
    other = {one['rows']: one for one in theirs}
    for one in ours:
        what = f"generation, GPT-2 {case.layers} x {case.dim}, greedy, batch {one['rows']}, {case.dtype}"
        row = {'what': what, 'unit': 'tokens/s', 'higher': True}
        sides = ('here', one), ('peer', other.get(one['rows']))
        row |= {side: 1e3 * one['rows'] / statistics.median(result['milliseconds']) for side, result in sides if result}
        yield row | ({'note': f'peer: {missing}'} if 'peer' not in row else {})
    if failed:
        yield {'what': 'generation', 'unit': 'tokens/s', 'note': f'here: {failed}'}


# {section: its seconds}; one that needs less leaves the rest to those that follow, as far as LIMIT goes.
SECTIONS = {gpt2: 110, bert: 60, bert_dropout: 60, electra: 60, t5: 60, attention: 75, generation: 45}


def measure(bench: Bench, sections: dict[Callable, float], limit: float = LIMIT) -> Iterator[Row]:
    """The rows of all sections, each with its ratio; never an error of a process."""
    end = time.monotonic() + limit * bench.size.patience
    for section, seconds in sections.items():
        bench.until = min(end, time.monotonic() + seconds * bench.size.patience)
        try:
            for row in section(bench):
                if 'here' in row and 'peer' in row:
                    row['ratio'] = row['here'] / row['peer'] if row.get('higher') else row['peer'] / row['here']
                yield {'section': section.__name__, **row}
        except Exception as error:            # a section that breaks is a row, too
            yield {'section': section.__name__, 'what': section.__name__, 'unit': '', 'note': f'{type(error).__name__}: {error}'}


def line(row: Row) -> str:
    """A row of the table in Markdown."""

    def shown(name, form):
        return '–' if row.get(name) is None else format(row[name], form)

    form = ',.0f' if row.get('higher') else '.2f'
    rows = f" ({row['batch_here']} · {row['batch_peer']} rows)" if 'batch_here' in row and 'batch_peer' in row else ''
    note = f" · {row['note']}" if 'note' in row else ''
    cells = f"{row['what']}, {row['unit']}{rows}{note}", *(shown(side, form) for side in ('here', 'peer')), shown('ratio', '.2f'), *(
        shown(f'mfu_{side}', '.1%') for side in ('here', 'peer'))
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(prog='python -m bench.gpu', description=__doc__.split('\n')[0])
    parser.add_argument('sections', nargs='*', default=[], metavar='SECTION', help=' '.join(section.__name__ for section in SECTIONS))
    parser.add_argument('--peers', default=sys.executable, help='an interpreter with torch and transformers; default: this one')
    parser.add_argument('--out', default=str(RESULTS), help='JSON of all figures')
    parser.add_argument('--small', action='store_true', help='as little as runs everything, on a CPU')
    args = parser.parse_args()
    sections = {section: seconds for section, seconds in SECTIONS.items() if section.__name__ in args.sections or not args.sections}
    if unknown := set(args.sections) - {section.__name__ for section in sections}:
        parser.error(f'no such section: {", ".join(sorted(unknown))}; there are {", ".join(section.__name__ for section in SECTIONS)}')
    card = machine.processor() if args.small else machine.card()
    if card is None:
        parser.error('expected an NVIDIA card, nvidia-smi shows none; --small runs on a CPU')
    os.environ.setdefault('CUDA_VISIBLE_DEVICES', '0')  # one card, on both sides
    versions = machine.peer_versions(args.peers)
    about = {'card': card, 'here': machine.versions(), 'peer': versions, 'date': datetime.date.today().isoformat(), 'small': args.small}
    print(' · '.join(f'{name}: {value}' for name, value in about.items()) + ' · ratio > 1: this code is better\n')
    print('| what | here | peer | ratio | MFU here | MFU peer |\n|---|---|---|---|---|---|', flush=True)
    peak = next((value for name, value in throughput.PEAK.items() if name in card), None)
    missing = f'no torch or no transformers in {pathlib.Path(args.peers).name}'
    rows, bench = [], Bench(SMALL if args.small else Size(), versions and args.peers, missing, peak)
    for row in measure(bench, sections):
        rows.append(row)
        print(line(row), flush=True)
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**about, 'rows': rows}, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
