"""`python -m train.main --config=configs/X.py[:variant] --workdir=DIR [--config.a.b=value ...]`: pretrains or fine-tunes, as the config says.

The same command again continues exactly where the last run stopped. Exit codes: 0 done, 2 config, 3 data, 4 nothing
restorable, 5 diverged, 6 cannot save, 75 stopped by a signal, saved. JAX is imported after the command line was checked.
"""
import os
import sys

from data import errors
from train import config as configs
from train import problems


def main(argv=None):
    """Runs the command line; returns the exit code."""
    try:
        request = configs.parse(sys.argv[1:] if argv is None else argv)
        return train(request)
    except problems.Error as error:
        return leave(error.code, str(error))
    except errors.DataError as error:
        return leave(3, f'data: {error}')


def train(request):
    """Imports JAX and runs the loop; the exit code."""
    from train import platform
    platform.prepare(os.environ, request.config.dtype)
    from train import checkpoint, display, loop, sharding
    import jax

    where = sharding.initialize_distributed(**request.distributed)
    try:
        with display.Display(quiet=jax.process_index() > 0) as screen:
            screen.notice(f'{where}: writing to {request.workdir}')
            reason, _ = loop.run(request.config, request.workdir, screen, request.origins)
    except checkpoint.NothingRestorable as error:
        return leave(4, f'restore: {error}')
    except (loop.Diverged, checkpoint.NotFinite) as error:
        return leave(5, f'diverged: {error}; lower optimizer.learning_rate or raise optimizer.warmup. The last checkpoint is intact')
    except checkpoint.SaveError as error:
        return leave(6, f'save: {error}')
    except loop.OtherData as error:
        return leave(3, f'data: {error}')
    return 75 if reason and reason != 'early stopping' else 0


def leave(code, message):
    print(message, file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
