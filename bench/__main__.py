"""`make bench`: one table of ratios, this code against PyTorch on the same cores, in one run.

Each comparison alternates the two sides in separate processes and takes medians, so that a change of the machine's speed
affects both. Sections: train quality pipeline start devices (all by default).
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Iterator

from train.parallel import platform

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / 'bench' / 'peers'
SHAPES = {'6 x 384, 256 x 16': dict(vocab=8192, layers=6, dim=384, heads=6, length=256, batch=16),
          '4 x 128, 64 x 12': dict(vocab=8192, layers=4, dim=128, heads=4, length=64, batch=12)}
# glibc returns large blocks to the system at every step and allocates them again; this keeps them, at the cost of memory.
HEAP = {'MALLOC_ARENA_MAX': '1', 'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': '100000000000'}
WANTED = 2.60                                 # bits a byte that the quickstart must reach in nanoGPT's time
ROUNDS = 3


def run(*command, **environ: str) -> tuple[float, str]:
    """(seconds of the whole process, its standard output); SystemExit with its output if it fails."""
    begun = time.monotonic()
    result = subprocess.run([str(part) for part in command], cwd=ROOT, env={**os.environ, 'JAX_PLATFORMS': 'cpu', **environ},
                            capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f'{command} failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}')
    return time.monotonic() - begun, result.stdout


def processor() -> str:
    """The name of the processor, where /proc/cpuinfo has one."""
    try:
        return re.search(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())[1]
    except (OSError, TypeError):
        return 'unknown'


def last_json(output: str) -> dict:
    """The JSON object in the last line."""
    return json.loads(output.strip().splitlines()[-1])


def train(peers: str) -> Iterator[tuple]:
    """Training tokens a second for each shape and type, against PyTorch, `transformers`, and with the heap kept on both sides."""
    cases = [(shape, dtype, 'torch', {}) for shape in SHAPES for dtype in ('float32', 'bfloat16')]
    cases += [(next(iter(SHAPES)), dtype, *rest) for dtype in ('float32', 'bfloat16') for rest in (('transformers', {}), ('torch', HEAP))]
    for label, dtype, implementation, environ in cases:
        shape = SHAPES[label]
        flags = [f'--{name}={value}' for name, value in shape.items()] + [f'--steps={6 if shape["dim"] > 128 else 40}', f'--dtype={dtype}']
        flags += [f'--warmup={8 if environ else 3}']  # the heap grows for some steps before it is kept
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours += last_json(run(sys.executable, '-m', 'bench.train_step', *flags, **environ)[1])['milliseconds']
            command = peers, PEERS / 'train_step.py', *flags, f'--implementation={implementation}'
            theirs += last_json(run(*command, **environ)[1])['milliseconds']
        tokens = 1e3 * shape['length'] * shape['batch']
        mine, other = (tokens / statistics.median(found) for found in (ours, theirs))
        yield (f'training tokens/s, {label}, {dtype}, {implementation}{", heap kept" * bool(environ)}', f'{mine:,.0f}', f'{other:,.0f}',
               mine / other)


def quality(peers: str, seeds: int = 3) -> Iterator[tuple]:
    """Seconds to WANTED bits a byte from process start, against the seconds of nanoGPT's CPU setting."""
    ours, reached, theirs, peer_bits = [], [], [], []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            run(sys.executable, '-m', 'train.main', '--config=configs/quickstart.py', f'--workdir={folder}/run', f'--config.seed={seed}',
                f'--config.data.cache={folder}/cache', JAX_COMPILATION_CACHE_DIR=f'{folder}/jax')
            lines = [json.loads(line) for line in open(f'{folder}/run/metrics.jsonl')]
        evaluated = [line for line in lines if 'eval/bits_per_byte' in line]
        first = next((line for line in evaluated if line['eval/bits_per_byte'] <= WANTED), evaluated[-1])
        ours.append(first['seconds'] if first['eval/bits_per_byte'] <= WANTED else float('inf'))
        reached.append(evaluated[-1]['eval/bits_per_byte'])
        found = last_json(run(peers, PEERS / 'nanogpt.py', f'--text={ROOT}/data/corpora/novels.jsonl.xz', f'--seed={seed}')[1])
        theirs.append(found['seconds'])
        peer_bits.append(found['bits_per_byte'])
    mine, other = statistics.median(ours), statistics.median(theirs)
    label = f'seconds to {WANTED} bits/byte, against nanoGPT to {statistics.median(peer_bits):.3f}'
    yield label, f'{mine:.1f}', f'{other:.1f}', other / mine
    yield ('bits/byte at the end of the quickstart (nanoGPT: its 2,000 steps)', f'{statistics.median(reached):.3f}',
           f'{statistics.median(peer_bits):.3f}', statistics.median(peer_bits) / statistics.median(reached))


def pipeline(peers: str) -> Iterator[tuple]:
    """Tokens a second from documents to batches on one core, against the data collators of `transformers` on the same ids."""
    with tempfile.TemporaryDirectory() as folder:
        ours = run(sys.executable, '-m', 'bench.pipeline', '--json', f'--save={folder}/tokens.npy')[1]
        theirs = run(peers, PEERS / 'collators.py', f'--tokens={folder}/tokens.npy')[1]
    found, others = ({line['objective']: line for line in map(json.loads, output.strip().splitlines())} for output in (ours, theirs))
    for label, line in found.items():
        mine, other = (side.get(label, {}).get('tokens_per_second') for side in (found, others))
        yield (f"pipeline tokens/s, {label} at {line['length']}, one core", f'{mine:,.0f}', f'{other:,.0f}' if other else '',
               mine / other if other else None)


def start(peers: str) -> Iterator[tuple]:
    """Seconds to the help text, and to the end of two steps of `tiny` with a cold and a warm compilation cache."""
    yield 'seconds to --help', f"{statistics.median(run(sys.executable, '-m', 'train.main', '--help')[0] for _ in range(5)):.2f}", '', None
    with tempfile.TemporaryDirectory() as folder:
        for label in ('cold', 'warm'):
            command = sys.executable, '-m', 'train.main', '--config=configs/tiny.py', f'--workdir={folder}/{label}', '--config.steps=2'
            seconds, _ = run(*command, f'--config.data.cache={folder}/cache', '--config.eval_batches=1',
                             JAX_COMPILATION_CACHE_DIR=f'{folder}/jax')
            yield f'seconds of two steps of tiny, whole process, {label} compilation cache', f'{seconds:.1f}', '', None


def devices(peers: str) -> Iterator[tuple]:
    """The cost of partitioning: a step on eight forced devices against one, on the same cores."""
    flags = [f'--{name}={value}' for name, value in SHAPES['4 x 128, 64 x 12'].items() if name != 'batch'] + ['--batch=16', '--steps=20']
    one, eight = [], []
    for _ in range(ROUNDS):
        for found, environ in ((one, {}), (eight, {'XLA_FLAGS': '--xla_force_host_platform_device_count=8'})):
            found += last_json(run(sys.executable, '-m', 'bench.train_step', *flags, **environ)[1])['milliseconds']
    mine, other = statistics.median(eight), statistics.median(one)
    yield 'milliseconds a step, 8 forced devices against 1 (4 x 128, 64 x 16)', f'{mine:.0f}', f'{other:.0f}', other / mine


# Each yields rows (what, figure here, figure of the peer, ratio); peers: an interpreter with torch.
SECTIONS = {section.__name__: section for section in (train, quality, pipeline, start, devices)}


def main():
    parser = argparse.ArgumentParser(prog='python -m bench', description=__doc__.split('\n')[0])
    parser.add_argument('sections', nargs='*', default=list(SECTIONS), metavar='SECTION', help=' '.join(SECTIONS))
    parser.add_argument('--peers', required=True, help='an interpreter with torch: .venv-peers/bin/python')
    args = parser.parse_args()
    print(f'{os.cpu_count()} cores ({processor()}) · Python {sys.version.split()[0]} · bfloat16: XLA_FLAGS={platform.ONEDNN} · '
          'layers unrolled · ratio > 1: this code is better\n')
    print('| what | here | peer | ratio |\n|---|---|---|---|')
    for name in args.sections:
        for what, here, peer, ratio in SECTIONS[name](args.peers):
            print(f"| {what} | {here} | {peer or '–'} | {'–' if ratio is None else f'{ratio:.2f}'} |", flush=True)


if __name__ == '__main__':
    main()
