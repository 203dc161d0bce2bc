"""The processes of one run: how they find one another, and how they exchange values over JAX's coordination service.

Collectives on devices must be launched in the same order everywhere, so a background thread must not use them; these
may be called from any thread. With one process there is no service: `lead` just calls its function.
"""
import collections
import glob
import importlib.util
import json
import os
import sys
from typing import Any, Callable, Mapping

from train.settings import command, errors

PATIENCE = 3600                               # seconds to wait for another process
_calls = collections.Counter()                # of `lead` and `each`, by label: equal in all processes, as they make the same calls


class PeerError(RuntimeError):
    """Another process failed at what it did for all; carries its message, and the exit code where that error has one."""

    def __init__(self, text: str, code: int | None = None, rank: int = 0):
        super().__init__(text)
        if code is not None:                  # else it is a bug, there and here
            self.exit_code, self.kind = code, f'process {rank}'


def _state():
    if 'jax' not in sys.modules:              # no cluster was joined yet, and the import would cost a second
        return None
    from jax._src import distributed  # there is no public name for it (Orbax reads it from here too)
    return distributed.global_state


def client() -> Any:
    """The coordination service's client, with key_value_set, key_value_try_get, ...; None with one process."""
    return _state() and _state().client


def rank() -> int:
    """Number of this process, from 0."""
    return 0 if client() is None else _state().process_id


def count() -> int:
    """Number of processes."""
    return 1 if client() is None else _state().num_processes


def lead(label: str, function: Callable[[], Any]) -> Any:
    """Process 0 calls `function`; every process returns its (JSON) result, or raises: PeerError on the others.

    All processes must call it with the same label, and equally often.
    """
    if count() == 1:
        return function()
    key = _key(f'lead/{label}')
    return _publish(key, function) if rank() == 0 else _result(key, 0)


def each(label: str, function: Callable[[], Any]) -> list:
    """Every process calls `function` and returns the (JSON) results of all, in their order, or raises: its own error, or a PeerError.

    All processes must call it with the same label, and equally often.
    """
    if count() == 1:
        return [function()]
    key = _key(f'each/{label}')
    mine = _publish(f'{key}/{rank()}', function)
    return [mine if i == rank() else _result(f'{key}/{i}', i) for i in range(count())]


def agree(values: Callable[[], dict[str, Any]]) -> None:
    """errors.Error in every process, which names the differences, unless `values()`, {name: (JSON) value}, is the same in all."""
    found, wrong = each('agree', values), []
    for name in dict.fromkeys(name for one in found for name in one):
        ranks = {}
        for i, one in enumerate(found):
            ranks.setdefault(errors.shown(one[name], sys.maxsize) if name in one else 'nothing', []).append(i)
        if len(ranks) > 1:
            same = max(0, len(os.path.commonprefix([*ranks])) - 30)  # a long value is shown around the first difference
            text = ', '.join(f'process{"es" * (len(at) > 1)} {", ".join(map(str, at[:5]))}{" ..." * (len(at) > 5)}: '
                             + (value if len(value) <= 100 else f'... {value[same:same + 90]} ...') for value, at in ranks.items())
            wrong.append(errors.Problem(name, f'{text}; expected one value.'))
    if wrong:
        raise errors.Error(wrong, kind='processes', end='nothing was run: start all processes with the same command, code and packages')


def _key(label):
    _calls[label] += 1
    return f'pretext/{label}/{_calls[label]}'


def _publish(key, function):
    """The result of `function`, which others may now read, as its error."""
    try:
        result = function()
    except Exception as error:
        code = command.code(error)
        client().key_value_set(key, json.dumps({'error': f'{type(error).__name__}: {error}' if code is None else str(error), 'code': code}))
        raise
    client().key_value_set(key, json.dumps({'result': result}))
    return result


def _result(key, at):
    answer = json.loads(client().blocking_key_value_get(key, PATIENCE * 1000))
    if 'error' in answer:
        raise PeerError(answer['error'], answer['code'], at)
    return answer['result']


def initialize_distributed(coordinator_address: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> str:
    """Joins the other processes of the run, if there are any; call it before anything else asks JAX for devices.

    Arguments come first, then JAX_COORDINATOR_ADDRESS ('host:port'), JAX_NUM_PROCESSES and JAX_PROCESS_ID, then `cluster()`, which
    JAX detects itself. Otherwise this is a run of one process. A coordinator on a loopback address listens there alone.
    Returns a short description; errors.Error if one of the three is missing.
    """
    given = {'coordinator_address': coordinator_address or os.environ.get('JAX_COORDINATOR_ADDRESS'),
             'num_processes': _number(num_processes, 'JAX_NUM_PROCESSES'), 'process_id': _number(process_id, 'JAX_PROCESS_ID')}
    missing = [name for name, value in given.items() if value is None]
    found = cluster(os.environ) or ('given addresses' if len(missing) < len(given) else None)
    if not found:
        return 'one process'
    if missing and found == 'given addresses':
        text = f'missing; a run of many processes needs {", ".join(given)} or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID.'
        raise errors.Error([errors.Problem(', '.join(missing), text)])
    if not missing:
        host, _, port = given['coordinator_address'].rpartition(':')
        loopback = {'localhost': '127.0.0.1', '127.0.0.1': '127.0.0.1', '[::1]': '[::1]'}.get(host)
        given['coordinator_bind_address'] = f'{loopback}:{port}' if loopback else None
        given['cluster_detection_method'] = 'deactivate'
    import jax  # here, not above: the functions above work without it
    jax.distributed.initialize(**given)
    return f'process {jax.process_index()} of {jax.process_count()} ({found})'


def _number(value, variable):
    if value is not None or variable not in os.environ:
        return value
    if not os.environ[variable].isdigit():
        raise errors.Error([errors.Problem(f'{variable} = {os.environ[variable]!r}', 'expected an integer.')])
    return int(os.environ[variable])


def cluster(environ: Mapping[str, str]) -> str | None:
    """The cluster that started this process, or None: 'SLURM' (srun), 'Open MPI' (mpirun), 'TPU pod'.

    A SLURM allocation without srun, or a TPU host whose environment names one worker, is one process. A TPU VM with libtpu whose
    environment names no workers is a pod: JAX asks Google's metadata service for them.
    """
    if int(environ.get('SLURM_STEP_NUM_TASKS', 1)) > 1 and 'SLURM_PROCID' in environ:
        return 'SLURM'
    if int(environ.get('OMPI_COMM_WORLD_SIZE', 1)) > 1:
        return 'Open MPI'
    if environ.get('JAX_PLATFORMS', 'tpu').split(',')[0] != 'tpu' or not importlib.util.find_spec('libtpu'):
        return None
    workers = environ.get('TPU_PROCESS_ADDRESSES') or environ.get('TPU_WORKER_HOSTNAMES')
    chips = glob.glob('/dev/accel[0-9]*') or glob.glob('/dev/vfio/[0-9]*')
    asks = chips and workers is None and 'TPU_SKIP_MDS_QUERY' not in environ
    several = ',' in (workers or '') or int(environ.get('MEGASCALE_NUM_SLICES', 1)) > 1
    return 'TPU pod' if several or asks else None
