"""`python -m train.convert import --hf=DIR --out=DIR`, `export --workdir=DIR --hf=DIR`: Hugging Face folders in and out.

A Hugging Face folder is config.json, safetensors and the tokenizer's files, nothing else: no pickle is opened and no code of a
folder runs. Both commands write all of a folder or nothing. JAX is imported after the flags were checked.
"""
import argparse
import os
import re
import sys

from data import errors as data_errors
from train.settings import command, errors

IMPORT = """\
examples:
  python -m train.convert import --hf=downloads/gpt2 --out=runs/gpt2
  python -m train.generate --workdir=runs/gpt2 --prompt="It was"
  python -m train.main --config=configs/continue.py --config.init.from=runs/gpt2 --config.data.train='*.txt' --workdir=runs/more
"""
EXPORT = """\
examples:
  python -m train.convert export --workdir=runs/more --hf=exported --dtype=bfloat16
  python -c "import transformers as t; print(t.AutoModelForCausalLM.from_pretrained('exported'))"
"""


def parser():
    made = argparse.ArgumentParser(prog='python -m train.convert', description=__doc__.split('\n')[0], allow_abbrev=False)
    commands = made.add_subparsers(dest='command', required=True, metavar='import|export')
    plain = dict(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    add = commands.add_parser('import', help='a Hugging Face folder to a workdir', epilog=IMPORT, **plain).add_argument
    add('--hf', required=True, type=command.location, metavar='DIR',
        help='folder with config.json, safetensors (one file, or shards and an index), tokenizer')
    add('--out', required=True, type=command.location, metavar='DIR', help='workdir to write; must not exist, or be empty')
    add('--dtype', choices=('float32', 'bfloat16'), default='float32', help='of the computation (float32)')
    add('--vocab_size', type=int, metavar='N', help='grow or cut the vocabulary to N tokens; new ones are the mean of the others')

    add = commands.add_parser('export', help='a workdir to a Hugging Face folder', epilog=EXPORT, **plain).add_argument
    add('--workdir', required=True, type=command.location, metavar='DIR', help='workdir of a run, or of an imported model')
    add('--hf', required=True, type=command.location, metavar='DIR', help='folder to write; must not exist, or be empty')
    add('--step', type=int, metavar='N', help='checkpoint to take; default: the newest')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32', help='of the weights written (float32)')
    add('--family', metavar='NAME', help='model_type to write; default: the one that has the structure of the model')
    add('--network', choices=('discriminator', 'generator'), default='discriminator',
        help='which one of replaced-token detection (discriminator)')
    add('--license', metavar='ID', help='for the model card, such as apache-2.0; default: that of the imported model, or unknown')
    return made


def check(options):
    """errors.Error with everything that is wrong with the flags."""
    wrong, (flag, target) = [], ('--out', options.out) if options.command == 'import' else ('--hf', options.hf)
    if options.command == 'import':
        if not os.path.isdir(options.hf):
            wrong.append(errors.Problem(f'--hf = {options.hf}', 'no such folder; expected one with config.json and model.safetensors.'))
        wrong += command.below(options, vocab_size=1)
    else:
        wrong += command.without_run(options.workdir) + command.below(options, step=0)
        if options.license and not re.fullmatch(r'[\w.+-]+', options.license):
            wrong.append(errors.Problem(f'--license = {options.license}', 'expected an identifier without spaces, such as apache-2.0.'))
    if '://' in target and options.command == 'export':
        wrong.append(errors.Problem(f'{flag} = {target}', 'expected a local folder; copy it from there.'))
    elif '://' not in target and occupied(target):
        wrong.append(errors.Problem(f'{flag} = {target}', 'exists; expected a new or an empty folder. Nothing is written over.'))
    if wrong:
        raise errors.Error(wrong, kind='convert', end='nothing was written')


def occupied(target):
    """Whether something is there that a new folder would replace."""
    return os.path.lexists(target) and not (os.path.isdir(target) and not os.path.islink(target) and not os.listdir(target))


def run(options):
    """Imports JAX and converts."""
    check(options)
    from train.parallel import platform
    platform.prepare(os.environ)
    from train.conversion import exporting, importing
    convert = importing.run if options.command == 'import' else exporting.run
    convert(options, lambda text: print(data_errors.printable(text), file=sys.stderr))


main = command.entry(lambda argv: run(parser().parse_args(argv)))

if __name__ == '__main__':
    command.main(main)
