"""What the processes of one run tell each other: text over JAX's coordination service (no device involved).

Collectives on devices must be launched in the same order everywhere, so a background thread must not use them; these
may be called from any thread. With one process there is no service: `lead` just calls its function.
"""
import json
import sys

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
