"""docs/settings.md is what the code says."""
from train.settings import reference, schema


def test_the_page_is_current_and_has_every_setting():
    text = reference.PAGE.read_text(encoding='utf-8')
    assert text == reference.page(), 'run python -m train.settings.reference'
    assert all(f'| `{key}` |' in text for key in schema.kinds())
    assert 'Only with optimizer.name = muon, sgd or rmsprop.' in text
