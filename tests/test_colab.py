"""The code cells of every notebook run, one after the other, in a process of their own."""
import json
import pathlib

import pytest

from tests.helpers import subprocesses

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / 'colab').glob('*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_is_stored_without_outputs(path, tmp_path):
    cells = [cell for cell in json.loads(path.read_text(encoding='utf-8'))['cells'] if cell['cell_type'] == 'code']
    assert cells and all(not cell['outputs'] and cell['execution_count'] is None for cell in cells)
    code = '\n\n'.join(''.join(cell['source']) for cell in cells).replace('runs/', f'{tmp_path}/')
    subprocesses.run('-c', code)
