"""Reads and writes models as Hugging Face folders: config.json and safetensors. Tokenizer files are read in data/.

    module, variables = huggingface.load('folder')
    logits = module.apply(variables, huggingface.batch(module.config, input_ids, attention_mask))

Parameters are read tensor by tensor: beside the result, memory holds one tensor. Arrays are float32 for any type in the file.
"""
import math
import os
import types
from typing import Any, Callable, Iterator

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from model import config as model_config, task_model, transformer
from model.huggingface import compare, equivalent, files, names, settings

Path = str | os.PathLike


def load(folder: Path, head: str | task_model.Head | None = None, labels: int = 2, dtype: Any = jnp.float32,
         place: Callable | None = None, seed: int = 0, notice: Callable = print) -> tuple[task_model.Model, dict]:
    """(task_model.Model, {'params': tree of float32 arrays}) of a Hugging Face folder.

    head: instead of the checkpoint's, a kind (a key of task_model.KINDS) as the family's class of that kind has it, with `labels`
    labels; or a task_model.Head. Its parameters that the checkpoint lacks are initialised from `seed`, and a notice names them.
    dtype: of the computation. place(path, shape) -> Sharding of each parameter, None = the first device.
    errors.ConfigError, errors.FolderError.
    """
    config, own, family, raw = settings.read(folder)
    head = settings.head(family, head, labels) if isinstance(head, str) else head
    module = task_model.Model(config, head or own, dtype)
    optional = module.settings != own or settings.bare(family, raw)
    params = {path: jax.device_put(array, place and place(path, array.shape))
              for path, array in arrays(folder, module, family, optional, seed, notice)}
    return module, {'params': traverse_util.unflatten_dict(params, sep='/')}


def save(folder: Path, module: task_model.Model, variables: dict, dtype: str = 'float32', family: types.ModuleType | None = None,
         more: dict | None = None, shard: int = files.SHARD) -> list[str]:
    """Writes config.json and the safetensors of a task_model.Model to an existing folder; returns the names of the weight files.

    dtype: float32, bfloat16 or float16. family: a module of model/families/, None = the one that has this Config. more: further
    keys of config.json. shard: largest size of a file in bytes. errors.ConfigError if no family has the model or its head.
    """
    more, params = more or {}, flat(variables['params'])
    family = family or settings.fit(module.config, module.settings, more.get('model_type'))
    config = equivalent.config(family, module.config, more.get('pad_token_id'))
    params = {**params, **equivalent.tables(params, module.config, config)}
    shapes = {path: leaf.shape for path, leaf in params.items()}
    by_name = {tensor.name: tensor for tensor in names.tensors(family, module.settings.kind, shapes)}
    bare = settings.architecture(family, module.settings) == family.BARE

    def read(name):
        tensor = by_name[name]
        ours = [np.asarray(params[path]) for path in tensor.paths]
        return names.join(tensor, ours if tensor.layer is None else [array[tensor.layer] for array in ours], config)

    sizes = {name: math.prod(names.shape(tensor, shapes, config)) for name, tensor in by_name.items()}
    settings.write(folder, family, config, module.settings, dtype, more)
    called = {name.removeprefix(family.PREFIX) if bare else name: name for name in sorted(by_name)}
    sizes = {new: sizes[old] for new, old in called.items()}
    return files.write(folder, list(called), lambda name: read(called[name]), sizes, dtype, shard)


def arrays(folder: Path, module: task_model.Model, family: types.ModuleType, optional: bool, seed: int = 0,
           notice: Callable = print) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (path, float32 numpy array) of each parameter of `module`; all tensors are checked before the first.

    optional: whether a head that is missing in the files is initialised.
    """
    reader, shapes = files.Reader(folder), {path: leaf.shape for path, leaf in flat(abstract(module)).items()}
    kind, config = module.settings.kind, module.config
    tensors = names.tensors(family, kind, shapes)
    if names.bare(family, reader.shapes):
        tensors = [tensor._replace(name=tensor.name.removeprefix(family.PREFIX)) for tensor in tensors]
    lost = compare.check(reader, family, kind, tensors, shapes, config, optional, notice)
    fresh = initialised(module, lost, seed) if lost else {}
    for path, shape in shapes.items():
        yield path, fresh[path] if path in lost else assembled(path, shape, tensors, reader, config)


def assembled(path, shape, tensors, reader, config):
    """The float32 array of one parameter, made of its tensors."""
    mine = [tensor for tensor in tensors if path in tensor.paths]
    if mine[0].layer is None:
        return np.asarray(names.part(mine[0], reader.read(mine[0].name), path, shape, config), np.float32)
    array = np.empty(shape, np.float32)
    for tensor in mine:
        array[tensor.layer] = names.part(tensor, reader.read(tensor.name), path, shape[1:], config)
    return array


def abstract(module: task_model.Model) -> dict:
    """The parameters of a task_model.Model as ShapeDtypeStructs."""
    batch = transformer.blank(module.config, length=2)
    return jax.eval_shape(lambda: module.init(jax.random.key(0), batch, method='everything'))['params']


def initialised(module: task_model.Model, paths: set[str], seed: int) -> dict[str, np.ndarray]:
    """{path: float32 array} of fresh parameters."""
    batch = transformer.blank(module.config, length=2)

    def draw(key):
        params = flat(module.init(key, batch, method='everything')['params'])
        return {path: leaf for path, leaf in params.items() if path in paths}

    return {path: np.asarray(leaf) for path, leaf in jax.jit(draw)(jax.random.key(seed)).items()}


def flat(tree: dict) -> dict[str, Any]:
    """{path: leaf} of nested dicts."""
    return traverse_util.flatten_dict(tree, sep='/')


def batch(config: model_config.Config, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None,
          decoder_input_ids: Any = None, decoder_attention_mask: Any = None) -> dict[str, np.ndarray]:
    """The batch (data/example.py) for the arguments of a model of `transformers`: ids int[B, T], masks of real tokens, types.

    Positions count real tokens, from 0. ValueError for an encoder-decoder without decoder_input_ids.
    """
    if config.architecture == 'encoder_decoder':
        if decoder_input_ids is None:
            raise ValueError('an encoder-decoder reads two texts: expected decoder_input_ids, which begin with the id that starts a '
                             'decoder')
        source = {f'encoder_{name}': value for name, value in side(input_ids, attention_mask, causal=False).items()}
        return {**side(decoder_input_ids, decoder_attention_mask, causal=True), **source}
    found = side(input_ids, attention_mask, causal=config.architecture == 'decoder')
    return found if token_type_ids is None else {**found, 'types': np.asarray(token_type_ids, np.int32)}


def side(ids, mask, causal):
    ids = np.asarray(ids, np.int32)
    mask = np.ones_like(ids) if mask is None else np.asarray(mask, np.int32)
    places = np.maximum(np.cumsum(mask, axis=1, dtype=np.int32) - 1, 0)
    sees = places if causal else np.zeros_like(ids)
    return {'tokens': ids, 'positions': places, 'segments': mask, 'sees': sees, 'seen': sees}
