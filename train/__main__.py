"""`python -m train`: lists the commands."""
import ast
import pathlib

from train.settings import command


def commands() -> dict[str, str]:
    """{'train.main': what it does} of the files here whose docstring begins with how to start them."""
    found = {}
    for path in sorted(pathlib.Path(__file__).parent.glob('[a-z]*.py')):
        line = (ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').partition('\n')[0]
        start, _, does = line.partition('`: ')
        if start.startswith(f'`python -m train.{path.stem}'):
            found[f'train.{path.stem}'] = does
    return found


def run(argv: list[str]) -> None:
    """Prints a line a command."""
    print('python -m COMMAND --help says more of each:\n')
    for name, does in {**commands(), 'data.tokenizer train': 'trains a tokenizer.'}.items():
        print(f'  {name:22}{does}')


main = command.entry(run)

if __name__ == '__main__':
    command.main(main)
