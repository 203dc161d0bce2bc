"""Regular expressions of foreign tokenizers: the published ones are known, any other is tried before it reads a text."""
import functools
import json
import math
import os
import pathlib
import subprocess
import sys

from data import errors
from data.vocabularies import folders, hostile, pipelines, trial, wordpiece

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r'[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]', r'[\p{Ll}\p{Lm}\p{Lo}\p{M}]'
ENDS = r'\s*[\r\n]+|\s+(?!\S)|\s+'
SIGNS = r' ?[^\s\p{L}\p{N}]+[\r\n/]*'
PUBLISHED = frozenset({
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2
    fr'{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{ENDS}',  # GPT-4, Llama 3
    folders.QWEN2,
    fr'[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?|\p{{N}}{{1,3}}|{SIGNS}|{ENDS}',
    fr'[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}|{SIGNS}|{ENDS}',  # GPT-4o above, Mistral
    r'\p{N}{1,3}', '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+',  # DeepSeek-V3
    r'''[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|''' + ENDS,
    '[\r\n]', r'[\r\n]', r'\p{N}', r'\s+$', ' {2,}', r'\s+', '[0-9][0-9][0-9]',
    f'.{{{wordpiece.LONGEST}}}'})
GROWTH = 64         # how much longer replacing may make a text without a trial


def check(pipeline: dict) -> None:
    """DataError where a step with an unknown regular expression, or steps that make a text much longer, take too much time or memory."""
    steps = [step for key in ('normalizer', 'pre_tokenizer') for step in pipelines.parts(pipeline[key])]
    patterns = [step['pattern'] for step in steps if isinstance(step.get('pattern'), dict)]
    unknown = [pattern['Regex'] for pattern in patterns if pattern.get('Regex', ' {2,}') not in PUBLISHED]
    growth = math.prod(max(1, len(step['content']) / max(1, len(step['pattern'].get('String', '')))) for step in steps
                       if step['type'] == 'Replace')
    if unknown or growth > GROWTH:
        _try(json.dumps({'normalizer': pipeline['normalizer'], 'pre_tokenizer': pipeline['pre_tokenizer']}), tuple(unknown))


@functools.lru_cache(maxsize=16)
def _try(steps, unknown):
    steps = json.loads(steps)
    model = {'type': 'WordLevel', 'vocab': {'?': 0}, 'unk_token': '?'}
    request = {'pipeline': pipelines.form(model, steps['normalizer'], steps['pre_tokenizer'], None), 'patterns': unknown,
               'texts': hostile.TEXTS}        # which the loader reads next, where a panic of the package would be seen
    try:
        ended = subprocess.run([sys.executable, '-P', pathlib.Path(trial.__file__)], input=json.dumps(request).encode(), timeout=20,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, 'TOKENIZERS_PARALLELISM': 'false'})
        failed = ended.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        what = 'the regular expression ' + ', '.join(repr(text)[:80] for text in unknown) if unknown else 'steps that replace'
        raise errors.DataError(f'expected steps that read runs of {trial.LONG:,} characters in {trial.SECONDS} s and '
                               f'{trial.BYTES >> 30} GiB, got {what}; use a tokenizer without')
