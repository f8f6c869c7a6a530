"""D.Va (You, Liu, Abraham, NeurIPS 2025): SHAC whose policy sees observations that carry no derivative.

The derivatives of a window's return pass through dynamics, reward and critic, and not from an observation to the
action that answers it: `a_t = pi(sg(o_t))`. Later actions are then held fixed, the derivative `dR / da_t` is the
open-loop one, and the products of Jacobians in it lack the policy's. It was made for observations whose renderer has no
derivative. Where later actions answer to earlier ones it is not the gradient of the return: `x' = A x + B a`, `a = K x`
has powers of `A` in the place of powers of `A + B K`.
"""

import functools

import jax

from gippo_jax.algorithms import shac
from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, RateConfig, gradient_step_algorithm
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec


def make(setup: Setup) -> Algorithm:
  """D.Va."""
  estimate = functools.partial(shac.estimate, before_policy=jax.lax.stop_gradient)
  return gradient_step_algorithm(setup, estimate, setup.config.dva)


SPEC = AlgorithmSpec(
  name="dva",
  label="D.Va",
  groups={"dva": RateConfig},
  make=make,
  needs_environment_gradients=True,
  shown=SHOWN,
  summary="You, Liu, Abraham (2025): SHAC whose derivatives do not pass through what the policy sees",
)
