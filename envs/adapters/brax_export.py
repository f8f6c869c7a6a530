"""An environment of ours with the interface of `brax.envs.Env`; imports Brax."""

import jax
import jax.numpy as jnp
from brax import envs as brax_envs

from gippo_jax.envs.base import Environment, State


class BraxEnvironment(brax_envs.Env):
  """The Brax environment around `env`; its `pipeline_state` is the physics."""

  def __init__(self, env: Environment):
    self.env = env

  def reset(self, rng: jax.Array) -> brax_envs.State:
    """Draws the start of an episode from a key of either kind."""
    is_typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
    state = self.env.reset(rng if is_typed else jax.random.wrap_key_data(rng))
    return _to_brax_state(state)

  def step(self, state: brax_envs.State, action: jax.Array) -> brax_envs.State:
    """Advances one step."""
    # Brax's automatic reset replaces `pipeline_state` and `obs` alone: nothing else may be carried.
    zero = jnp.zeros_like(state.reward)
    before = State(
      physics=state.pipeline_state, obs=jnp.asarray(state.obs), reward=zero, terminated=zero, truncated=zero
    )
    after = _to_brax_state(self.env.step(before, action))
    # Wrappers keep their own entries in `info`.
    return after.replace(  # pyright: ignore[reportAttributeAccessIssue]
      metrics=state.metrics, info={**state.info, **after.info}
    )

  @property
  def observation_size(self) -> int:
    """Number of entries of an observation."""
    return self.env.observation_size

  @property
  def action_size(self) -> int:
    """Number of entries of an action."""
    return self.env.action_size

  @property
  def backend(self) -> str:
    """None of Brax's physics."""
    return "gippo_jax"


def _to_brax_state(state: State) -> brax_envs.State:
  return brax_envs.State(
    pipeline_state=state.physics,
    obs=state.obs,
    reward=state.reward,
    done=jnp.maximum(state.terminated, state.truncated),
    info={"truncation": state.truncated},
  )
