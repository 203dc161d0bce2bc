"""Runs a config file: a short Python file whose get_config(variant) returns the values that it sets.

Convention: `VARIANTS = ('', 'mini', ...)` at the top names every variant ('' is the plain one); a file without VARIANTS
has a get_config() without arguments. What the file raises becomes one problem that names its own line.
"""
import collections.abc
import linecache
import os
import runpy
import traceback

from train.settings import command_line, errors, schema


def read(path, variant=''):
    """([(dotted key, value)] that a config file sets, problems). `path` None means that none was given."""
    if not path:
        return [], [errors.Problem('--config', f'missing. There are: {", ".join(command_line.configs())}.')]
    file = command_line.find(path)
    if not file:
        names = [os.path.basename(p).removesuffix('.py') for p in command_line.configs()]
        near = errors.did_you_mean(os.path.basename(path).removesuffix('.py'), names, 'configs/{}.py')
        text = f'no such file.{near} There are: {", ".join(command_line.configs())}.'
        return [], [errors.Problem(f'--config={path}', text)]
    try:
        module = runpy.run_path(str(file), run_name='config')
        variants = module.get('VARIANTS', ())
        if variant and variant not in variants:
            text = f'no such variant.{errors.did_you_mean(variant, variants)} ' + (
                f'{path} has: {", ".join(filter(None, variants))}.' if variants else f'{path} has no variants.')
            return [], [errors.Problem(f'--config={path}:{variant}', text)]
        if 'get_config' not in module:
            text = 'has no get_config(variant); expected a function that returns the values to set.'
            return [], [errors.Problem(path, text)]
        found = module['get_config'](variant) if variants else module['get_config']()
    except Exception as error:
        return [], [raised(path, str(file), error)]
    found = found.to_dict() if hasattr(found, 'to_dict') else found
    if not isinstance(found, collections.abc.Mapping):
        text = f'get_config returned {type(found).__name__}; expected a ConfigDict or dict.'
        return [], [errors.Problem(path, text)]
    return list(leaves(found)), []


def raised(name, path, error):
    """The problem of a config file that raises: its own line, not Python's stack."""
    if isinstance(error, SyntaxError) and error.filename == path:
        number = error.lineno or 1
    else:
        frames = traceback.extract_tb(error.__traceback__)
        number = next((frame.lineno for frame in reversed(frames) if frame.filename == path), None)
    code = linecache.getline(path, number).strip() if number else ''
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = f'{type(error).__name__}: {message}' + f', in `{code}`' * bool(code) + '. Correct the file.'
    return errors.Problem(f'{name}:{number}' if number else name, text)


def leaves(tree, prefix='', known=None):
    """[(dotted key, value)] of nested dicts; a dict at a setting that is no group stays a value."""
    known = known or schema.kinds()
    for name, value in tree.items():
        key = prefix + normal(str(name))
        if isinstance(value, collections.abc.Mapping) and key not in known:
            yield from leaves(value, key + '.', known)
        else:
            yield key, value


def normal(key):
    """`init.from_` is `init.from`."""
    return '.'.join(schema.external(part) for part in key.split('.'))
