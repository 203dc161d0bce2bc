"""Losses: `NAME.py` where an objective needs a loss or a network of its own, `token.py` for all the others."""
import importlib
import pkgutil
import types

from train.settings import schema


def build(config: schema.Config):
    """The `loss.Module` of a resolved config, batch -> Loss; of an alternation the same methods (alternation.py)."""
    return module(config.objective.name).build(config)


def train_flops(config: schema.Config) -> int:
    """Operations of a training step: the backward pass counts twice the forward."""
    return 3 * build(config).forward_flops(config)


def module(name: str) -> types.ModuleType:
    """The file of an objective's loss: `train/objectives/NAME.py` if there is one, else that of the tokens."""
    return importlib.import_module(f"train.objectives.{name if own(name) else 'token'}")


def own(name: str) -> bool:
    """Whether an objective has a file here."""
    return name in {file.name for file in pkgutil.iter_modules(__path__)}
