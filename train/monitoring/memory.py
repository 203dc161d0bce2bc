"""What a step needs of each device's memory: a table before the first step, and the settings that help most where it does not fit.

What lasts from step to step follows from the shardings; temporaries are those of the compiled step. What a setting saves is an estimate: a
share of the temporaries, which are mostly activations, or of what lasts.
"""
import contextlib
import math
import os
import pathlib
import re
from typing import Any

import jax
import rich.table

from train.monitoring import display
from train.settings import parse, schema

GRADIENTS, OTHERS = 'gradients, at most', 'other temporaries'
MESSAGE = 2000                                # characters of JAX's own message that are kept


class Exhausted(Exception):
    """A device has too little memory; the message holds the table and what to change."""

    exit_code, kind = 2, 'memory'


class Memory(contextlib.AbstractContextManager):
    """Compiles the step of a resolved config and shows its table. In `with`, JAX's error of a device without memory becomes `Exhausted`."""

    def __init__(self, config: schema.Config, mesh: jax.sharding.Mesh, screen: display.Display):
        self.config, self.mesh, self.screen, self.needs, self.begun = config, mesh, screen, {}, 0

    def compile(self, lowered: jax.stages.Lowered, state: Any, begun: int = 0) -> jax.stages.Compiled:
        """The compiled step, whose memory is shown; state: ShapeDtypeStructs with shardings; begun: steps that the run has made."""
        gradients, self.begun = size(state.params), begun
        self.needs = {'parameters': gradients + size(state.frozen), 'optimizer': size(state.opt_state), 'moving average': size(state.ema),
                      'carry': size(state.carry), GRADIENTS: gradients}
        step = lowered.compile()
        if found := step.memory_analysis():   # None where the platform does not say
            self.needs[GRADIENTS] = min(gradients, found.temp_size_in_bytes)  # some may be used up before others are made
            self.needs[OTHERS] = found.temp_size_in_bytes - self.needs[GRADIENTS]
        limit = available(self.mesh)
        self.screen.show(table(self.needs, limit))
        if limit and sum(self.needs.values()) > limit:
            self.screen.notice(f'this may not fit. {self.advice()}')
        return step

    def advice(self) -> str:
        """'What helps most: ...': the three settings that save most."""
        best = [(saved, flag) for saved, flag in sorted(savings(self.config, self.mesh, self.needs), key=lambda item: -item[0])
                if saved > 0 and (not self.begun or all(map(parse.may_change, re.findall(r'--config\.([\w.]+)', flag))))][:3]
        if not best:
            return 'No setting that may change helps: take more devices, or a smaller model in a new workdir.'
        return 'What helps most: ' + ' · '.join(f'{flag} (about {amount(saved)} less)' for saved, flag in best)

    def __exit__(self, kind, error, traceback):
        if self.needs and isinstance(error, jax.errors.JaxRuntimeError) and exhausted(str(error)):
            limit = available(self.mesh)
            lines = [f'  {name:20}{amount(found):>10}' for name, found in self.needs.items() if found]
            total = f'  {"total":20}{amount(sum(self.needs.values())):>10}' + (f' of {amount(limit)}' if limit else '')
            first, *rest = str(error)[:MESSAGE].splitlines()
            raise Exhausted('\n'.join([f'a device has too little memory ({first})', *lines, total, self.advice(), *rest])) from error


def exhausted(text: str) -> bool:
    """Whether an error of JAX means that a device's memory is too small: not that of a kernel's scratch space, or of a message."""
    kernel = re.search(r'shared memory|vmem|smem|scoped|message larger', text, re.IGNORECASE)
    return bool(re.search(r'RESOURCE_EXHAUSTED|out of memory', text, re.IGNORECASE)) and not kernel


def table(needs: dict[str, int], limit: int | None) -> rich.table.Table:
    """A table of {part: bytes a device}, with the total and what there is."""
    columns = [rich.table.Column('part', no_wrap=True), rich.table.Column('a device', justify='right')]
    made = rich.table.Table(*columns, title='memory', title_justify='left', box=None, pad_edge=False, header_style='bold')
    for name, found in needs.items():
        if found:
            made.add_row(name, amount(found))
    made.add_section()
    made.add_row('total', amount(sum(needs.values())))
    if limit:
        made.add_row('available', amount(limit))
    return made


def size(tree: Any) -> int:
    """Bytes that a device holds of arrays or ShapeDtypeStructs with shardings."""
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def available(mesh: jax.sharding.Mesh) -> int | None:
    """Bytes that a device has for arrays; of a CPU its part of the host's memory; None if unknown."""
    device = mesh.local_devices[0]
    if stats := device.memory_stats():
        return stats.get('bytes_limit')
    if device.platform != 'cpu':
        return None
    installed = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    try:                                      # of a container
        limit = int(pathlib.Path('/sys/fs/cgroup/memory.max').read_text())
    except (OSError, ValueError):
        limit = installed
    return min(installed, limit) // len(mesh.local_devices)


def savings(config: schema.Config, mesh: jax.sharding.Mesh, needs: dict[str, int]) -> list[tuple[int, str]]:
    """[(bytes a device, the flag that saves them)] of the settings that can still be turned, as estimates."""
    activations, data = needs.get(OTHERS, 0), mesh.shape['data']
    lasting = needs['parameters'] + needs['optimizer'] + needs['moving average'] + needs[GRADIENTS]
    rows, found = config.batch_size // (data * mesh.shape['fsdp'] * config.accumulation), []
    if rows > 1:
        parts = next(part for part in range(2, rows + 1) if rows % part == 0)
        found.append((activations - activations // parts, f'--config.accumulation={parts * config.accumulation}'))
    if config.model.remat != 'full':          # what enters each layer is kept, and one layer's own activations at a time
        found.append((activations - activations // config.model.layers, '--config.model.remat=full'))
    if config.dtype == 'float32':
        found.append((activations // 2, '--config.dtype=bfloat16'))
    if data > 1:
        found.append((lasting - lasting // data, f'--config.mesh.fsdp={data * mesh.shape["fsdp"]} --config.mesh.data=1'))
    if needs['optimizer'] > needs['parameters']:
        found.append((needs['optimizer'], '--config.optimizer.name=adafactor'))
    found.append((needs['moving average'], '--config.ema=None'))
    found.append((activations // 2, f'--config.sequence_length={config.sequence_length // 2}'))
    return found


def amount(count: int) -> str:
    """'512 B', '1.5 MiB', '23.0 GiB'."""
    for unit in ('B', 'KiB', 'MiB', 'GiB'):
        if count < 1024:
            break
        count, unit = count / 1024, 'TiB'
    return f'{count:,.0f} {unit}' if unit == 'B' else f'{count:,.1f} {unit}'
