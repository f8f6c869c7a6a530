"""What an epoch works on: the batch of environments, the networks, the hyper-parameters."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax

from gippo_jax.config import Config
from gippo_jax.envs.base import Environment, PyTree
from gippo_jax.envs.wrappers import Batch, vectorize
from gippo_jax.learning.agents import Networks, make_networks

if TYPE_CHECKING:
  from gippo_jax.learning.rollout import Window


class Setup(NamedTuple):
  """Built once, where a program is traced.

  Attributes:
    env: the batch, with time limit and automatic reset.
    networks: actor and critic, without their parameters.
    config: hyper-parameters, the real ones traced.
    learn: of an algorithm with a model of the environment: from the model before a window, the window, and the raw
      observations after it, to the model after it, and metrics.
  """

  env: Batch
  networks: Networks
  config: Config
  learn: "Callable[[PyTree, Window, jax.Array], tuple[PyTree, dict[str, jax.Array]]] | None" = None

  @property
  def observation_size(self) -> int:
    """Entries of an observation."""
    return self.env.base.observation_size

  @property
  def action_size(self) -> int:
    """Entries of an action."""
    return self.env.base.action_size


def make_setup(env: Environment, config: Config) -> Setup:
  """`config.num_envs` copies of `env` and the configured networks.

  Raises:
    UserError: when the networks cannot be made.
    ValueError: when the environment does not keep its contract.
  """
  networks = make_networks(env.observation_size, env.action_size, config.actor, config.critic)
  return Setup(vectorize(env, config.num_envs, config.staggered_starts), networks, config)
