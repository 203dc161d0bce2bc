"""The environment variables that are set for JAX before it is imported, and those of the user that stay."""
from train.parallel import platform


def test_float32_gets_a_compilation_cache_and_no_flags():
    environ = {'JAX_PLATFORMS': 'cpu'}
    platform.prepare(environ)
    assert environ['JAX_COMPILATION_CACHE_DIR'].endswith('/pretext/jax') and 'XLA_FLAGS' not in environ
    assert environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] == '0'  # however quickly a program was compiled


def test_bfloat16_on_a_cpu_gets_onednn_beside_the_users_flags_and_no_cache():
    environ = {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
    platform.prepare(environ, 'bfloat16')
    assert environ['XLA_FLAGS'] == '--xla_force_host_platform_device_count=2 --xla_cpu_experimental_onednn_custom_call=true'
    assert environ['JAX_ENABLE_COMPILATION_CACHE'] == 'false'


def test_what_the_user_has_set_stays():
    environ = {'JAX_PLATFORMS': 'cpu', 'JAX_COMPILATION_CACHE_DIR': '/x', 'XLA_FLAGS': '--xla_cpu_experimental_onednn_custom_call=false'}
    before = dict(environ)
    platform.prepare(environ, 'bfloat16')
    assert {name: environ[name] for name in before} == before


def test_accelerators_get_no_cpu_flags():
    environ = {'JAX_PLATFORMS': 'tpu'}
    platform.prepare(environ, 'bfloat16')
    assert 'XLA_FLAGS' not in environ
