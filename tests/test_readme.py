"""The commands of the README run, in its order, on the tiny form of each config, and the files that it names exist."""
import pathlib
import re
import shlex

from tests.helpers import subprocesses

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def commands():
    """`make quickstart`'s own command, then every `python -m` line."""
    first = re.search(r'\$\(RUN\) (-m train\.main .*)', (ROOT / 'Makefile').read_text())[1]
    return ['python ' + first] + [line.split('   #')[0].strip() for line in README.splitlines() if line.startswith('python -m ')]


def small(command, folder):
    """The command with runs/ in `folder` and a run of seconds: two steps of the tiny form."""
    words = shlex.split(command.replace('runs/', f'{folder}/').replace('=downloads/', f'={folder}/downloads/'))
    if 'train.main' in words:
        tiny = {'quickstart.py': 'quickstart.py:tiny', 'quickstart.py:masked_lm': 'tiny.py:masked_lm'}
        words = [re.sub(r'quickstart\.py\S*', lambda name: tiny[name[0]], word) for word in words]
        words += ['--config.sequence_length=64', '--config.optimizer.warmup=0'] if '--config=configs/continue.py' in words else []
        words += ['--config.steps=2', '--config.eval_batches=1', '--config.sample.max_new_tokens=4']
    if 'train.evaluate' in words:
        words += ['--batches=1']
    if 'train.generate' in words and '<mask>' not in command:
        words += ['--max_new_tokens=8']
    return words[1:]


def test_every_command_runs(tmp_path):
    assert len(commands()) >= 5
    download = ['python -m train.main --config=configs/tiny.py --workdir=runs/small',
                'python -m train.convert export --workdir=runs/small --hf=downloads/gpt2']
    (tmp_path / 'downloads').mkdir()
    for command in [*download, *commands()]:
        subprocesses.run(*small(command, tmp_path))
    assert {path.name for path in (tmp_path / 'quickstart').iterdir()} >= {'metrics.jsonl', 'samples.jsonl', 'report.html', 'checkpoints'}
    assert (tmp_path / 'exported' / 'model.safetensors').exists() and (tmp_path / 'exported' / 'tokenizer.json').exists()
    assert (tmp_path / 'both.html').exists() and (tmp_path / 't5.html').exists()


def test_make_targets_and_files_that_it_names_exist():
    makefile = (ROOT / 'Makefile').read_text()
    for target in re.findall(r'`?make ([a-z-]+)', README):
        assert f'\n{target}:' in makefile, target
    assert 'MEASURED' not in README
    links = [path for path in re.findall(r'\]\(([^)]+)\)', README) if '://' not in path]
    assert len(links) >= 6
    for path in [*links, *re.findall(r'`((?:data|model|train|tests|docs|configs|bench)/[\w./-]*)', README)]:
        assert (ROOT / path).exists() or 'NAME' in path, path
