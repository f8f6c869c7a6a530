"""Configurations for tests."""

from gippo_jax import registry
from gippo_jax.config import Config

ALGORITHMS = tuple(registry.algorithms())


def config_of(algorithm, **values):
  """`Config(algorithm=..., **values)`, of which groups that only other algorithms have are left out."""
  foreign = registry.groups().keys() - registry.find(algorithm).groups.keys()
  return Config(algorithm=algorithm, **{name: value for name, value in values.items() if name not in foreign})
