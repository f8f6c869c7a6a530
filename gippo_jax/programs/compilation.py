"""What XLA's compiler is told: how much to optimise a CPU's code, and which of its kernels to use."""

import functools
from collections.abc import Mapping

import jax

from gippo_jax.envs.base import Environment

Options = dict[str, bool | str]

# The older of XLA's two emitters of fused kernels. The newer one makes each kernel in a compiler of its own.
_OLDER_KERNELS: Options = {"xla_cpu_use_fusion_emitters": False}

# Sums over a few numbers as kernels of XLA, not as calls of the library YNNPACK.
_OWN_SUMS: Options = {"xla_cpu_experimental_ynn_fusion_type": ""}


def once() -> Options | None:
  """Options for a program that runs once: a CPU's code is not optimised, which is sooner done."""
  if jax.default_backend() != "cpu":
    return None
  return {"xla_backend_optimization_level": "0", **_known(_OLDER_KERNELS)}


def often(env: Environment) -> Options | None:
  """Options for a program that runs many steps of an environment; `None` leaves everything to XLA.

  A step of hundreds of small kernels, as one whose copies lie along the last axis (`envs.lanes`), compiles sooner by
  the older emitter, and those along the last axis run faster. Programs of few kernels run faster by the newer one.

  Args:
    env: unbatched environment.
  """
  is_last = getattr(env, "batch_last", False)
  if jax.default_backend() != "cpu" or not (is_last or getattr(env, "many_kernels", False)):
    return None
  return _known(_OLDER_KERNELS) | (_known(_OWN_SUMS) if is_last else {}) or None


def _known(options: Mapping[str, bool | str]) -> Options:
  """Those options that this version of XLA has; it refuses a program for any other."""
  return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: bool | str) -> bool:
  try:
    jax.jit(lambda number: number).lower(0.0).compile({name: value})
  except jax.errors.JaxRuntimeError:
    return False
  return True
