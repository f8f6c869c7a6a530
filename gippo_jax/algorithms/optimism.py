"""Optimism of the actor's step: the step goes on along a prediction of how the next one will differ.

An epoch's update, from `theta` to `theta + D_t`, is taken for the gradient of optimistic mirror descent:

  `theta_(t+1) = theta_t + D_t + c (D_t - D_(t-1))`

`lazy` holds the strength `c`; `meta` begins at 0 and learns it in hindsight. `P_t = D_t - D_(t-1)` is the derivative of
`theta_(t+1)` by `c`, and the next update tells whether that is the way to go:

  `c <- clip(c + meta_rate cos(P_t, D_(t+1)), -1, 1)`

After Chelu, Zahavy, Guez, Precup, Flennerhag, "Acceleration in Policy Optimization", 2023; docs/methods_optimism.md.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, choice, real


class OptimismConfig(struct.PyTreeNode):
  """Optimism of the actor's step, of PPO and of GI-PPO."""

  kind: str = choice("none", ("none", "lazy", "meta"), "whether a step goes on by a prediction; meta learns how far")
  strength: Real = real(1.0, "kind=lazy: share c of the prediction", minimum=-1, maximum=1)
  meta_rate: Real = real(0.1, "kind=meta: step of c", minimum=0)


class OptimismState(struct.PyTreeNode):
  """What optimism keeps from epoch to epoch.

  Attributes:
    update: `D_t` of the last epoch, `[P]`.
    prediction: `P_t` of the last epoch, `[P]`.
    strength: `c` of the next epoch.
  """

  update: jax.Array
  prediction: jax.Array
  strength: jax.Array


def init_optimism(config: Config, actor: PyTree) -> OptimismState | None:
  """State before the first epoch; `None` without optimism."""
  if config.optimism.kind == "none":
    return None
  nothing = jnp.zeros_like(ravel_pytree(actor)[0])
  strength = config.optimism.strength if config.optimism.kind == "lazy" else 0.0
  return OptimismState(nothing, nothing, jnp.asarray(strength))


def go_on(
  config: Config, state: OptimismState, epoch: jax.Array, before: PyTree, after: PyTree, succeeded: jax.Array
) -> tuple[PyTree, OptimismState, dict[str, jax.Array]]:
  """The epoch's update and the prediction's part.

  Args:
    config: hyper-parameters.
    state: from the epoch before.
    epoch: number of epochs before this one; the first has nothing to predict from.
    before: parameters before the epoch.
    after: parameters after its update.
    succeeded: whether the update was one; if not, the step does not go on.

  Returns:
    Parameters, state, and metrics with prefix `optimism_`.
  """
  start, unravel = ravel_pytree(before)
  reached = ravel_pytree(after)[0]
  update = reached - start
  strength = state.strength
  if config.optimism.kind == "meta":
    strength = jnp.clip(strength + config.optimism.meta_rate * _cosine(state.prediction, update), -1.0, 1.0)
  prediction = jnp.where(succeeded & (epoch > 0), update - state.update, 0.0)
  metrics = {"optimism_strength": strength, "optimism_step": jnp.sqrt(jnp.sum((strength * prediction) ** 2))}
  return unravel(reached + strength * prediction), OptimismState(update, prediction, strength), metrics


def check_no_optimism(config: Config) -> None:
  """Checks that the step does not go on, for the safe rule, which has limited it.

  Raises:
    UserError: when it does.
  """
  if config.optimism.kind != "none":
    raise UserError(
      f"config.optimism.kind: {config.optimism.kind!r} is not allowed with alpha.rule = 'safe'; allowed: none"
    )


def idle_optimism(config: Config) -> dict[str, str]:
  """Fields that do nothing."""
  kind = config.optimism.kind
  owners = {"strength": "lazy", "meta_rate": "meta"}
  return {
    f"optimism.{name}": f"optimism.kind = {kind!r}; allowed: {owner}" for name, owner in owners.items() if owner != kind
  }


def _cosine(first: jax.Array, second: jax.Array) -> jax.Array:
  """Of the angle between two vectors; 0 where one is zero."""
  lengths = jnp.sqrt(jnp.sum(first**2) * jnp.sum(second**2))
  return jnp.where(lengths > 0.0, jnp.sum(first * second) / jnp.where(lengths > 0.0, lengths, 1.0), 0.0)
