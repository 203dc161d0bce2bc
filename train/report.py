"""`python -m train.report DIR [DIR ...] [--out=FILE]`: one self-contained HTML page of a run, or of several in shared charts."""
import argparse
import sys

from train.settings import command


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m train.report', description=__doc__.split('\n')[0])
    parser.add_argument('workdirs', nargs='+', metavar='DIR', help='workdir of a run')
    parser.add_argument('--out', help='file to write; default: report.html in the first DIR')
    args = parser.parse_args(argv)
    from etils import epath  # after the flags were read: --help is fast

    from train.monitoring import page
    empty = [d for d in args.workdirs if not (epath.Path(d) / 'config.json').exists()]
    if empty:
        print(f"report: no run in {', '.join(empty)}: expected a folder with config.json, as python -m train.main --workdir=DIR writes",
              file=sys.stderr)
        return 3
    return command.run(lambda: print(page.write(args.workdirs, args.out)))


if __name__ == '__main__':
    command.main(main)
