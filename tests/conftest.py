"""For every test: eight forced CPU devices, quick compilation, one persistent compilation cache, the root on sys.path."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

os.environ['JAX_PLATFORMS'] = 'cpu'
# Level 0 halves the time that a test takes: most of it is compilation of programs that then run once or twice.
for flag in ('--xla_force_host_platform_device_count=8', '--xla_backend_optimization_level=0'):
    if flag.split('=')[0] not in os.environ.get('XLA_FLAGS', ''):
        os.environ['XLA_FLAGS'] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(ROOT / '.cache' / 'jax'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '0')
