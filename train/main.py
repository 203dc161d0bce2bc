"""`python -m train.main --config=configs/X.py[:variant] --workdir=DIR [--config.a.b=value ...]`: pretrains or fine-tunes.

The same command again continues exactly where the last run stopped. Exit codes: train/settings/command.py. JAX is imported after the
command line was checked.
"""
import os

from train.settings import command, command_line, pages, parse


def parser():
    made = command_line.distributed(command_line.parser('train.main', 'Pretrains or fine-tunes, as the config describes.'))
    made.add_argument('--time_limit', type=float, metavar='SECONDS',
                      help='save and stop after so long, exit 75; leave room for a step and a save; default: no limit')
    made.add_argument('--profile', type=command.steps, metavar='FIRST:LAST',
                      help='trace these steps into WORKDIR/profile, show their ten largest operations; default: no trace')
    return made


def train(request):
    """Imports JAX and runs the loop; the exit code."""
    from train.parallel import platform
    platform.prepare(os.environ, request.config.dtype)
    import jax

    from train import loop
    from train.checkpoints import workdir
    from train.monitoring import display
    from train.parallel import processes
    from train.reliability import lock

    def settled():
        workdir.check_writable(request.workdir)
        return workdir.agreed(request.workdir, request.config)

    where = processes.initialize_distributed(**request.distributed)
    processes.agree(settled)
    with lock.held(request.workdir), display.Display(quiet=jax.process_index() > 0) as screen:
        screen.notice(f'{where}: writing to {request.workdir}')
        for notice in request.notices:
            screen.notice(notice)
        reason, _ = loop.run(request.config, request.workdir, screen, request.origins, time_limit=request.options.time_limit,
                             profile=request.options.profile)
    return 75 if reason and reason != 'early stopping' else 0


main = command.entry(lambda argv: train(parse.parse(argv, parser())))

if __name__ == '__main__':
    pages.prepare()
    command.main(main)
