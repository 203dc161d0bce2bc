"""Runs a config file: a short Python file whose get_config(variant) returns the values that it sets.

Convention: `VARIANTS = ('', 'mini', ...)` at the top names every variant ('' is the plain one); a file without VARIANTS
has a get_config() without arguments. What the file raises becomes one problem that names its own line.
"""
import collections.abc
import linecache
import os
import pathlib
import runpy
import traceback
from typing import Any

from train.settings import command_line, errors, schema, values


def read(path: str | None, variant: str = '') -> dict[str, values.Given]:
    """{dotted key: value} that a config file sets. errors.Error. `path` None means that none was given."""
    there = command_line.configs()
    if not path:
        raise wrong('--config', f'missing. There are: {", ".join(there)}.')
    file = next((file for file in (pathlib.Path(path), command_line.ROOT / path) if file.is_file()), None)
    if not file:
        names = [os.path.basename(p).removesuffix('.py') for p in there]
        near = errors.did_you_mean(os.path.basename(path).removesuffix('.py'), names, 'configs/{}.py')
        raise wrong(f'--config={path}', f'no such file.{near} There are: {", ".join(there)}.')
    try:
        module = runpy.run_path(str(file), run_name='config')
        variants, get_config = module.get('VARIANTS', ()), module.get('get_config')
        found = get_config(*[variant] * bool(variants)) if get_config and variant in ('', *variants) else None
    except Exception as error:
        raise raised(path, str(file), error) from None
    if variant not in ('', *variants):
        has = f'has: {", ".join(filter(None, variants))}.' if variants else 'has no variants.'
        raise wrong(f'--config={path}:{variant}', f'no such variant.{errors.did_you_mean(variant, variants)} {path} {has}')
    if not get_config:
        raise wrong(path, 'has no get_config(variant); expected a function that returns the values to set.')
    found = found.to_dict() if hasattr(found, 'to_dict') else found
    if not isinstance(found, collections.abc.Mapping):
        raise wrong(path, f'get_config returned {type(found).__name__}; expected a ConfigDict or dict.')
    return given(found, f'set in {path}')


def wrong(subject, text):
    return errors.Error([errors.Problem(subject, text)])


def raised(name, path, error):
    """The errors.Error of a config file that raises: its own line, not Python's stack."""
    number = error.lineno or 1 if isinstance(error, SyntaxError) and error.filename == path else next(
        (frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__)) if frame.filename == path), None)
    code = linecache.getline(path, number).strip() if number else ''
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = f'{type(error).__name__}: {message}' + f', in `{code}`' * bool(code) + '. Correct the file.'
    return wrong(f'{name}:{number}' if number else name, text)


def leaves(tree: collections.abc.Mapping, prefix: str = '') -> collections.abc.Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested dicts; a dict at a setting that is no group stays a value."""
    for name, value in tree.items():
        key = prefix + schema.external(str(name))
        if isinstance(value, collections.abc.Mapping) and key not in schema.kinds():
            yield from leaves(value, key + '.')
        else:
            yield key, value


def given(tree: collections.abc.Mapping, origin: str, **more: Any) -> dict[str, values.Given]:
    """{dotted key: Given} of nested dicts. more: other fields of Given."""
    return {key: values.Given(key, value, origin, **more) for key, value in leaves(tree)}
