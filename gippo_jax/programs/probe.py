"""Whether an environment has the gradients an algorithm asks for: its declaration, and a probe."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax import registry
from gippo_jax.config import Config
from gippo_jax.envs.base import Environment
from gippo_jax.envs.border import Cast, check
from gippo_jax.errors import UserError
from gippo_jax.programs import compilation, memory

_LEAST_STEPS = 4
_MOST_STEPS = 32
_STARTS = 4


def require_differentiable(env: Environment, config: Config) -> None:
  """Checks what the environment declares.

  Raises:
    UserError: when the algorithm needs gradients and the environment says it has none.
  """
  if _needs_gradients(config.algorithm) and not env.differentiable:
    raise _refusal(env, config, "the environment says that it is not differentiable")


def probe_gradients(env: Environment, config: Config) -> None:
  """Differentiates the rewards of a window of random actions, and refuses an environment where all of it is zero.

  Args:
    env: unbatched environment.
    config: names the algorithm; one that needs no gradients passes untried.

  Raises:
    UserError: when the gradient is zero throughout, or cannot be computed.
  """
  require_differentiable(env, config)
  if not _needs_gradients(config.algorithm):
    return
  check(env)
  # No automatic reset: compiling a simulator's reset into every step would double the wait.
  bare = Cast(env)
  start_key, action_key = jax.random.split(jax.random.key(0))
  num_steps = min(max(config.horizon, _LEAST_STEPS), _MOST_STEPS)
  actions = jax.random.uniform(action_key, (num_steps, _STARTS, env.action_size), minval=-0.9, maxval=0.9)

  def total_reward(actions):
    def step(state, action):
      state = jax.vmap(bare.step)(state, action)
      return state, state.reward

    starts = jax.vmap(bare.reset)(jax.random.split(start_key, _STARTS))
    return jnp.sum(jax.lax.scan(step, starts, actions)[1])

  try:
    lowered = jax.jit(jax.grad(total_reward)).lower(actions)
    compiled = lowered.compile(compilation.once())
  except (TypeError, ValueError, NotImplementedError) as error:
    advice = getattr(env, "gradient_advice", "")
    reason = f"differentiating it failed: {str(error).splitlines()[0]}" + (f"; try {advice}" if advice else "")
    raise _refusal(env, config, reason) from error
  memory.require(
    sum(memory.program_bytes(compiled).values()), f"the gradient of {num_steps} steps of {_STARTS} episodes"
  )
  gradient = compiled(actions)
  # NaN is no zero: gradients that are not finite are counted in training, where they may be rare.
  if not np.any(np.asarray(gradient) != 0):
    raise _refusal(env, config, f"over {num_steps} random steps the gradient of its rewards is zero")


def _needs_gradients(algorithm: str) -> bool:
  return registry.find(algorithm).needs_environment_gradients


def _refusal(env: Environment, config: Config, reason: str) -> UserError:
  others = ", ".join(name for name in registry.algorithms() if not _needs_gradients(name))
  name = getattr(env, "name", type(env).__name__)
  return UserError(
    f"config.algorithm: {config.algorithm!r} needs the gradient of {name}, but {reason}; allowed: {others}"
  )
