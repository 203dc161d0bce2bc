"""The command line: `--config=PATH[:variant]`, any number of `--config.a.b=value`, and each command's own flags.

Stock config_flags stops at the first unknown key with a traceback, so `--config*` is read here and everything else is a
plain argparse parser, whose errors are collected too. Imports nothing heavy: `--help` answers before JAX would load.
"""
import argparse
import ast
import dataclasses
import functools
import importlib
import pathlib
import re
import textwrap
from typing import Iterable, Iterator

from train.settings import command, errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
DISTRIBUTED = ('coordinator_address', 'num_processes', 'process_id')
HELP = """\
--config=PATH[:VARIANT]     a Python file with get_config(variant), which returns the values that it sets
--config.KEY=VALUE          sets one value, over the file's; the last flag wins. Numbers as 1e-3, true/false, None,
                            lists as a,b or "('a', 'b')"

examples:
  python -m {prog} --config=configs/tiny.py{workdir}
  python -m {prog} --config=configs/tiny.py:masked_lm{workdir} --config.optimizer.learning_rate=3e-4

configs:
{configs}

Every setting, its type, default and meaning: docs/settings.md"""


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of ending the process at the first error."""

    def error(self, message):
        raise argparse.ArgumentError(None, message)


@dataclasses.dataclass
class Line:
    """A command line, read but not yet checked."""
    options: argparse.Namespace               # the command's own flags
    path: str = None                          # --config, without its variant
    variant: str = ''
    overrides: list = dataclasses.field(default_factory=list)  # [(dotted key, text)]
    problems: list = dataclasses.field(default_factory=list)
    unknown: list = dataclasses.field(default_factory=list)    # tokens that no flag explains


def parser(prog: str, description: str, workdir: bool = True) -> Parser:
    """An argparse parser whose help explains --config; the command adds its own flags. `workdir`: does it need one?"""
    required = '--config=PATH[:VARIANT]' + ' --workdir=DIR' * workdir
    epilog = HELP.format(prog=prog, workdir=' --workdir=runs/tiny' * workdir, configs=listing())
    made = Parser(description=description, usage=f'python -m {prog} {required} [--config.KEY=VALUE ...] [flags]', epilog=epilog,
                  formatter_class=command.Help, allow_abbrev=False, exit_on_error=False)
    if workdir:
        made.add_argument('--workdir', type=command.location, metavar='DIR', help='where the run is; the same command again continues it')
    return made


def distributed(made: Parser) -> Parser:
    """Adds the flags of a run over several processes; without them JAX detects a cluster by itself or runs alone."""
    group = made.add_argument_group('several processes')
    group.add_argument('--coordinator_address', metavar='HOST:PORT', help='of process 0; default of all three: what JAX detects')
    group.add_argument('--num_processes', type=int, metavar='N')
    group.add_argument('--process_id', type=int, metavar='I', help='0 to N-1')
    return made


def read(argv: Iterable[str], made: Parser) -> Line:
    """argv (without the program's name) as a Line. Exits with status 0 at --help; errors are in `problems`."""
    line, rest, tokens = Line(argparse.Namespace()), [], list(argv)
    while tokens:
        token = tokens.pop(0)
        if token.startswith('--') and '=' not in token and tokens and not re.match(r'--?[a-zA-Z]', tokens[0]):
            token += f'={tokens.pop(0)}'
        flag, equals, value = token.partition('=')
        if flag == '--config':
            match = re.fullmatch(r'(.*\.py):(.*)|(.*)', value)
            line.path, line.variant = match[1] or match[3], match[2] or ''
        elif flag.startswith('--config.'):
            line.overrides.append((flag[len('--config.'):], value if equals else None))
        else:
            rest.append(token)
    while True:                                # argparse reports one error at a time: try again without that flag
        try:
            line.options, line.unknown = made.parse_known_args(rest)
            return line
        except argparse.ArgumentError as error:
            name = (error.argument_name or '').split('/')[0]
            text = error.message.replace('invalid int value: ', 'expected an integer, got ')
            text = text.replace('invalid float value: ', 'expected a number, got ')
            line.problems.append(errors.Problem(name or 'flags', text + '.'))
            shorter = [token for token in rest if token.partition('=')[0] != name]
            if shorter == rest:
                line.options = argparse.Namespace(**{action.dest: action.default for action in made._actions})
                return line
            rest = shorter


def missing(line: Line) -> Iterator[errors.Problem]:
    """Problems with the flags that train.main cannot do without."""
    if not getattr(line.options, 'workdir', 'needs none') and '--workdir' not in [problem.subject for problem in line.problems]:
        yield errors.Problem('--workdir', 'missing. Say where the run is written, such as --workdir=runs/NAME.')
    address, count, index = found = [getattr(line.options, name, None) for name in DISTRIBUTED]
    if count is not None and count < 1:
        yield errors.Problem(f'--num_processes = {count}', 'expected at least 1.')
    elif index is not None and not 0 <= index < (count or index + 1):
        yield errors.Problem(f'--process_id = {index}', f'expected 0 to {count - 1}: --num_processes = {count}.')
    if address and not re.fullmatch(r'.+:\d+', address):
        yield errors.Problem(f'--coordinator_address = {address}', 'expected HOST:PORT.')
    absent = [f'--{name}' for name, value in zip(DISTRIBUTED, found) if value is None]
    if 0 < len(absent) < 3 and count != 1:
        yield errors.Problem(absent[0], f'missing. --{", --".join(DISTRIBUTED)} go together.')


def unknown(line: Line, made: Parser, keys: list[str]) -> Iterator[errors.Problem]:
    """Problems for tokens that no flag explains: a misspelt flag, or a setting without its `--config.`."""
    known = ['config'] + [name[2:] for action in made._actions for name in action.option_strings if name[:2] == '--']
    for token in line.unknown:
        flag, equals, value = token.partition('=')
        name = flag.lstrip('-')
        near = [f'--{other}' for other in errors.closest(name, known)]
        near = near or [f'--config.{key}{equals}{value}' for key in errors.closest(name, keys)]
        yield errors.Problem(flag, 'no such flag.' + (f' Did you mean {" or ".join(near)}?' if near else ' See --help.'))


def configs() -> list[str]:
    """Every config of the repository, as paths from its root."""
    return sorted(f'configs/{p.name}' for p in (ROOT / 'configs').glob('*.py') if p.name != '__init__.py')


@functools.cache
def listing() -> str:
    """A line a config: its path, the first line of its docstring, its variants; read without running the file."""
    lines = []
    for path in configs():
        tree = ast.parse((ROOT / path).read_text(encoding='utf-8'))
        lines.append(f'  {path:28}{(ast.get_docstring(tree) or "").partition(chr(10))[0]}')
        stated = (node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'VARIANTS')
        if found := ' '.join(f':{name}' for node in stated for name in variants(node) if name):
            lines.append(textwrap.indent(textwrap.fill(f'variants: {found}', 88), ' ' * 30))
    return '\n'.join(lines)


def variants(node):
    """The names in the value of VARIANTS: strings, and `*FAMILY.SIZES` of model/families, which is pure data."""
    for part in node.elts:
        if isinstance(part, ast.Starred):
            yield from getattr(importlib.import_module(f'model.families.{part.value.value.id}'), part.value.attr)
        else:
            yield ast.literal_eval(part)
