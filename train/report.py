"""`python -m train.report DIR [DIR ...] [--out=FILE]`: one self-contained HTML page of a run, or of several with shared charts."""
import argparse
import sys

from train.settings import command, errors


def parser():
    made = argparse.ArgumentParser(prog='python -m train.report', description=__doc__.split('\n')[0])
    made.add_argument('workdirs', nargs='+', type=command.location, metavar='DIR', help='workdir of a run')
    made.add_argument('--out', type=command.location, help='file to write; default: report.html in the first DIR')
    return made


def run(options):
    """Writes the page and prints its path; 3 if a folder holds no run."""
    if empty := [folder for folder in options.workdirs if command.without_run(folder)]:
        print(f"report: no run in {', '.join(empty)}: expected a folder with config.json, as python -m train.main --workdir=DIR writes",
              file=sys.stderr)
        return 3
    if wrong := command.unwritable('out', options.out):
        raise errors.Error(wrong, kind='report', end='nothing was written')
    from train.monitoring import page  # after the flags were read: --help is fast
    print(page.write(options.workdirs, options.out))


main = command.entry(lambda argv: run(parser().parse_args(argv)))

if __name__ == '__main__':
    command.main(main)
