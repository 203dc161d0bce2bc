"""Milliseconds of the real train step (train/program.py) of a case, on a batch of its objective: `python -m bench.train_step`.

Prints one JSON object, like `bench/peers/train_step.py`, which is its counterpart in PyTorch. Nothing is set that a user would have to set.
"""
import argparse
import dataclasses
import json
import os
import resource
import time

from bench import cases
from train.parallel import platform
from train.settings import pages


def measure(case: cases.Case, batch: dict, warmup: int, steps: int, group: int = 1) -> dict:
    """Milliseconds a step of `steps` groups of steps, after `warmup` of them; the program waits for the loss after each group."""
    import jax

    from train import objectives, program
    from train.parallel import sharding

    config = cases.config(case)
    mesh = sharding.mesh(config.mesh)
    with jax.set_mesh(mesh):
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
        compiled = program.build(config, objectives.build(config), mesh, shapes)
        placed, took, begun = sharding.put(mesh, batch, case.batch), [], time.perf_counter()
        state, first = compiled.create(), None
        parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        for _ in range(warmup + steps):
            started = time.perf_counter()
            for _ in range(group):
                state, measured = compiled.update(state, placed)
                if first is None:
                    first, compile_seconds = float(measured['loss']), time.perf_counter() - begun
            float(measured['loss'])
            took.append(1e3 * (time.perf_counter() - started) / group)
    return {'milliseconds': took[warmup:], 'compile_seconds': compile_seconds, 'loss': first, 'parameters': parameters, 'batch': case.batch,
            'flops': objectives.train_flops(config), 'megabytes': peak(mesh.devices.flat[0])}


def peak(device) -> float:
    """The most memory that was in use, in MB: of the device where it says so, else of the process."""
    used = (device.memory_stats() or {}).get('peak_bytes_in_use')
    return used / 1e6 if used else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def largest(case: cases.Case, batch: dict, smallest: int, *arguments: int) -> dict:
    """`measure` of as many rows as there is memory for: half as many while it runs out, down to `smallest`."""
    from train.monitoring import memory

    while True:
        try:
            return measure(case, batch, *arguments)
        except Exception as error:
            if not memory.exhausted(str(error)) or case.batch // 2 < smallest:
                raise
        case = dataclasses.replace(case, batch=case.batch // 2)
        batch = {name: value[:case.batch] for name, value in batch.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--case', default='{"family": "gpt2"}', help='JSON, the fields of bench.cases.Case')
    parser.add_argument('--warmup', type=int, default=2)
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--group', type=int, default=1, help='steps that are measured together')
    parser.add_argument('--smallest', type=int, help='rows down to which the batch is halved while memory runs out; none: not at all')
    args = parser.parse_args()
    case = cases.Case(**json.loads(args.case))
    platform.prepare(os.environ, case.dtype)
    batch = cases.batch(cases.config(case))
    print(json.dumps(largest(case, batch, args.smallest or case.batch, args.warmup, args.steps, args.group)))


if __name__ == '__main__':
    pages.prepare()
    main()
