"""Loss modules: `NAME.py` where an objective needs a loss or a network of its own, `token.py` for all the others."""
import importlib
import pkgutil

from model import flops
from train.settings import schema


def build(config):
    """The Flax module, batch -> Loss, of a resolved config: `train/objectives/NAME.py` if it exists, else the token loss."""
    return module(config).build(config)


def train_flops(config):
    """Operations of a training step of a resolved config: three forward passes of the backbone, or what the module says."""
    own = getattr(module(config), 'forward_flops', None)
    return 3 * own(config) if own else flops.train_flops(config.model, config.batch_size, config.objective.lengths())


def module(config):
    own = {module.name for module in pkgutil.iter_modules(__path__)}
    name = schema.objective_name(config.objective)
    return importlib.import_module(f"train.objectives.{name if name in own else 'token'}")
