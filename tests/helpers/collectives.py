"""What a compiled program sends between devices, read in its text: the collectives with their types, loops counted."""
import math
import re
from typing import NamedTuple

BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8}
KINDS = 'all-reduce|reduce-scatter|all-gather|all-to-all|collective-permute'
GRADIENTS = ('all-reduce', 'reduce-scatter')


class Collective(NamedTuple):
    """kind: 'all-reduce', ...; arrays: ((type, shape), ...) of the result on a device; times: how often it runs a call of the program;
    groups: the mesh axes or the devices that take part, as the text has them."""
    kind: str
    arrays: tuple
    times: int
    groups: str

    @property
    def bytes(self):
        return self.times * sum(BYTES[dtype] * math.prod(shape) for dtype, shape in self.arrays)


def read(text):
    """[Collective] of `compiled.as_text()`. AssertionError for one in a loop whose number of rounds is not stated."""
    bodies, name = {}, None
    for line in text.splitlines():
        if head := re.match(r'(ENTRY )?%?([\w.\-]+) \(.*\{$', line):
            name = 'ENTRY' if head[1] else head[2]
            bodies[name] = []
        elif name and line.startswith('  '):
            bodies[name].append(line)
    found = []

    def walk(name, times):
        for line in bodies[name]:
            operation = re.match(rf'\s*(?:ROOT )?%[\w.\-]+ = (.*?) ({KINDS})(?:-start)?\(', line)
            if operation:
                arrays = tuple((dtype, tuple(map(int, filter(None, shape.split(',')))))
                               for dtype, shape in re.findall(r'(\w+)\[([\d,]*)\]', operation[1]))
                groups = re.search(r'(?:replica_groups|source_target_pairs)=(.*?)(?:, [a-z_]+=|$)', line)
                found.append(Collective(operation[2], arrays, times, groups[1] if groups else ''))
                continue
            rounds = times
            if ' while(' in line:
                stated = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line)
                inner = re.search(r'body=%([\w.\-]+)', line)[1]
                assert stated or not read_below(bodies, inner), f'collectives in a loop of unknown length: {line[:200]}'
                rounds *= int(stated[1]) if stated else 1
            called = re.findall(r'(?:body|calls|to_apply|true_computation|false_computation)=%([\w.\-]+)', line)
            branches = re.search(r'branch_computations=\{(.*?)\}', line)
            for inner in called + re.findall(r'%([\w.\-]+)', branches[1] if branches else ''):
                walk(inner, rounds)

    walk('ENTRY', 1)
    return found


def read_below(bodies, name):
    """Whether a computation, or one that it calls, has a collective."""
    return any(re.search(rf' ({KINDS})(-start)?\(', line) or any(read_below(bodies, inner) for inner in re.findall(
        r'(?:body|calls|to_apply)=%([\w.\-]+)', line)) for line in bodies[name])


def sent(text, kinds=GRADIENTS, at_least=2):
    """Bytes of the collectives of these kinds whose arrays have at least so many elements together: no losses, no norms."""
    return sum(found.bytes for found in read(text) if found.kind in kinds
               and sum(math.prod(shape) for _, shape in found.arrays) >= at_least)
