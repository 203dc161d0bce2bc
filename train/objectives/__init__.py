"""Loss modules: `NAME.py` where an objective needs a loss or a network of its own, `token.py` for all the others."""
import importlib
import pkgutil

from train import schema


def build(config):
    """The Flax module, batch -> Loss, of a resolved config: `train/objectives/NAME.py` if it exists, else the token loss."""
    own = {module.name for module in pkgutil.iter_modules(__path__)}
    name = schema.objective_name(config.objective)
    return importlib.import_module(f"train.objectives.{name if name in own else 'token'}").build(config)
