"""Training inside the test's process, on the first of its eight devices: a program for one device compiles in half the time."""
import jax

from train import loop
from train.monitoring import display
from train.settings import parse


def run(*flags):
    """(reason, State) of the run that the flags of train.main describe."""
    request = parse.parse(list(flags), devices=False)
    with display.Display(quiet=True) as screen:
        return loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])
