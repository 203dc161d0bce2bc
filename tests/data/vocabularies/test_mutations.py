"""A tokenizer.json with one thing changed at random is loaded and works, or is one message: never a traceback, never without an end."""
import copy
import json
import random
import time

import pytest

from data import errors, tokenizer

TEXT = 'It was the “best” of times, 三 a_b <pad> 12\n'
VALUES = (None, True, 0, -1, 1 << 40, 1.5, float('nan'), '', 'a', '\u2581', '\ud800', [], {}, [1], {'type': 'Sequence'}, 'ByteLevel',
          '(a+)+$')
NOISE = ('', '"', '\\', '[' * 3000, '\0', '9' * 5000)


@pytest.fixture(scope='module')
def pipelines(tmp_path_factory):
    """Small files of three kinds: unigram with bytes, byte-level BPE, WordPiece."""
    from data.vocabularies import export
    made = []
    for kind in ('unigram', 'bpe', 'wordpiece'):
        folder = tmp_path_factory.mktemp(kind)
        export.save(tokenizer.train(['It was the best of times, it was the worst of times. ' * 3], kind, 4096, sentinels=4), folder)
        made.append((json.loads((folder / 'tokenizer.json').read_text()), json.loads((folder / 'tokenizer_config.json').read_text())))
    return made


def places(value, found=()):
    """Paths of keys and indices to every value, at most a dozen entries of each."""
    yield found
    inside = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, one in inside[:12]:
        yield from places(one, (*found, key))


def mutated(pipeline, draw):
    """A copy in which a value is gone, another one, or that of another place."""
    whole = copy.deepcopy(pipeline)
    *path, last = draw.choice([place for place in places(whole) if place])
    inside = whole
    for key in path:
        inside = inside[key]
    action = draw.randrange(3)
    if action == 0:
        del inside[last]
    else:
        value = whole
        for key in draw.choice(list(places(whole))) if action == 1 else ():
            value = value[key]
        inside[last] = copy.deepcopy(value) if action == 1 else draw.choice(VALUES)
    return whole


def check(folder, files):
    """Loads a folder; what is loaded encodes and decodes."""
    folder.mkdir()
    for name, value in files.items():
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    began = time.process_time()
    try:
        tok = tokenizer.load(folder)
        ids = tok.encode(TEXT)
        tok.decode(ids)
        loaded = True
        assert tok.words(ids).shape == ids.shape and (ids >= 0).all() and (ids < tok.vocab_size).all()
        assert not tok.lossless or tok.decode(ids) == TEXT
    except errors.DataError as error:
        loaded = False
        assert '\n' not in str(error) and str(error).startswith(str(folder)) and 'expected ' in str(error) and len(str(error)) < 2000
    assert time.process_time() - began < 5
    return loaded


def mutations(tmp_path, pipelines, first, last):
    """Whether each of the seeds' folders was loaded."""
    for seed in range(first, last):
        draw = random.Random(seed)
        pipeline, config = pipelines[seed % len(pipelines)]
        if seed % 5 == 4:
            files = {'tokenizer.json': pipeline, 'tokenizer_config.json': mutated(config, draw)}
        elif seed % 5 == 3:
            text = json.dumps(pipeline)
            at = draw.randrange(len(text))
            files = {'tokenizer.json': text[:at] + draw.choice(NOISE) + text[at + draw.randrange(3):]}
        else:
            files = {'tokenizer.json': mutated(pipeline, draw), 'tokenizer_config.json': config}
        yield check(tmp_path / str(seed), files)


def test_mutations(tmp_path, pipelines):
    assert set(mutations(tmp_path, pipelines, 0, 60)) == {True, False}


@pytest.mark.slow
def test_more_mutations(tmp_path, pipelines):
    assert set(mutations(tmp_path, pipelines, 60, 560)) == {True, False}
