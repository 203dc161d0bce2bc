"""`make bench`: one table of ratios, this code against PyTorch on the same cores, in one run.

Each comparison alternates the two sides in separate processes and takes medians, so that a change of the machine's speed affects both.
Sections (all by default): train attention loss decode quality pipeline start devices. A section that fails is a row that says so.
"""
import argparse
import dataclasses
import json
import shutil
import statistics
import sys
import tempfile
from typing import Iterator

from bench import cases, machine, processes

BASE, SMALL = cases.Case('gpt2'), cases.Case('gpt2', layers=4, dim=128, heads=4, length=64, batch=12)
LABELS = {BASE.dim: '6 x 384, 256 x 16', SMALL.dim: '4 x 128, 64 x 12'}
TRAINED = [(dataclasses.replace(shape, family=family, dtype=dtype), 5 if shape is BASE else 20)       # (case, timed steps of a process)
           for shape in (BASE, SMALL) for family in cases.FAMILIES for dtype in ('float32', 'bfloat16')
           if shape is BASE or family == 'gpt2' or dtype == 'float32']
HUGE = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}  # the peers run with and without; their better figure counts
LENGTHS = (512, 2048, 4096)
WANTED = 2.60                                 # bits a byte that the quickstart must reach in nanoGPT's time
SEEDS = 3                                     # of the quickstart
Row = tuple[str, str, str, float | None]      # what, figure here, figure of the peer, ratio


def median(results: list[dict], name: str = 'milliseconds') -> float:
    """Over all the measurements of some processes."""
    return statistics.median(value for result in results for value in result[name])


def train(peers: str, rounds: int) -> Iterator[Row]:
    """Training tokens a second and peak memory; GPT-2 against PyTorch, eager and compiled, the others against `transformers`."""
    for case, steps in TRAINED:
        kinds = {'PyTorch': (), 'torch.compile': ('--compile',)} if case.family == 'gpt2' else {'transformers': ()}
        ours, theirs, broken = [], {name: {False: [], True: []} for name in kinds}, {}
        if 'torch.compile' in kinds and not shutil.which('g++'):
            broken['torch.compile'] = 'it needs a C++ compiler, and there is no g++'
        for number in range(rounds):
            ours.append(processes.train_here(case, f'--steps={steps}', JAX_PLATFORMS='cpu'))
            for name in [name for name in theirs if name not in broken]:
                found = theirs[name]
                try:
                    for huge in (faster(found),) if number else (False, True):
                        found[huge].append(processes.train_peer(peers, case, *kinds[name], f'--steps={steps}', **(HUGE if huge else {})))
                except processes.Failed as error:
                    broken[name] = str(error)
        label, speed = f'{case.family}, {LABELS[case.dim]}, {case.dtype}', 1e3 * case.batch * cases.tokens(case)
        here, memory = speed / median(ours), statistics.median(one['megabytes'] for one in ours)
        for name, found in theirs.items():
            if name in broken:
                yield f'training tokens/s, {label}, against {name}', f'{here:,.0f}', f'failed: {broken[name]}', None
                continue
            huge = faster(found)
            there, used = speed / median(found[huge]), statistics.median(one['megabytes'] for one in found[huge])
            name += ' with huge pages' * huge
            yield f'training tokens/s, {label}, against {name}', f'{here:,.0f}', f'{there:,.0f}', here / there
            yield f'peak memory, MB, {label}, against {name}', f'{memory:,.0f}', f'{used:,.0f}', used / memory


def faster(found: dict[bool, list[dict]]) -> bool:
    """Whether the peer is faster with huge pages, by what has been measured."""
    return median(found[True]) < median(found[False])


def attention(peers: str, rounds: int) -> Iterator[Row]:
    """Forward and backward of attention alone, each implementation against plain: time of the clock and of the processor."""
    from model.attention.choice import IMPLEMENTATIONS
    for length in LENGTHS:
        found = {name: [] for name in IMPLEMENTATIONS}
        for _ in range(rounds):
            for name in found:
                found[name] += processes.here('attention', f'--implementations={name}', '--kinds=causal', f'--lengths={length}',
                                              f'--group={max(1, 4096 // length)}', JAX_PLATFORMS='cpu')
        plain = found['plain']
        for name, results in found.items():
            what = f'attention, causal, 1 x 4 x {length:,} x 64, float32, {name} against plain, ms'
            if failed := next((one['failed'] for one in results if 'failed' in one), None):
                yield what, f'not run: {failed}', '', None
                continue
            for kind, label in (('milliseconds', ''), ('processor_milliseconds', ' of the processor')):
                here, there = median(results, kind), median(plain, kind)
                yield what + label, f'{here:.1f}', f'{there:.1f}', there / here
            memory, other = (statistics.median(one['megabytes'] for one in side) for side in (results, plain))
            yield what.removesuffix('ms') + 'peak memory, MB', f'{memory:,.0f}', f'{other:,.0f}', other / memory


def loss(peers: str, rounds: int) -> Iterator[Row]:
    """The cross-entropy of 2,048 tokens over 32,768 ids, forward and backward, in chunks of the vocabulary against whole."""
    for dtype in ('float32', 'bfloat16'):
        found = [one for _ in range(rounds) for one in processes.here('loss', f'--dtype={dtype}', JAX_PLATFORMS='cpu')]
        chunked, whole = ([one[name] for one in found] for name in ('chunked', 'whole'))
        what = f'loss, 2,048 tokens x 32,768 ids, D = 768, {dtype}, in chunks against whole, '
        for kind, label in (('milliseconds', 'ms'), ('processor_milliseconds', 'ms of the processor')):
            here, there = median(chunked, kind), median(whole, kind)
            yield what + label, f'{here:.0f}', f'{there:.0f}', there / here
        here, there = (one['temporaries'] / 1e6 for one in (chunked[0], whole[0]))
        yield what + 'temporaries, MB', f'{here:,.0f}', f'{there:,.0f}', there / here


def decode(peers: str, rounds: int) -> Iterator[Row]:
    """Milliseconds a token of greedy generation, one row, against `generate` of `transformers`."""
    ours, theirs, flag = [], [], f'--case={BASE.json()}'
    for _ in range(rounds):
        ours += processes.here('decode', flag, JAX_PLATFORMS='cpu')
        theirs += processes.peer(peers, 'decode', flag)
    here, there = median(ours), median(theirs)
    yield 'ms a token, greedy, one row, gpt2 6 x 384, float32, against transformers', f'{here:.1f}', f'{there:.1f}', there / here


def quality(peers: str, rounds: int) -> Iterator[Row]:
    """Seconds to WANTED bits a byte from process start, against the seconds of nanoGPT's CPU setting."""
    ours, reached, theirs, peer_bits = [], [], [], []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            processes.run(sys.executable, '-m', 'train.main', '--config=configs/quickstart.py', f'--workdir={folder}/run',
                          f'--config.seed={seed}', f'--config.data.cache={folder}/cache', JAX_COMPILATION_CACHE_DIR=f'{folder}/jax',
                          JAX_PLATFORMS='cpu')
            with open(f'{folder}/run/metrics.jsonl') as file:
                lines = [json.loads(line) for line in file]
        evaluated = [line for line in lines if 'eval/bits_per_byte' in line]
        first = next((line for line in evaluated if line['eval/bits_per_byte'] <= WANTED), evaluated[-1])
        ours.append(first['seconds'] if first['eval/bits_per_byte'] <= WANTED else float('inf'))
        reached.append(evaluated[-1]['eval/bits_per_byte'])
        found, = processes.peer(peers, 'nanogpt', f'--text={processes.ROOT}/data/corpora/novels.jsonl.xz', f'--seed={seed}')
        theirs.append(found['seconds'])
        peer_bits.append(found['bits_per_byte'])
    mine, other = statistics.median(ours), statistics.median(theirs)
    label = f'seconds to {WANTED} bits/byte, against nanoGPT to {statistics.median(peer_bits):.3f}'
    yield label, f'{mine:.1f}', f'{other:.1f}', other / mine
    yield ('bits/byte at the end of the quickstart (nanoGPT: its 2,000 steps)', f'{statistics.median(reached):.3f}',
           f'{statistics.median(peer_bits):.3f}', statistics.median(peer_bits) / statistics.median(reached))


def pipeline(peers: str, rounds: int) -> Iterator[Row]:
    """Tokens a second from documents to batches on one core, against the data collators of `transformers` on the same ids."""
    with tempfile.TemporaryDirectory() as folder:
        ours = processes.here('pipeline', '--json', f'--save={folder}/tokens.npy')
        theirs = processes.peer(peers, 'collators', f'--tokens={folder}/tokens.npy')
    found, others = ({line['objective']: line for line in output} for output in (ours, theirs))
    for label, line in found.items():
        mine, other = (side.get(label, {}).get('tokens_per_second') for side in (found, others))
        yield (f"pipeline tokens/s, {label} at {line['length']}, one core", f'{mine:,.0f}', f'{other:,.0f}' if other else '',
               mine / other if other else None)


def start(peers: str, rounds: int) -> Iterator[Row]:
    """Seconds to the help text, and to the end of two steps of `tiny` with a cold and a warm compilation cache."""
    seconds = statistics.median(processes.run(sys.executable, '-m', 'train.main', '--help')[0] for _ in range(5))
    yield 'seconds to --help', f'{seconds:.2f}', '', None
    with tempfile.TemporaryDirectory() as folder:
        for label in ('cold', 'warm'):
            command = sys.executable, '-m', 'train.main', '--config=configs/tiny.py', f'--workdir={folder}/{label}', '--config.steps=2'
            seconds, _ = processes.run(*command, f'--config.data.cache={folder}/cache', '--config.eval_batches=1',
                                       JAX_COMPILATION_CACHE_DIR=f'{folder}/jax', JAX_PLATFORMS='cpu')
            yield f'seconds of two steps of tiny, whole process, {label} compilation cache', f'{seconds:.1f}', '', None


def devices(peers: str, rounds: int) -> Iterator[Row]:
    """The cost of partitioning: a step on eight forced devices against one, on the same cores."""
    case, one, eight = dataclasses.replace(SMALL, batch=16), [], []
    for _ in range(rounds):
        one.append(processes.train_here(case, '--steps=20', JAX_PLATFORMS='cpu'))
        eight.append(processes.train_here(case, '--steps=20', JAX_PLATFORMS='cpu', XLA_FLAGS='--xla_force_host_platform_device_count=8'))
    mine, other = median(eight), median(one)
    yield 'milliseconds a step, 8 forced devices against 1 (4 x 128, 64 x 16)', f'{mine:.0f}', f'{other:.0f}', other / mine


# Each yields rows; peers: an interpreter with torch; rounds: processes a side.
SECTIONS = {section.__name__: section for section in (train, attention, loss, decode, quality, pipeline, start, devices)}


def main():
    parser = argparse.ArgumentParser(prog='python -m bench', description=__doc__.split('\n')[0])
    parser.add_argument('sections', nargs='*', default=list(SECTIONS), metavar='SECTION', help=' '.join(SECTIONS))
    parser.add_argument('--peers', required=True, help='an interpreter with torch: .venv-peers/bin/python')
    parser.add_argument('--rounds', type=int, default=2, help='processes a side, alternating')
    args = parser.parse_args()
    if unknown := [name for name in args.sections if name not in SECTIONS]:
        parser.error(f'expected sections of {", ".join(SECTIONS)}, got {", ".join(unknown)}')
    print(f'{machine.describe(args.peers)} · {args.rounds} rounds, no dropout · ratio > 1: this code is better\n')
    print('| what | here | peer | ratio |\n|---|---|---|---|', flush=True)
    for name in args.sections:
        try:
            for row in SECTIONS[name](args.peers, args.rounds):
                what, here, peer, ratio = row
                print(f"| {what} | {here} | {peer or '–'} | {'–' if ratio is None else f'{ratio:.2f}'} |", flush=True)
        except processes.Failed as error:
            print(f'| {name} | failed: {error} | – | – |', flush=True)


if __name__ == '__main__':
    main()
