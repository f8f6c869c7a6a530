"""MuJoCo Playground environments, on MJX's pure JAX implementation."""

import subprocess
from typing import Any

from gippo_jax.envs.adapters.common import import_package, require_known_name, require_known_parameters
from gippo_jax.envs.adapters.simulator import Simulator
from gippo_jax.envs.base import require_positive_integer

# `action_repeat` is the work of Playground's own wrappers, images need Warp, and Warp has no gradients.
_OWN = ("episode_length", "iterations", "observation")
_NOT_OURS = ("action_repeat", "episode_length", "impl", "vision", "vision_config")


def from_playground(
  env: Any, episode_length: int | None = None, iterations: int | None = None, observation: str = "state", **parameters
) -> Simulator:
  """Adapts a MuJoCo Playground environment.

  Args:
    env: name in Playground's registry, e.g. `CartpoleSwingup`; or an environment already loaded, with `impl="jax"` and
      without wrappers.
    episode_length: time limit in steps; by default Playground's own (1000 for one already loaded without).
    iterations: iterations of MuJoCo's constraint solver; by default the model's own. Reverse mode needs 1: more are a
      `while_loop`. The physics then differs a little from Playground's.
    observation: entry the policy sees where the observation is a dict of arrays.
    **parameters: single values of Playground's configuration of a named environment, e.g. `ctrl_dt`.

  Raises:
    ValueError: for an unknown name or parameter, without the package, or when the robot's model cannot be downloaded.
  """
  if isinstance(env, str):
    name = f"playground:{env}"
    env, default_length = _load(env, name, parameters)
  else:
    name = type(env).__name__
    require_known_parameters(name, parameters, list(_OWN))
    default_length = 1000
  if iterations is not None:
    require_positive_integer("iterations", iterations)
    env._mjx_model = env.mjx_model.tree_replace({"opt.iterations": iterations})
  return Simulator(
    env,
    name,
    default_length if episode_length is None else episode_length,
    observation,
    gradient_advice="" if int(env.mjx_model.opt.iterations) == 1 else "env.iterations=1",
    many_kernels=True,
  )


def _load(env_name: str, name: str, parameters: dict[str, Any]) -> tuple[Any, int]:
  """Loads from the registry; returns the environment and its time limit."""
  registry = import_package(name, "mujoco_playground", "playground").registry
  require_known_name(env_name, "playground", registry.ALL_ENVS)
  config = registry.get_default_config(env_name)
  single = [field for field, value in config.items() if field not in _NOT_OURS and not hasattr(value, "items")]
  require_known_parameters(name, parameters, [*_OWN, *single])
  for parameter, value in parameters.items():
    kind = type(config[parameter])
    if not isinstance(value, (int, float) if kind is float else kind):
      raise ValueError(f"env.{parameter}: {value!r} is not allowed; allowed: a value of type {kind.__name__}")
  try:
    env = registry.load(env_name, config_overrides={"impl": "jax", **parameters})
  except (subprocess.CalledProcessError, OSError) as error:
    raise ValueError(
      f"env.name: {name!r} needs the robot models of MuJoCo Menagerie, which Playground failed to download: {error}"
    ) from None
  return env, config.get("episode_length", 1000)
