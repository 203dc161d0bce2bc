"""Reads and writes models as Hugging Face folders: config.json and safetensors. Tokenizer files are read in data/.

    module, variables = huggingface.load('folder')
    logits = module.apply(variables, huggingface.batch(module.config, input_ids, attention_mask))

Parameters are read tensor by tensor: beside the result, memory holds one tensor. Arrays are float32 for any type in the file.
"""
import functools
import math
import os
from typing import Any, Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from model import config as model_config, families, paths, task_model, transformer
from model.huggingface import compare, equivalent, files, folder as folders, names, settings

Path = str | os.PathLike


def load(folder: Path, head: str | task_model.Head | None = None, labels: int = 2, dtype: Any = jnp.float32,
         place: Callable | None = None, seed: int = 0, notice: Callable = print) -> tuple[task_model.Model, dict]:
    """(task_model.Model, {'params': tree of float32 arrays}) of a Hugging Face folder.

    head: instead of the checkpoint's, a kind (a key of task_model.KINDS) as the family's class of that kind has it, with `labels`
    labels; or a task_model.Head. Its parameters that the checkpoint lacks are initialised from `seed`, and a notice names them.
    dtype: of the computation. place(path, shape) -> Sharding of each parameter, None = the first device.
    errors.ConfigError, errors.FolderError.
    """
    found = folders.read(folder)
    head = settings.head(found.family, head, labels) if isinstance(head, str) else head
    module = task_model.Model(found.config, head or found.head, dtype)
    params = {path: jax.device_put(array, place and place(path, array.shape))
              for path, array in arrays(found, module, seed, notice)}
    return module, {'params': paths.unflatten(params)}


def save(folder: Path, module: task_model.Model, variables: dict, dtype: str = 'float32', family: families.Family | None = None,
         more: dict | None = None, shard: int = files.SHARD) -> list[str]:
    """Writes config.json and the safetensors of a task_model.Model to an existing folder; returns the names of the weight files.

    dtype: float32, bfloat16 or float16. family: one of model/families/, None = the one that has this Config. more: further
    keys of config.json. shard: largest size of a file in bytes. errors.ConfigError if no family has the model or its head.
    """
    more, params = more or {}, paths.flatten(variables['params'])
    family = family or settings.fit(module.config, module.settings, more.get('model_type'))
    config = equivalent.config(family, module.config, more.get('pad_token_id'))
    params.update(equivalent.tables(params, module.config, config))
    shapes = {path: leaf.shape for path, leaf in params.items()}
    settings.write(folder, family, config, module.settings, dtype, more)
    prefix = '' if settings.architecture(family, module.settings) == family.bare else None
    tensors = {tensor.name: tensor for tensor in sorted(names.tensors(family, module.settings.kind, shapes, prefix))}
    if family.output and module.settings.kind == 'language' and config.tied and config.logit_scale is None:
        tensors[family.output] = tensors[family.duplicates[family.output].format(prefix=family.prefix)]  # config.json can say untied alone

    def read(name):
        tensor = tensors[name]
        ours = [np.asarray(params[path]) for path in tensor.paths]
        return names.join(tensor, ours if tensor.layer is None else [array[tensor.layer] for array in ours], config)

    sizes = {name: math.prod(names.shape(tensor, shapes, config)) for name, tensor in tensors.items()}
    return files.write(folder, read, sizes, dtype, shard)


def arrays(found: folders.Folder, module: task_model.Model, seed: int = 0, notice: Callable = print) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (path, float32 numpy array) of each parameter of `module`; all tensors are checked before the first.

    A head of the module that is not that of the folder, and missing in its files, is initialised.
    """
    reader, family, shapes = found.reader, found.family, {path: leaf.shape for path, leaf in paths.flatten(abstract(module)).items()}
    kind, config = module.settings.kind, module.config
    prefix = names.prefix(family, kind, reader.shapes)
    tensors = names.tensors(family, kind, shapes, prefix)
    lost = compare.check(reader, family, kind, prefix, tensors, shapes, config, module.settings != found.head, notice)
    initial = jax.jit(lambda key: {path: leaf for path, leaf in paths.flatten(initialised(module, key)).items() if path in lost})
    fresh = initial(jax.random.key(seed)) if lost else {}
    for path, shape in shapes.items():
        yield path, np.asarray(fresh[path]) if path in lost else assembled(path, shape, tensors, reader, config)


@np.errstate(over='ignore')              # of float64: who saves infinity is told
def assembled(path, shape, tensors, reader, config):
    """The float32 array of one parameter, made of its tensors."""
    mine = [tensor for tensor in tensors if path in tensor.paths]
    if mine[0].layer is None:
        return np.asarray(names.part(mine[0], reader.read(mine[0].name), path, shape, config), np.float32)
    array = np.empty(shape, np.float32)
    for tensor in mine:
        array[tensor.layer] = names.part(tensor, reader.read(tensor.name), path, shape[1:], config)
    return array


def initialised(module: task_model.Model, key: jax.Array) -> dict:
    """Fresh parameters of a task_model.Model."""
    return module.init(key, transformer.blank(module.config, length=2), method='everything')['params']


def abstract(module: task_model.Model) -> dict:
    """The parameters of a task_model.Model as ShapeDtypeStructs."""
    return jax.eval_shape(functools.partial(initialised, module), jax.random.key(0))


def batch(config: model_config.Config, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None,
          decoder_input_ids: Any = None, decoder_attention_mask: Any = None) -> dict[str, np.ndarray]:
    """The batch (data/example.py) for the arguments of a model of `transformers`: ids int[B, T], masks of real tokens, types.

    Positions count real tokens, from 0. ValueError for an encoder-decoder without decoder_input_ids, for ids without a row in the
    model's tables (JAX would read NaN, or another row), and for rows longer than its table of positions.
    """
    def side(ids, mask, causal):
        ids = whole(ids, 'input_ids', config.vocab_size)
        mask = np.ones_like(ids) if mask is None else whole(mask, 'attention_mask', 2, ids.shape)
        positions = np.maximum(np.cumsum(mask, axis=1, dtype=np.int32) - 1, 0)
        if config.limit and positions.size and positions.max() >= config.limit:
            raise ValueError(f'input_ids: expected at most {config.limit} tokens in a row, as the table of positions has, '
                             f'got {positions.max() + 1}')
        sees = positions if causal else np.zeros_like(ids)
        return {'tokens': ids, 'positions': positions, 'segments': mask, 'sees': sees, 'seen': sees}

    found = side(input_ids, attention_mask, causal=config.architecture == 'decoder')
    if config.architecture == 'encoder_decoder':
        if decoder_input_ids is None:
            raise ValueError('an encoder-decoder reads two texts: expected decoder_input_ids, which begin with '
                             'the id that starts a decoder')
        found = side(decoder_input_ids, decoder_attention_mask, causal=True) | {f'encoder_{name}': value for name, value in found.items()}
    if token_type_ids is None:
        return found
    types = config.types or (1 if not config.relative_segments else 2 ** 31)
    return {**found, 'types': whole(token_type_ids, 'token_type_ids', types, np.shape(input_ids))}


def whole(values: Any, name: str, size: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An argument of a model of `transformers` as int32[B, T]. ValueError if it is not from 0 to size - 1 everywhere."""
    values = np.asarray(values)
    if values.ndim != 2 or shape not in (None, values.shape):
        raise ValueError(f'{name}: expected the shape {list(shape) if shape else "[rows, tokens]"}, got {list(values.shape)}')
    if values.dtype.kind not in 'iubf' or not np.array_equal(values, np.floor(values)):
        raise ValueError(f'{name}: expected whole numbers')
    if values.size and not 0 <= values.min() <= values.max() < size:
        wrong = values.min() if values.min() < 0 else values.max()
        raise ValueError(f'{name}: expected numbers from 0 to {size - 1}, got {wrong}')
    return values.astype(np.int32)
