"""The processes of one run: how they find one another, and what they tell each other over JAX's coordination service.

Collectives on devices must be launched in the same order everywhere, so a background thread must not use them; these
may be called from any thread. With one process there is no service: `lead` just calls its function.
"""
import glob
import importlib.util
import json
import os
import sys

from train.settings import errors

PATIENCE = 3600                               # seconds to wait for another process


class PeerError(RuntimeError):
    """Process 0 failed at what it did for everyone; carries its message."""


def client():
    """The coordination service's client, with key_value_set, key_value_try_get, ...; None with one process."""
    if 'jax' not in sys.modules:              # nobody has joined a cluster yet, and the import would cost a second
        return None
    from jax._src import distributed  # there is no public name for it (Orbax reads it from here too)
    return distributed.global_state.client


def rank():
    """Number of this process, from 0."""
    if client() is None:
        return 0
    from jax._src import distributed
    return distributed.global_state.process_id


def count():
    """Number of processes."""
    if client() is None:
        return 1
    from jax._src import distributed
    return distributed.global_state.num_processes


def lead(label, function, patience=PATIENCE):
    """Process 0 calls `function`; every process returns its (JSON) result, or raises: PeerError on the others.

    `label` must be new at every call, and the same in all processes.
    """
    if count() == 1:
        return function()
    label = f'pretext/lead/{label}'
    if rank() == 0:
        try:
            result = function()
        except Exception as error:
            client().key_value_set(label, json.dumps({'error': f'{type(error).__name__}: {error}'}))
            raise
        client().key_value_set(label, json.dumps({'result': result}))
        return result
    answer = json.loads(client().blocking_key_value_get(label, patience * 1000))
    if 'error' in answer:
        raise PeerError(answer['error'])
    return answer['result']


def initialize_distributed(coordinator_address=None, num_processes=None, process_id=None):
    """Joins the other processes of the run, if there are any; call it before anything else asks JAX for devices.

    Addresses given here or in JAX_COORDINATOR_ADDRESS ('host:port'), JAX_NUM_PROCESSES and JAX_PROCESS_ID come first,
    then `cluster()`, which JAX knows how to ask. Otherwise this is a run of one process. A coordinator on a loopback
    address listens there alone. Returns a short description; errors.Error if one of the three is missing.
    """
    given = {'coordinator_address': coordinator_address or os.environ.get('JAX_COORDINATOR_ADDRESS'),
             'num_processes': number(num_processes, 'JAX_NUM_PROCESSES'),
             'process_id': number(process_id, 'JAX_PROCESS_ID')}
    found = cluster(os.environ)
    if any(value is not None for value in given.values()) and not found:
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise errors.Error([errors.Problem(
                ', '.join(missing), f'missing; a run of many processes needs {", ".join(given)} '
                'or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID.')])
        found = 'given addresses'
    if not found:
        return 'one process'
    if None not in given.values():
        host, _, port = given['coordinator_address'].rpartition(':')
        loopback = {'localhost': '127.0.0.1', '127.0.0.1': '127.0.0.1', '[::1]': '[::1]'}.get(host)
        given['coordinator_bind_address'] = f'{loopback}:{port}' if loopback else None
        given['cluster_detection_method'] = 'deactivate'
    import jax  # here, not above: what the processes tell each other needs none
    jax.distributed.initialize(**given)
    return f'process {jax.process_index()} of {jax.process_count()} ({found})'


def number(value, variable):
    if value is not None or variable not in os.environ:
        return value
    if not os.environ[variable].isdigit():
        raise errors.Error([errors.Problem(f'{variable} = {os.environ[variable]!r}', 'expected an integer.')])
    return int(os.environ[variable])


def cluster(environ):
    """The cluster that this process was started by, or None: 'SLURM' (srun), 'Open MPI' (mpirun), 'TPU pod'.

    A SLURM allocation without srun, or one TPU host that says so, is one process. A TPU VM that has libtpu and does not
    name its workers learns them from Google's metadata service, which JAX asks.
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
