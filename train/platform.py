"""How JAX is started: flags that must be in the environment before it is imported, and the compilation cache."""
import pathlib

CPU_FLAGS = ()  # filled from measurements


def prepare(environ):
    """Sets what was measured to help, unless the user has set it: call before the first import of jax."""
    environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(pathlib.Path('~/.cache/pretext/jax').expanduser()))
    environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.5')
