"""Hyper-parameters of RP-DP and RP-DR, and what of them does not go together."""

from gippo_jax.algorithms.gradient_step import RateConfig
from gippo_jax.algorithms.learned_model import check_capacity
from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, integer, real


class ExpansionConfig(RateConfig):
  """Steps through a learned model, and action-value critics behind them."""

  horizon: int = integer(3, "steps through the model (h)")
  num_steps: int = integer(32, "gradient steps of the critics, and of the actor, per epoch")
  minibatch_size: int = integer(256, "transitions, and starts, of a gradient step")
  num_critics: int = integer(2, "critics, whose least value counts")
  target_decay: Real = real(
    0.995, "in the place of critic.target_decay: the target's weight in every gradient step", minimum=0, maximum=1
  )
  initial_temperature: Real = real(0.1, "weight of the entropy in the first epoch (alpha)", minimum=0)
  temperature_rate: Real = real(1e-3, "Adam rate of its logarithm; 0 keeps the weight", minimum=0)
  target_entropy: Real = real(-1.0, "target of the entropy in the first epoch, per entry of the action")
  final_target_entropy: Real = real(-1.0, "target after the last epoch")
  target_power: Real = real(1.0, "the way there is (1 - epoch / num_epochs)^power", above=0)


def check(config: Config) -> None:
  """Steps are those of a window, which the buffer must hold.

  Raises:
    UserError: for a longer expansion, or a smaller buffer.
  """
  if config.expansion.horizon > config.horizon:
    raise UserError(
      f"config.expansion.horizon: {config.expansion.horizon} is not allowed; allowed: 1 to horizon = {config.horizon}, "
      "the window's steps"
    )
  check_capacity(config)


def idle(config: Config) -> dict[str, str]:
  """Fields of a critic of states."""
  reason = f"algorithm = {config.algorithm!r}; allowed: config.expansion."
  owners = {"num_iterations": "num_steps", "num_minibatches": "minibatch_size", "target_decay": "target_decay"}
  return {f"critic.{name}": reason + own for name, own in owners.items()}
