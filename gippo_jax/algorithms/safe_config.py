"""The safe rule's hyper-parameters: one set for all problems."""

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, integer, real, switch


class SafeConfig(struct.PyTreeNode):
  """GI-PPO's natural step under alpha.rule=safe."""

  divergence: Real = real(0.1, "divergence of the first epoch's natural step (delta)", above=0)
  log_std_weight: Real = real(
    1.0, "how many times the standard deviation's part of that divergence counts (M)", above=0
  )
  clip_medians: Real = real(5.0, "a sample's gradient is shortened to so many medians of all", above=0)
  damping: Real = real(0.01, "share of the Fisher matrix's diagonal that is added to it", minimum=0)
  num_iterations: int = integer(10, "of conjugate gradients")
  num_probes: int = integer(8, "random signs that estimate the Fisher matrix's diagonal")
  ppo_divergence: Real = real(0.02, "divergence of the first epoch's PPO", minimum=0)
  trust_deviations: Real = real(
    3.0, "disagreement of the two estimates that counts as noise, in its standard deviations", minimum=0
  )
  trust_decay: Real = real(0.98, "weight in it of an epoch relative to the next one", minimum=0, below=1)
  memory_renewal: Real = real(
    0.125,
    "share of the past observations, at which the policy is held too, that an epoch replaces",
    minimum=0,
    maximum=1,
  )
  anneal: bool = switch(True, "both divergences fall to 0 at the end of the training, with (1 - t)^2")


def check_safe(config: Config) -> None:
  """Checks that there are environments to compare.

  Raises:
    UserError: when there is only one.
  """
  if config.num_envs < 2:
    raise UserError(
      f"config.num_envs: {config.num_envs} is not allowed with alpha.rule = 'safe'; allowed: at least 2, since its "
      "variances are over the environments"
    )


def done_share(config: Config, epoch: jax.Array) -> jax.Array:
  """Share of the training that is done before this epoch, `t` in [0, 1]."""
  return jnp.minimum(epoch.astype(jnp.zeros(()).dtype) / config.num_epochs, 1.0)


def remaining_share(config: Config, epoch: jax.Array) -> jax.Array:
  """What is left of a divergence in this epoch: `(1 - t)^2`."""
  done = done_share(config, epoch)
  return (1.0 - done) ** 2 if config.safe.anneal else jnp.ones_like(done)
