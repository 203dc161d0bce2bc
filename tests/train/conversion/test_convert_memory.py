"""An import holds one parameter, not the model: its peak memory beside the bytes it writes, on a checkpoint of a gigabyte."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import numpy as safetensors

from train.checkpoints import manifest

ROOT = pathlib.Path(__file__).resolve().parents[3]
V, T, L, D = 50257, 1024, 18, 1024


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """GPT-2 with random numbers: 279 million of them in float32, 1.1 GB, of which the largest parameter has 302 MB."""
    folder = tmp_path_factory.mktemp('large')
    rng = np.random.default_rng(0)
    tensors = {'transformer.wte.weight': (V, D), 'transformer.wpe.weight': (T, D), 'transformer.ln_f.weight': (D,),
               'transformer.ln_f.bias': (D,)}
    for i in range(L):
        block = {'ln_1.weight': (D,), 'ln_1.bias': (D,), 'attn.c_attn.weight': (D, 3 * D), 'attn.c_attn.bias': (3 * D,),
                 'attn.c_proj.weight': (D, D), 'attn.c_proj.bias': (D,), 'ln_2.weight': (D,), 'ln_2.bias': (D,),
                 'mlp.c_fc.weight': (D, 4 * D), 'mlp.c_fc.bias': (4 * D,),
                 'mlp.c_proj.weight': (4 * D, D), 'mlp.c_proj.bias': (D,)}
        tensors.update({f'transformer.h.{i}.{name}': shape for name, shape in block.items()})
    (folder / 'config.json').write_text(json.dumps(dict(model_type='gpt2', architectures=['GPT2LMHeadModel'], vocab_size=V, n_positions=T,
                                                        n_layer=L, n_embd=D, n_head=16)))
    safetensors.save_file({name: rng.standard_normal(shape, np.float32) for name, shape in tensors.items()}, folder / 'model.safetensors')
    return folder


def start(folder, out):
    return subprocess.Popen([sys.executable, '-m', 'train.convert', 'import', f'--hf={folder}', f'--out={out}'], cwd=ROOT,
                            env={**os.environ, 'XLA_FLAGS': ''}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def high_water(pid):
    """[the most bytes that a process ever held], of the program that it runs now; [] when it has ended."""
    try:
        status = pathlib.Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return []
    return [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith('VmHWM:')]


@pytest.mark.slow
def test_peak_memory_is_at_most_1_3_times_the_bytes_written(large, tmp_path):
    process, peak = start(large, tmp_path / 'out'), 0
    while process.poll() is None:             # not ru_maxrss, which begins at what pytest itself holds
        peak = max([peak, *high_water(process.pid)])
        time.sleep(0.02)
    assert process.returncode == 0, process.stderr.read()
    written = sum(path.stat().st_size for path in (tmp_path / 'out').rglob('*') if path.is_file())
    print(f'peak {peak / 1e9:.2f} GB, written {written / 1e9:.2f} GB, ratio {peak / written:.2f}')
    assert written > 1e9 and peak <= 1.3 * written


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_looks_like_a_workdir(large, tmp_path):
    process = start(large, tmp_path / 'out')
    while process.poll() is None and not any(tmp_path.glob('.out.*.tmp/checkpoints/0/state*/**/d/*')):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / 'out').exists() and [path.name[:5] for path in tmp_path.iterdir()] == ['.out.']
    assert not any(tmp_path.rglob(manifest.NAME))
