"""What is left aside of a config.json changes no number in PyTorch either (make test-all). PEERS names a Python with torch."""
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

from model.huggingface import keys
from tests.helpers import huggingface_folder as folders
from tests.model.huggingface import test_keys

PEERS = os.environ.get('PEERS')
SCRIPT = pathlib.Path(__file__).parents[3] / 'tests/helpers/peers/logits.py'
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not PEERS, reason='PEERS does not name a Python with torch (make test-all does)')]
# About the loading and what is returned, not about numbers; and keys whose other values the class itself refuses.
APART = {'transformers_version', 'dtype', 'problem_type', 'return_dict', 'output_hidden_states', 'output_attentions', '_name_or_path',
         'chunk_size_feed_forward', 'summary_type', 'summary_activation'}


def test_logits_are_the_same_whatever_these_keys_say(tmp_path):
    wanted = {}
    for name, stored in test_keys.STORED.items():
        case, arrays = folders.read(name)
        fields = {**stored['fields'], **stored['derived']}
        for key in sorted((keys.ignored(test_keys.FAMILIES[name]) & fields.keys()) - APART):
            value = test_keys.OTHER[type(fields[key])](fields[key])
            folder = folders.write({**case, 'config': {**case['config'], key: value}}, tmp_path / f'{name}-{key}')
            np.savez(folder / 'inputs.npz', **{field: array for field, array in arrays.items() if not field.startswith('expected/')})
            wanted[folder] = {field: array for field, array in arrays.items() if field.startswith('expected/')}
    assert len(wanted) > 70
    result = subprocess.run([PEERS, str(SCRIPT), *map(str, wanted)], capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0, result.stderr[-3000:]
    assert not any(json.loads(line)['keys'] for line in result.stdout.splitlines())
    for folder, expected in wanted.items():
        with np.load(folder / 'logits.npz') as found:
            for field, array in expected.items():
                np.testing.assert_allclose(found[field.removeprefix('expected/')], array, rtol=0, atol=1e-5, err_msg=folder.name)
