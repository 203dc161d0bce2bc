"""Imports point one way: configs and data know nothing of JAX, the model nothing of training."""
import ast
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ('configs', 'data', 'model', 'train')
COMMANDS = ('main', 'inspect', 'generate', 'evaluate', 'convert', 'report')
# What a file may import of this project. The first row that matches the module's name counts; no row is an error.
ALLOWED = (
    ('configs', ('configs', 'model.families')),
    ('data', ('data',)),
    ('model.positions', ('model.encodings', 'model.layers', 'model.attention.transformer_xl')),  # inside functions alone
    ('model.config', ('model.positions',)),
    ('model.families', ('model.families',)),
    ('model.ops', ()),
    ('model.initializers', ('model.ops', 'model.config')),
    ('model.layers', ('model.ops', 'model.config', 'model.initializers')),
    ('model.encodings', ()),
    ('model.attention.rule', ()),
    ('model.attention', ('model.ops', 'model.config', 'model.positions', 'model.initializers', 'model.layers', 'model.encodings',
                         'model.attention')),
    ('model.decoding', ('model.config', 'model.paths', 'model.attention.rule')),
    ('model.memory', ('model.config', 'model.encodings')),
    ('model.scoring', ()),
    ('model.chunked_scoring', ('model.ops', 'model.scoring')),
    ('model.heads', ('model.ops', 'model.config', 'model.initializers', 'model.layers', 'model.scoring', 'model.chunked_scoring')),
    ('model.query_stack', ('model.layers', 'model.stack')),
    ('model.stack', ('model.ops', 'model.config', 'model.layers', 'model.positions', 'model.attention', 'model.decoding.cache',
                     'model.memory')),
    ('model.transformer', ('model.ops', 'model.config', 'model.layers', 'model.memory', 'model.decoding.cache', 'model.heads',
                           'model.query_stack', 'model.scoring', 'model.stack', 'model.attention.rule', 'model.attention.streams')),
    ('model.paths', ()),
    ('model.resize', ('model.config', 'model.paths')),
    ('model.task_model', ('model.config', 'model.heads', 'model.layers', 'model.memory', 'model.positions', 'model.transformer',
                          'model.attention.rule')),
    ('model.huggingface', ('model.config', 'model.paths', 'model.positions', 'model.families', 'model.task_model', 'model.transformer',
                           'model.resize', 'model.huggingface')),
    ('model.flops', ('model.transformer', 'model.config', 'model.positions', 'model.resize')),
    ('model', ()),
    ('train.settings', ('data.errors', 'data.json_text', 'data.objectives', 'data.places', 'data.ranges', 'data.text.formats',
                        'model.config', 'model.positions', 'train.settings')),
    ('train.parallel', ('data.places', 'model.paths', 'train.settings', 'train.parallel')),
    ('train.reliability', ('train.settings', 'train.parallel')),
    ('train.checkpoints', ('data.atomic', 'data.errors', 'data.places', 'data.tokenizer', 'model.config', 'model.paths', 'model.resize',
                           'train.settings', 'train.parallel', 'train.checkpoints')),
    ('train.optimization', ('model.paths', 'train.settings', 'train.optimization')),
    ('train.objectives', ('data', 'model', 'train.settings', 'train.objectives')),
    ('train.monitoring', ('data.atomic', 'data.errors', 'data.json_text', 'train.settings', 'train.checkpoints', 'train.objectives',
                          'train.monitoring')),
    ('train.state', ('model.paths',)),
    ('train.step', ('train.parallel.microbatches', 'train.state')),
    ('train.program', ('data.example', 'data.pipeline', *(f'train.{room}' for room in (
        'settings', 'optimization', 'parallel', 'state', 'step')))),
    ('train.prediction', ('data', 'model', 'train.settings', 'train.parallel', 'train.checkpoints', 'train.objectives', 'train.state',
                          'train.step', 'train.program', 'train.monitoring.display', 'train.prediction')),
    ('train.inspection', ('data', 'train.settings', 'train.objectives', 'train.state', 'train.step', 'train.monitoring.curves',
                          'train.inspection')),
    ('train.conversion', ('data', 'model', 'train.settings', 'train.checkpoints', 'train.objectives', 'train.monitoring',
                          'train.conversion')),
    ('train.loop', ('data', 'model.paths', *(f'train.{room}' for room in (
        'settings', 'parallel', 'reliability', 'checkpoints', 'optimization', 'objectives', 'monitoring', 'prediction', 'inspection',
        'program', 'state')))),
    ('train', ('data', 'model', 'train')),    # the commands
)


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob('*.py')):
            name = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
            if name:
                yield name, path


def imported(path):
    """Full names of what a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def within(name, prefixes):
    return any(name == prefix or name.startswith(prefix + '.') for prefix in prefixes)


def test_imports_follow_the_arrows():
    wrong = []
    for name, path in modules():
        own = [target for target in imported(path) if target.split('.')[0] in PACKAGES]
        allowed = next(allowed for prefix, allowed in ALLOWED if within(name, (prefix,)))
        wrong += [f'{name} imports {target}' for target in own if not within(target, allowed)]
    assert wrong == []


def test_no_room_imports_a_command_and_the_top_of_train_holds_little_else():
    top = {path.stem for path in (ROOT / 'train').glob('*.py')} - {'__init__'}
    assert top == {*COMMANDS, '__main__', 'loop', 'program', 'step', 'state'}
    commands = [f'train.{name}' for name in COMMANDS]
    for name, path in modules():
        if name not in commands:
            assert not [target for target in imported(path) if within(target, commands)], name


def test_heavy_packages_stay_in_their_rooms():
    wrong = []
    for name, path in modules():
        top = {target.split('.')[0] for target in imported(path)}
        forbidden = {'tensorflow', 'torch', 'transformers', 'clu', 'pickle', 'grain'}
        if not name.startswith(('model', 'train')):
            forbidden |= {'jax', 'flax', 'optax', 'orbax'}
        wrong += [f'{name} imports {package}' for package in sorted(top & forbidden)]
    assert wrong == []


def test_data_and_configs_load_without_jax():
    names = [name for name, _ in modules() if name.startswith(('data', 'configs'))] + ['train.main']
    code = (f'import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n'
            'print(sorted({"jax", "tensorflow"} & set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == '[]'
