"""From a config file and flags to a frozen, checked Config, without JAX."""
