"""Bridges to other simulators' interfaces: Brax, MuJoCo Playground and gymnax in, Brax out.

No package is imported before an environment of its is asked for. Its own automatic reset and time limit are passed by:
`envs.wrappers` does both. Third-party code runs under JAX's standard promotion rules, whatever the caller's are.
"""

from typing import Any

from gippo_jax.envs.adapters.brax_envs import from_brax, make_brax
from gippo_jax.envs.adapters.export import to_brax
from gippo_jax.envs.adapters.gymnax_envs import from_gymnax
from gippo_jax.envs.adapters.playground_envs import from_playground
from gippo_jax.envs.base import Environment

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
    ValueError: for an unknown name or parameter, or a package that is not installed.
  """
  suite, _, inner = name.partition(":")
  return SUITES[suite](inner, **parameters)
