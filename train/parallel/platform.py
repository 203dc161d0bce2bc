"""How JAX is started: what must be in the environment before it is imported."""
from data import places
from train.settings import fits

ONEDNN = '--xla_cpu_experimental_onednn_custom_call=true'  # bfloat16 products: docs/design-notes.md


def prepare(environ, dtype='float32'):
    """Puts a compilation cache of every program and, for bfloat16 on a CPU, oneDNN's products into `environ`; what the user has set stays.

    Programs with oneDNN calls cannot be written to the cache (XLA fails to serialise them), so there it is off.
    """
    if 'JAX_COMPILATION_CACHE_DIR' not in environ:
        environ['JAX_COMPILATION_CACHE_DIR'] = str(places.path('~/.cache/pretext/jax'))
    environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
    flags = environ.get('XLA_FLAGS', '')
    if dtype == 'bfloat16' and fits.devices(environ) and 'onednn' not in flags:
        environ['XLA_FLAGS'] = f'{flags} {ONEDNN}'.strip()
        environ.setdefault('JAX_ENABLE_COMPILATION_CACHE', 'false')
