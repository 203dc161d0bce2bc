"""Training inside the test's process, on the first of its eight devices: a program for one device compiles in half the time."""
import io

import jax
import rich.console

from train import loop
from train.monitoring import display
from train.settings import parse


def run(*flags):
    """(reason, State) of the run that the flags of train.main describe."""
    request = parse.parse(list(flags), devices=False)
    with display.Display(quiet=True) as screen:
        return loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])


def shown(*flags):
    """(reason, State, the lines that were shown) of such a run."""
    request, text = parse.parse(list(flags), devices=False), io.StringIO()
    with display.Display(console=rich.console.Console(file=text, width=400)) as screen:
        reason, state = loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])
    return reason, state, text.getvalue().splitlines()
