"""Gradient-Informed Proximal Policy Optimization (GI-PPO) and its baselines in JAX.

The names below are loaded when they are first used, so that `import gippo_jax` takes no time.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Public names and the modules that have them.
_PUBLIC = {
  "AlgorithmSpec": "gippo_jax.registry",
  "Config": "gippo_jax.config",
  "CsvFile": "gippo_jax.runs.sinks",
  "Logger": "gippo_jax.runs.loggers",
  "Policy": "gippo_jax.learning.policies",
  "State": "gippo_jax.envs.base",
  "Tracker": "gippo_jax.runs.tracking",
  "UserError": "gippo_jax.errors",
  "evaluate": "gippo_jax.programs.evaluation",
  "load_policy": "gippo_jax.runs.stored",
  "make_env": "gippo_jax.runs.environments",
  "register_algorithm": "gippo_jax.runs.api",
  "train": "gippo_jax.programs.epochs",
  "train_run": "gippo_jax.runs.api",
}

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
  from gippo_jax.config import Config as Config
  from gippo_jax.envs.base import State as State
  from gippo_jax.errors import UserError as UserError
  from gippo_jax.learning.policies import Policy as Policy
  from gippo_jax.programs.epochs import train as train
  from gippo_jax.programs.evaluation import evaluate as evaluate
  from gippo_jax.registry import AlgorithmSpec as AlgorithmSpec
  from gippo_jax.runs.api import register_algorithm as register_algorithm
  from gippo_jax.runs.api import train_run as train_run
  from gippo_jax.runs.environments import make_env as make_env
  from gippo_jax.runs.loggers import Logger as Logger
  from gippo_jax.runs.sinks import CsvFile as CsvFile
  from gippo_jax.runs.stored import load_policy as load_policy
  from gippo_jax.runs.tracking import Tracker as Tracker


def __getattr__(name: str) -> object:
  if name not in _PUBLIC:
    raise AttributeError(f"module 'gippo_jax' has no attribute {name!r}")
  value = getattr(importlib.import_module(_PUBLIC[name]), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *_PUBLIC})
