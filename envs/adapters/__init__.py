"""Bridges to other simulators' interfaces: Brax, MuJoCo Playground and gymnax in, Brax out.

No package is imported before an environment of its is asked for. Its own automatic reset and time limit are passed by:
`envs.wrappers` does both. Third-party code runs under JAX's standard promotion rules, whatever the caller's are.
"""

from typing import Any

import jax

from gippo_jax.envs.adapters.brax_envs import from_brax, make_brax
from gippo_jax.envs.adapters.export import to_brax
from gippo_jax.envs.adapters.gymnax_envs import from_gymnax
from gippo_jax.envs.adapters.playground_envs import from_playground
from gippo_jax.envs.base import Environment
from gippo_jax.envs.border import check

__all__ = ["SUITES", "from_brax", "from_gymnax", "from_playground", "make", "to_brax"]

SUITES = {"brax": make_brax, "playground": from_playground, "gymnax": from_gymnax}
DESCRIPTIONS = {
  "brax": "the environments of Brax, e.g. brax:ant",
  "playground": 'those of MuJoCo Playground, e.g. playground:CartpoleSwingup (pip install "gippo_jax[playground]")',
  "gymnax": "those of gymnax with continuous actions, e.g. gymnax:Pendulum-v1",
}


def make(name: str, **parameters: Any) -> Environment:
  """Makes an environment of another package.

  Args:
    name: `SUITE:NAME` with one of `SUITES`, e.g. `brax:ant`.
    **parameters: the environment's own parameters.

  Returns:
    The unbatched environment.

  Raises:
    ValueError: for an unknown name or parameter, a package that is not installed, or an environment that fails with the
      installed packages.
  """
  suite, _, inner = name.partition(":")
  env = SUITES[suite](inner, **parameters)
  try:
    check(env)
  except ValueError:
    raise
  except Exception as error:  # whatever another package's code may raise
    line = (str(error).strip().splitlines() or [""])[0]
    raise ValueError(
      f"env.name: {name!r} fails in its own code with the installed packages (jax {jax.__version__}): "
      f"{type(error).__name__}: {line}; allowed: another environment"
    ) from None
  return env
