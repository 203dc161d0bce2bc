"""docs/settings.md is what the code says."""
import runpy

from train.settings import command_line, schema


def test_the_page_is_current_and_has_every_setting():
    reference = runpy.run_path(str(command_line.ROOT / 'docs' / 'settings.py'))
    text = reference['PAGE'].read_text(encoding='utf-8')
    assert text == reference['page'](), 'run python docs/settings.py'
    assert all(f'| `{key}` |' in text for key in schema.kinds())
    assert 'Only with optimizer.name = muon, sgd or rmsprop.' in text
