"""The folder of a run: who it belongs to. Another config is refused with the difference; nothing is written over."""
import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys

from etils import epath
import jax

from train import config as configs
from train import problems

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'numpy', 'sentencepiece')


def claim(workdir, config, origins=None):
    """Checks that `workdir` is new or holds a run that `config` continues: notices to show. problems.Error otherwise."""
    folder = epath.Path(workdir)
    if (folder / 'config.json').exists():
        old = configs.from_dict(json.loads((folder / 'config.json').read_text()), f'{workdir}/config.json')
        return configs.resume(old, config, workdir, origins)
    if (folder / 'checkpoints').exists():
        raise problems.Error([problems.Problem(f'--workdir={workdir}', 'holds checkpoints but no config.json, so that nobody knows '
                                               'what they belong to. Put it back, or start with another --workdir.')])
    return []


def write(workdir, config, tokenizer, parameters):
    """config.json, and at the first start environment.json and tokenizer/; each written whole and then put in place."""
    folder = epath.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / 'config.json', configs.to_dict(config))
    if not (folder / 'tokenizer').exists():
        tokenizer.save(folder / 'tokenizer')
    if not (folder / 'environment.json').exists():
        _put(folder / 'environment.json', environment(parameters))


def environment(parameters):
    """What a reader of the results wants to know about where they came from."""
    return {'python': platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES},
            'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}', 'processes': jax.process_count(),
            'revision': revision(), 'command': ' '.join(sys.argv), 'parameters': parameters,
            'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')}


def revision():
    """The git commit of the code, '+' if it was changed since; None outside a repository."""
    def git(*arguments):
        return subprocess.run(('git', '-C', str(epath.Path(__file__).parent), *arguments), capture_output=True, text=True, check=True).stdout
    try:
        return git('rev-parse', '--short=12', 'HEAD').strip() + '+' * bool(git('status', '--porcelain', '--untracked-files=no'))
    except (OSError, subprocess.CalledProcessError):
        return None


def _put(path, tree):
    text = json.dumps(tree, indent=1, ensure_ascii=False) + '\n'
    if path.exists() and path.read_text() == text:
        return
    fresh = path.parent / (path.name + '.new')
    fresh.write_text(text)
    fresh.replace(path)
