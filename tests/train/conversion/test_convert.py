"""The command in both directions: what it writes, that an export has the bytes of the import, and the messages of what it refuses."""
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors

from data import corpus, tokenizer as tokenizers
from model import huggingface, paths, resize, transformer
from tests.helpers import huggingface_tokenizers as published
from train import convert, evaluate, generate, main, objectives, program
from train.checkpoints import checkpoint, manifest, workdir
from train.conversion import importing
from train.parallel import sharding
from train.prediction import prompts
from train.settings import parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
MESSAGES = pathlib.Path(__file__).parents[3] / 'tests/fixtures/messages/convert'
OBJECTIVES = {'gpt2': 'causal_lm', 'bert': 'masked_lm', 't5': 'span_corruption', 'bart': 'denoising', 'electra': 'replaced_token_detection',
              'xlnet': 'permuted_lm'}


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
    """imported(name) -> (folder, workdir) of a stored case with 300 tokens."""
    root, made = tmp_path_factory.mktemp('imported'), {}

    def get(name):
        if name not in made:
            folder = published.write(name, root / f'hf-{name}', 300)
            assert convert.main(['import', f'--hf={folder}', f'--out={root / name}']) == 0
            made[name] = folder, root / name
        return made[name]
    return get


@pytest.mark.parametrize('name', OBJECTIVES)
def test_an_import_is_a_workdir_and_its_export_the_same_bytes(imported, tmp_path, capsys, name):
    folder, out = imported(name)
    module, variables = huggingface.load(folder)
    config = workdir.read(out)
    assert type(config.objective).__module__ == f'data.objectives.{OBJECTIVES[name]}' and config.model.vocab_size == 300
    assert {path.name for path in out.iterdir()} == {'config.json', 'environment.json', 'tokenizer', 'checkpoints', 'huggingface'}
    assert manifest.check(out / 'checkpoints' / '0') == []
    params, meta = checkpoint.load_params(out)
    wanted, found = paths.flatten(variables['params']), paths.flatten(params)
    assert found.keys() == wanted.keys()
    for path in wanted:
        np.testing.assert_array_equal(found[path], wanted[path], err_msg=path)
    assert meta['step'] == 0 and meta['tokenizer'] == tokenizers.load(folder).hash == tokenizers.load(out / 'tokenizer').hash

    assert convert.main(['export', f'--workdir={out}', f'--hf={tmp_path}/back']) == 0
    before, after = safetensors.load_file(folder / 'model.safetensors'), safetensors.load_file(tmp_path / 'back' / 'model.safetensors')
    extra = before.keys() - after.keys()
    assert after.keys() <= before.keys() and extra <= {'final_logits_bias', *module_duplicates(folder)}
    assert all(before[key].tobytes() == after[key].tobytes() for key in after)
    assert tokenizers.load(tmp_path / 'back').hash == meta['tokenizer']
    said, says = (json.loads((path / 'config.json').read_text()) for path in (folder, tmp_path / 'back'))
    assert {key: says.get(key, value) for key, value in said.items()} == {key: value for key, value in says.items() if key in said} | {
        'transformers_version': said['transformers_version']}
    assert 'rope_scaling' not in says          # `transformers` 5 warns of it
    assert (tmp_path / 'back' / 'generation_config.json').exists() == (config.model.architecture != 'encoder')


def module_duplicates(folder):
    family = huggingface.settings.read(folder)[2]
    return {name.format(prefix=family.prefix) for name in family.duplicates}


def test_nothing_is_left_beside_what_is_written(imported):
    out = imported('gpt2')[1]
    assert not [path.name for path in out.parent.iterdir() if path.name.startswith('.')]
    assert (out.stat().st_mode & 0o777) == (out.parent / 'hf-gpt2').stat().st_mode & 0o777


@pytest.mark.parametrize('name', ['gpt2', 't5', pytest.param('bart', marks=pytest.mark.slow)])
def test_an_imported_model_generates_what_it_finds_likeliest(imported, name):
    folder, out = imported(name)
    options = generate.parser().parse_args([f'--workdir={out}', '--prompt=It was', '--method=greedy', '--max_new_tokens=3'])
    found, = prompts.answers(options)
    module, variables = huggingface.load(folder)
    ids = tokenizers.load(folder)
    special, prompt = ids.special, ids.encode('It was')
    said = []
    for _ in range(3):
        if name == 'gpt2':
            batch = huggingface.batch(module.config, [[special.bos, *prompt, *said]])
        else:
            read, first = getattr(workdir.read(out).objective, 'prompt', lambda ids, special: (ids, special.bos))(prompt, special)
            batch = huggingface.batch(module.config, [[*read, special.eos]], decoder_input_ids=[[first, *said]])
        said.append(int(np.argmax(module.apply(variables, batch, method='language')[0, -1, :300])))
        if said[-1] == special.eos:
            said.pop()
            break
    assert found['tokens'] == said


FITS = {'masked_lm': ('--config.model.types=2',), 'span_corruption': ('--config.model.norm_epsilon=1e-6',)}


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """run(variant) -> the workdir of a config as if two steps had been taken, with fresh parameters."""
    root = tmp_path_factory.mktemp('runs')

    def run(variant, config='configs/tiny.py'):
        folder = root / pathlib.Path(config).stem / variant
        if folder.exists():
            return folder
        request = parse.parse([f'--config={config}:{variant}', f'--workdir={folder}', f'--config.data.cache={root}/cache',
                                 '--config.steps=2', *FITS.get(variant, ())], devices=False)
        text = corpus.open(request.config.data, request.config.tokenizer, lambda line: None)
        config = parse.with_vocabulary(request.config, text.tokenizer)
        mesh = sharding.mesh(config.mesh, jax.devices()[:1])
        with jax.set_mesh(mesh), checkpoint.Checkpoints(folder / 'checkpoints') as saved:
            compiled = program.build(config, objectives.build(config), mesh, program.shapes(config, text.train))
            saved.save(2, compiled.create(), {'examples': 16, 'metrics': {'eval/loss': 5.5}, 'data': text.train.fingerprint})
            workdir.write(folder, config, text.tokenizer, 0)
        return folder
    return run


@pytest.mark.parametrize('variant, model_type', [
    ('causal_lm', 'gpt2'), ('masked_lm', 'bert'), ('span_corruption', 't5'), ('replaced_token_detection', 'electra')])
def test_a_run_exports_and_says_the_same(runs, tmp_path, variant, model_type):
    folder = runs(variant)
    assert convert.main(['export', f'--workdir={folder}', f'--hf={tmp_path}/out']) == 0
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['model_type'] == model_type
    module, variables = huggingface.load(tmp_path / 'out')
    params, _ = checkpoint.load_params(folder)
    wanted, found = paths.flatten(params), paths.flatten(variables['params'])
    assert found.keys() <= wanted.keys()
    size = module.config.vocab_size
    for path, leaf in found.items():
        axis = resize.axis(path)
        rows = (slice(None),) * (axis or 0) + (slice(size if axis is not None else None),)
        np.testing.assert_array_equal(leaf[rows], wanted[path][rows], err_msg=path)
    card = (tmp_path / 'out' / 'README.md').read_text()
    assert '2 steps of 8 rows: 16 examples' in card and '`bundled:novels`' in card and '| loss | 5.5000 |' in card
    assert manifest._digest(tmp_path / 'out' / 'model.safetensors').split()[1] in card


def test_the_generator_of_an_electra_is_another_export(runs, tmp_path, capsys):
    folder = runs('replaced_token_detection')
    assert convert.main(['export', f'--workdir={folder}', f'--hf={tmp_path}/out', '--network=generator']) == 0
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['architectures'] == ['ElectraForMaskedLM']
    module, variables = huggingface.load(tmp_path / 'out')
    own, _ = checkpoint.load_params(folder, patterns=('^generator/',))
    head = variables['params']['backbone']['head']
    np.testing.assert_array_equal(head['transform']['kernel'], own['generator']['head']['transform']['kernel'])


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_leaves_and_comes_back(imported, tmp_path, dtype):
    folder, out = imported('gpt2')
    assert convert.main(['export', f'--workdir={out}', f'--hf={tmp_path}/half', f'--dtype={dtype}']) == 0
    found, exact = huggingface.load(tmp_path / 'half')[1], huggingface.load(folder)[1]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(dtype).astype('float32')), found, exact)
    assert json.loads((tmp_path / 'half' / 'config.json').read_text())['dtype'] == dtype


@pytest.mark.parametrize('name, size', [('gpt2', 400), ('bert', 280), ('t5', 256)])
def test_a_vocabulary_grows_and_shrinks_at_the_door(imported, tmp_path, name, size):
    folder, out = imported(name)
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out', f'--vocab_size={size}']) == 0
    config, (params, _) = workdir.read(tmp_path / 'out'), checkpoint.load_params(tmp_path / 'out')
    table, old = (np.asarray(tree['backbone']['embed']['embedding']) for tree in (params, checkpoint.load_params(out)[0]))
    kept = min(size, 300)
    assert config.model.vocab_size == size and len(table) == config.model.padded_vocab
    np.testing.assert_array_equal(table[:kept], old[:kept])
    mean = np.broadcast_to(np.mean(old[:300], 0, np.float64), table[kept:size].shape)
    np.testing.assert_allclose(table[kept:size], mean, rtol=1e-5, atol=1e-7)
    assert not table[size:].any()


def test_code_of_a_folder_is_ignored_with_a_notice(imported, tmp_path, capsys):
    folder = shutil.copytree(imported('gpt2')[0], tmp_path / 'hf')
    change(folder, auto_map={'AutoModel': 'modeling_evil.Evil'})
    (folder / 'modeling_evil.py').write_text('raise SystemExit(99)')
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out']) == 0
    assert f'{folder}: auto_map names code of its own, AutoModel; it is ignored, never run' in capsys.readouterr().err


def change(folder, **settings):
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({key: value for key, value in {**config, **settings}.items() if value is not DELETE}))


DELETE = object()


def tensors(folder, change):
    found = safetensors.load_file(folder / 'model.safetensors')
    change(found)
    safetensors.save_file(found, folder / 'model.safetensors', metadata={'format': 'pt'})


def shards(folder, *names):
    (folder / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': {f'tensor.{i}': name for i, name in enumerate(names)}}))
    (folder / 'model.safetensors').rename(folder / 'model-00001-of-00002.safetensors')


def truncated(folder):
    data = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(data[:len(data) // 2])


def only_a_pickle(folder):
    (folder / 'model.safetensors').unlink()
    (folder / 'pytorch_model.bin').write_bytes(pickle.dumps({}))


def missing(folder):
    tensors(folder, lambda found: [found.pop('transformer.h.1.mlp.c_fc.weight'), found.pop('transformer.ln_f.bias')])


def extra(folder):
    tensors(folder, lambda found: found.update({'transformer.h.2.ln_1.weight': np.ones(32, np.float32)}))


def wrong_shape(folder):
    tensors(folder, lambda found: found.update({'transformer.h.0.mlp.c_fc.weight': np.ones((32, 64), np.float32)}))


def not_finite(folder):
    tensors(folder, lambda found: found['transformer.wpe.weight'].__setitem__((3, 3), np.nan))


# {name of the stored message: (stored case, what is done to its folder, further flags)}; the first line of the message is its exit code.
REFUSED = {
    'no_config': ('gpt2', lambda folder: (folder / 'config.json').unlink(), ()),
    'config_no_json': ('gpt2', lambda folder: (folder / 'config.json').write_text('{"model_type": '), ()),
    'no_model_type': ('gpt2', lambda folder: change(folder, model_type=DELETE), ()),
    'model_type_unknown': ('gpt2', lambda folder: change(folder, model_type='gpt_2'), ()),
    'architecture_unknown': ('gpt2', lambda folder: change(folder, architectures=['GPT2DoubleHeadsModel']), ()),
    'setting_missing': ('gpt2', lambda folder: change(folder, n_embd=DELETE), ()),
    'settings_unsupported': ('gpt2', lambda folder: change(folder, activation_function='mish', scale_attn_by_inverse_layer_idx=True), ()),
    'key_unknown': ('llama', lambda folder: change(folder, sliding_window=16, parallel_residual=True), ()),
    'relative_positions': ('bert', lambda folder: change(folder, position_embedding_type='relative_key'), ()),
    'rope_scaling': (
        'llama', lambda folder: change(folder, rope_parameters={'rope_type': 'yarn', 'factor': 4.0, 'rope_theta': 10000.0}), ()),
    'no_weights': ('gpt2', lambda folder: (folder / 'model.safetensors').unlink(), ()),
    'only_a_pickle': ('gpt2', only_a_pickle, ()),
    'truncated': ('gpt2', truncated, ()),
    'missing_tensor': ('gpt2', missing, ()),
    'extra_tensor': ('gpt2', extra, ()),
    'wrong_shape': ('gpt2', wrong_shape, ()),
    'not_finite': ('gpt2', not_finite, ()),
    'index_escapes': ('gpt2', lambda folder: shards(folder, 'model-00001-of-00002.safetensors', '../secret.safetensors'), ()),
    'index_is_absolute': ('gpt2', lambda folder: shards(folder, '/etc/secret.safetensors'), ()),
    'shard_missing': ('gpt2', lambda folder: shards(folder, 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'), ()),
    'index_no_json': ('gpt2', lambda folder: (shards(folder), (folder / 'model.safetensors.index.json').write_text('[')), ()),
    'tokenizer_too_large': ('gpt2', lambda folder: None, ('--vocab_size=200',)),
    'tokenizer_damaged': ('gpt2', lambda folder: (folder / 'vocab.json').write_text('{'), ()),
    'no_folder': ('gpt2', shutil.rmtree, ('--vocab_size=0',)),
}


def told(error, folder):
    return error.replace(str(folder), 'FOLDER')


@pytest.mark.parametrize('name', REFUSED)
def test_refused(imported, tmp_path, capsys, name):
    case, damage, flags = REFUSED[name]
    published.write(case, tmp_path / 'hf', 300)
    damage(tmp_path / 'hf')
    capsys.readouterr()
    code = convert.main(['import', f'--hf={tmp_path}/hf', f'--out={tmp_path}/out', *flags])
    compare(name, f'{code}\n{told(capsys.readouterr().err, tmp_path)}')
    assert not {path.name for path in tmp_path.iterdir()} - {'hf'}


def compare(name, found):
    if os.environ.get('WRITE_MESSAGES'):
        (MESSAGES / f'{name}.txt').write_text(found)
    assert found == (MESSAGES / f'{name}.txt').read_text()


def test_refused_out(imported, tmp_path, capsys):
    folder, _ = imported('gpt2')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine.txt').write_text('kept')
    capsys.readouterr()
    code = convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out'])
    compare('out_exists', f'{code}\n{told(capsys.readouterr().err, tmp_path)}')
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['mine.txt']
    (tmp_path / 'out' / 'mine.txt').unlink()
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/out']) == 0     # an empty folder is fine


@pytest.mark.parametrize('name, flags', [
    ('export_exists', ['--hf=FOLDER/full']), ('export_no_run', ['--workdir=FOLDER/nowhere', '--step=-1']),
    ('export_family_unknown', ['--family=brat']), ('export_other_family', ['--family=bert']),
    ('export_no_generator', ['--network=generator']),
    ('export_no_step', ['--step=7']), ('export_license', ['--license=mine: all mine'])])
def test_refused_exports(imported, tmp_path, capsys, name, flags):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'mine.txt').write_text('kept')
    out = imported('gpt2')[1]
    capsys.readouterr()
    given = [f'--workdir={out}', f'--hf={tmp_path}/new', *(flag.replace('FOLDER', str(tmp_path)) for flag in flags)]
    code = convert.main(['export', *given])
    compare(name, f'{code}\n{told(told(capsys.readouterr().err, tmp_path), out.parent)}')
    assert {path.name for path in tmp_path.iterdir()} == {'full'}


def test_a_structure_without_a_family_names_the_nearest(runs, tmp_path, capsys):
    folder = runs('permuted_lm')
    shutil.copytree(folder, tmp_path / 'run')
    config = json.loads((tmp_path / 'run' / 'config.json').read_text())
    config['model'].update(qk_norm=True, norm='rmsnorm')
    (tmp_path / 'run' / 'config.json').write_text(json.dumps(config))
    capsys.readouterr()
    code = convert.main(['export', f'--workdir={tmp_path}/run', f'--hf={tmp_path}/new'])
    compare('export_no_family', f'{code}\n{told(capsys.readouterr().err, tmp_path)}')


def test_a_workdir_of_an_import_is_no_run(imported, capsys):
    folder, out = imported('gpt2')
    before = sorted(path for path in out.rglob('*'))
    capsys.readouterr()
    code = main.main(['--config=configs/tiny.py', f'--workdir={out}', '--config.mesh.data=8', f'--config.data.cache={out.parent}/cache'])
    compare('main_in_an_import', f'{code}\n{told(capsys.readouterr().err, out.parent)}')
    assert sorted(path for path in out.rglob('*')) == before


def test_help_needs_no_jax():
    code = ('import sys\nfrom train import convert\ntry: convert.main(["import", "--help"])\nexcept SystemExit: pass\n'
            'print(sorted({"jax", "numpy", "flax", "safetensors"} & set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == '[]', result.stderr


@pytest.mark.parametrize('name, removed', [('llama_bare', ''), ('electra_bare', ''), ('gpt2_bare', ''), ('bert_pooler', 'pooler')])
def test_a_bare_backbone_comes_back_without_a_head(tmp_path, capsys, name, removed):
    """No head is drawn for it, not even BERT's pooler where the files have none."""
    folder = published.write(name, tmp_path / 'hf', 300)
    if removed:
        tensors(folder, lambda found: [found.pop(key) for key in [*found] if removed in key])
    assert convert.main(['import', f'--hf={folder}', f'--out={tmp_path}/run']) == 0
    said = capsys.readouterr().err
    assert 'initialised' not in said
    assert ('a run that starts from it makes one' in said) == (name != 'gpt2_bare')  # whose output is its table
    assert convert.main(['export', f'--workdir={tmp_path}/run', f'--hf={tmp_path}/back']) == 0
    before, after = (safetensors.load_file(path / 'model.safetensors') for path in (folder, tmp_path / 'back'))
    assert {key: array.tobytes() for key, array in before.items()} == {key: array.tobytes() for key, array in after.items()}
    says = json.loads((tmp_path / 'back/config.json').read_text())
    assert says['architectures'] == json.loads((folder / 'config.json').read_text())['architectures']


def test_an_import_suggests_what_it_can_do(imported, tmp_path, capsys):
    for case, can in (('bert', True), ('bert_pooler', False)):
        capsys.readouterr()
        assert convert.main(['import', f'--hf={imported(case)[0]}', f'--out={tmp_path}/{case}']) == 0
        said = capsys.readouterr().err
        assert ('train.generate' in said) == can and ('no head of masked_lm came with it' in said) == (not can)


def test_what_a_killed_process_left_is_in_nobodys_way(imported, tmp_path):
    left = tmp_path / f'.out.{os.getpid()}.tmp' / 'checkpoints' / '0'
    left.mkdir(parents=True)
    (left / 'half').write_text('')
    assert convert.main(['import', f'--hf={imported("gpt2")[0]}', f'--out={tmp_path}/out']) == 0
    assert manifest.check(tmp_path / 'out' / 'checkpoints' / '0') == [] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('card, expected', [
    ('---\nlanguage: en\nlicense: "apache-2.0"\ntags: [x]\n---\n', 'apache-2.0'), ('---\nlicense: mit\n---\n', 'mit'),
    ('---\nlanguage: en\n---\nlicense: mit\n---\n', None), ('license: mit\n', None)])
def test_the_licence_is_that_of_the_head_of_the_card(tmp_path, card, expected):
    (tmp_path / 'README.md').write_text(card)
    assert importing.license_of(tmp_path) == expected


def test_the_card_of_a_run_that_started_from_another_says_so(runs, tmp_path):
    folder = shutil.copytree(runs('causal_lm'), tmp_path / 'run')
    config = json.loads((folder / 'config.json').read_text())
    config['init']['from'] = str(runs('causal_lm'))
    (folder / 'config.json').write_text(json.dumps(config))
    assert convert.main(['export', f'--workdir={folder}', f'--hf={tmp_path}/out']) == 0
    card = (tmp_path / 'out' / 'README.md').read_text()
    assert f'Training started from the run `{runs("causal_lm")}`.' in card and 'from scratch' not in card


@pytest.mark.parametrize('name, case, call', [
    ('evaluate_no_generator', 'electra', lambda out: evaluate.main([f'--workdir={out}', f'--data={ROOT}/README.md'])),
    ('generate_no_head', 'bert_pooler', lambda out: generate.main([f'--workdir={out}', '--prompt=It was <mask>.'])),
    ('generate_no_language', 'llama_classes', lambda out: generate.main([f'--workdir={out}']))])
def test_a_head_that_the_import_has_not_is_named(imported, capsys, name, case, call):
    out = imported(case)[1]
    capsys.readouterr()
    compare(name, f'{call(out)}\n{told(capsys.readouterr().err, out.parent)}')


def test_an_encoder_fills_masks_and_every_import_evaluates(imported, capsys):
    out = imported('bert')[1]
    capsys.readouterr()
    assert generate.main([f'--workdir={out}', '--prompt=It was <mask>.', '--json']) == 0
    assert len(json.loads(capsys.readouterr().out)['tokens']) == 1
    assert evaluate.main([f'--workdir={out}', f'--data={ROOT}/README.md', '--batches=1', '--batch_size=8', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['step'] == 0 and found['examples'] == 8 and 4 < found['eval/masked_lm'] < 9


FAMILIES = ('gpt2', 'bert', 'roberta', 'albert', 't5', 'bart', 'electra', 'xlnet')


@pytest.mark.slow
@pytest.mark.parametrize('name', FAMILIES)
def test_a_run_of_every_recipe_exports_as_its_family_with_the_same_logits(runs, tmp_path, name):
    folder = runs('tiny', f'configs/pretrain_{name}.py')
    assert convert.main(['export', f'--workdir={folder}', f'--hf={tmp_path}/out']) == 0
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['model_type'] == name
    module, variables = huggingface.load(tmp_path / 'out')
    params, _ = checkpoint.load_params(folder)
    backbone = transformer.Transformer(workdir.read(folder).model)
    given = huggingface.batch(module.config, np.arange(60).reshape(2, 30) + 3, decoder_input_ids=np.arange(40).reshape(2, 20) + 5)
    given |= {} if module.config.architecture == 'encoder_decoder' else {'types': np.zeros((2, 30), np.int32)}
    expected = backbone.apply({'params': params['backbone']}, given, method='hidden')
    found = transformer.Transformer(module.config).apply({'params': variables['params']['backbone']}, given, method='hidden')
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('flags', [['import', '--hf=HF', '--out=FOLDER/new'], ['export', '--workdir=OUT', '--hf=FOLDER/new']])
def test_a_full_disk_exits_6_and_leaves_nothing(imported, tmp_path, flags):
    """A limit on the size of a file fails as a full disk does, below Python."""
    folder, out = imported('gpt2')
    flags = [flag.replace('HF', str(folder)).replace('OUT', str(out)).replace('FOLDER', str(tmp_path)) for flag in flags]
    command = ['bash', '-c', 'ulimit -f 30; exec "$0" -m train.convert "$@"', sys.executable, *flags]
    environment = {**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 6 and 'File too large' in result.stderr and 'Traceback' not in result.stderr
    assert list(tmp_path.iterdir()) == []
