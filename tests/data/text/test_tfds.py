"""A real builder, prepared offline as ArrayRecord, is read without TensorFlow."""
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from data import errors
from data.text import sources

pytest.importorskip('tensorflow_datasets')
ROOT = pathlib.Path(__file__).resolve().parents[3]
MESSAGES = json.loads((ROOT / 'tests/fixtures' / 'messages' / 'tfds.json').read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfds')
    program = ("from verses import verses_dataset_builder as verses\n"
               f"builder = verses.Builder(config='en', data_dir={str(folder)!r}, file_format='array_record')\n"
               "builder.download_and_prepare()")
    subprocess.run([sys.executable, '-c', program], cwd=ROOT / 'tests/fixtures', check=True, capture_output=True)
    for file in (folder / 'verses/en/1.0.0').iterdir():  # what it would leave as TFRecord
        copy = folder / 'verses/es/1.0.0' / file.name.replace('array_record', 'tfrecord')
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes().replace(b'array_record', b'tfrecord').replace(b'"en"', b'"es"'))
    return folder


def test_rows_and_slices(prepared, monkeypatch):
    verses = {f'verse {i}, en: 三 é' for i in range(10)}
    source = sources.open(f'tfds:verses/en:train@{prepared}')
    rows = list(source)
    assert set(rows) == verses and len(rows) == 10 and list(source) == rows
    monkeypatch.setenv('TFDS_DATA_DIR', str(prepared))
    assert list(sources.open('tfds:verses/en:train')) == list(sources.open('tfds:verses/en:1.0.0:train')) == rows
    assert list(sources.open('tfds:verses/en:train[:3]')) + list(sources.open('tfds:verses/en:train[3:]')) == rows
    assert len(list(sources.open('tfds:verses/en:test'))) == 3


def test_no_tensorflow_and_no_jax(prepared):
    program = ("import sys\nfrom data.text import sources\n"
               f"print(len(list(sources.open('tfds:verses/en:train@{prepared}'))))\n"
               "print([name for name in ('tensorflow', 'jax') if name in sys.modules])")
    run = subprocess.run([sys.executable, '-c', program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert run.stdout == '10\n[]\n' and run.stderr == ''


def test_fingerprint_is_of_content(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / 'moved')

    def of(spec, field='text'):
        return sources.open(spec, field).fingerprint
    here = of(f'tfds:verses/en:train@{prepared}')
    assert of(f'tfds:verses/en:train@{tmp_path}/moved') == here
    (file,) = (tmp_path / 'moved/verses/en/1.0.0').glob('*-train*')
    named = sources.open(f'tfds:verses/en:train@{tmp_path}/moved')
    assert named.fingerprint == here
    sound = file.read_bytes()
    shutil.copy(next(prepared.glob('verses/en/1.0.0/*-test*')), file)  # sound, with other rows
    with pytest.raises(errors.DataError, match='row 3: expected a sound|expected the content that it had when it was first read, got anot'):
        list(named)
    file.write_bytes(sound.replace(b'verse 3', b'VERSE 3'))
    with pytest.raises(errors.DataError, match='expected a sound ArrayRecord file, got RuntimeError: .*; prepare the dataset again'):
        list(sources.open(f'tfds:verses/en:train@{tmp_path}/moved'))
    others = [of(f'tfds:verses/en:{split}@{prepared}') for split in ('test', 'train[:5]')]
    assert len({here, *others, of(f'tfds:verses/en:train@{tmp_path}/moved')}) == 4


@pytest.mark.parametrize('case', sorted(MESSAGES))
def test_messages(prepared, tmp_path, monkeypatch, case):
    monkeypatch.setenv('TFDS_DATA_DIR', str(prepared))
    broken = tmp_path / 'verses' / 'en' / '1.0.0'
    broken.mkdir(parents=True)
    (broken / 'dataset_info.json').write_text('{')
    if case == 'no tensorflow-datasets':
        monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
    spec, field = MESSAGES[case]['spec'].replace('EMPTY', str(tmp_path)), MESSAGES[case].get('field', 'text')
    with pytest.raises(errors.DataError) as caught:
        list(sources.open(spec, field))
    message = str(caught.value).replace(str(prepared), 'FOLDER').replace(str(tmp_path), 'EMPTY')
    expected = MESSAGES[case]['message']
    assert message[:len(expected)] == expected if MESSAGES[case].get('begins') else message == expected
