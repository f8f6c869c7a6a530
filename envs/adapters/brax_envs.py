"""Brax environments (`brax.envs`)."""

import inspect
from typing import Any

from gippo_jax.envs.adapters.common import require_known_name, require_known_parameters
from gippo_jax.envs.adapters.simulator import Simulator
from gippo_jax.envs.base import require_choice, require_positive_integer
from gippo_jax.envs.third_party import quiet_brax

_BACKENDS = ("spring", "generalized", "positional", "mjx")
# Brax has written this one for a single backend.
_DEFAULT_BACKEND = {"swimmer": "generalized"}


def from_brax(env: Any, episode_length: int = 1000, name: str = "") -> Simulator:
  """Adapts a Brax environment.

  Args:
    env: a `brax.envs.Env` without Brax's training wrappers; other wrappers are kept. Its actions lie in [-1, 1].
    episode_length: time limit in steps.
    name: for messages; by default the class of `env`.

  Returns:
    The environment; a dict of observations is reduced to its entry `state`.

  Raises:
    ValueError: when `env` is no Brax environment, or wrapped for time limit, batch or automatic reset.
  """
  with quiet_brax():
    from brax import envs as brax_envs
    from brax.envs.wrappers import training

  if not isinstance(env, brax_envs.Env):
    raise ValueError(f"env: {type(env).__name__} is not a brax.envs.Env")
  ours = (
    training.AutoResetWrapper,
    training.EpisodeWrapper,
    training.VmapWrapper,
    training.DomainRandomizationVmapWrapper,
    training.EvalWrapper,
  )
  layer = env
  while isinstance(layer, brax_envs.Wrapper):
    if isinstance(layer, ours):
      raise ValueError(
        f"env: {type(layer).__name__} is not allowed; allowed: the environment without it (env.unwrapped, or "
        "brax.envs.get_environment instead of create), since time limit, batch and automatic reset are added here"
      )
    layer = layer.env
  # Brax's own physics are small vectors and matrices.
  is_rigid = _backend(env) in ("spring", "positional", "generalized")
  is_mjx = _backend(env) == "mjx"
  name = name or type(env).__name__
  return Simulator(env, name, episode_length, gradient_advice=_advice(env), batch_last=is_rigid, many_kernels=is_mjx)


def make_brax(name: str, episode_length: int = 1000, **parameters: Any) -> Simulator:
  """Makes an environment of Brax's registry.

  Args:
    name: e.g. `ant`.
    episode_length: time limit in steps.
    **parameters: of the environment's constructor. `backend` is `spring` unless given (`generalized` for `swimmer`,
      which has no other): its gradients are the cheapest and tamest. `iterations`, with `backend="mjx"` only, is the
      number of iterations of the contact solver; 1 makes it differentiable.

  Raises:
    ValueError: for an unknown name or parameter.
  """
  with quiet_brax():
    from brax import envs as registry

  require_known_name(name, "brax", registry._envs)
  signature = inspect.signature(registry._envs[name].__init__).parameters.values()
  own = [each.name for each in signature if each.kind is not each.VAR_KEYWORD and each.name != "self"]
  has_backend = "backend" in own
  known = ["episode_length", *own, *(["n_frames", "iterations"] if has_backend else [])]
  require_known_parameters(f"brax:{name}", parameters, known)
  iterations = parameters.pop("iterations", None)
  if has_backend:
    parameters.setdefault("backend", _DEFAULT_BACKEND.get(name, "spring"))
    allowed = [_DEFAULT_BACKEND[name]] if name in _DEFAULT_BACKEND else _BACKENDS
    require_choice("backend", parameters["backend"], allowed)
  if iterations is not None and parameters["backend"] != "mjx":
    raise ValueError(f"env.iterations: {iterations!r} is not allowed; allowed: with env.backend=mjx only")
  with quiet_brax():
    env = registry.get_environment(name, **parameters)
  if iterations is not None:
    require_positive_integer("iterations", iterations)
    # Every environment of Brax's registry has its system.
    system = getattr(env, "sys")  # noqa: B009
    setattr(env, "sys", system.tree_replace({"opt.iterations": iterations}))  # noqa: B010
  return from_brax(env, episode_length, f"brax:{name}")


def _backend(env: object) -> str | None:
  return getattr(env, "backend", None)  # `brax:fast` has the property, and it raises


def _advice(env: object) -> str:
  """What to change where the gradient fails; nothing for an environment without one of Brax's backends."""
  backend = _backend(env)
  if backend not in _BACKENDS:
    return ""
  others = ", ".join(other for other in _BACKENDS if other not in (backend, "mjx"))
  return f"env.iterations=1, or env.backend: {others}" if backend == "mjx" else f"env.backend: {others}"
