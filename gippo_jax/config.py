"""Hyper-parameters: one typed pytree whose real numbers are leaves and whose sizes and switches are static.

`Config` is what the compiled code takes. Its fields made by `real` are pytree leaves, traced by `jit`: a sweep stacks
them and `vmap`s. All other fields are part of the tree's structure, hence of the compile key. `gippo_jax.parsing` turns
what a user wrote into a `Config`.
"""

import dataclasses
import math
from typing import Any

from flax import struct


@dataclasses.dataclass(frozen=True)
class Allowed:
  """What a field takes: `describe()` says it, `check(value)` returns the value in its type or raises."""

  kind: str
  minimum: float | None = None
  above: float | None = None
  maximum: float | None = None
  options: tuple[str, ...] = ()
  doc: str = ""

  def describe(self) -> str:
    """The allowed values in words."""
    if self.kind == "choice":
      return "one of " + ", ".join(self.options)
    if self.kind == "switch":
      return "True or False"
    if self.kind == "sizes":
      return "a non-empty tuple of integers >= 1"
    noun = "an integer" if self.kind == "integer" else "a number"
    bounds = []
    if self.minimum is not None:
      bounds.append(f">= {self.minimum:g}")
    if self.above is not None:
      bounds.append(f"> {self.above:g}")
    if self.maximum is not None:
      bounds.append(f"<= {self.maximum:g}")
    return " ".join([noun, " and ".join(bounds)]).strip()

  def check(self, value: Any) -> Any:
    """Returns `value` as its type, or raises `ValueError` without a text."""
    if self.kind == "choice":
      return self._require(value, isinstance(value, str) and value in self.options)
    if self.kind == "switch":
      return self._require(value, isinstance(value, bool))
    if self.kind == "sizes":
      is_sequence = isinstance(value, (tuple, list)) and len(value) > 0
      self._require(value, is_sequence and all(_is_integer(size) and size >= 1 for size in value))
      return tuple(int(size) for size in value)
    if self.kind == "integer":
      self._require(value, _is_integer(value))
      return int(self._in_range(value))
    self._require(value, isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))
    return float(self._in_range(value))

  def _in_range(self, value: float) -> float:
    above_minimum = self.minimum is None or value >= self.minimum
    strictly_above = self.above is None or value > self.above
    return self._require(value, above_minimum and strictly_above and (self.maximum is None or value <= self.maximum))

  def _require(self, value: Any, condition: bool) -> Any:
    if not condition:
      raise ValueError
    return value


def _is_integer(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def real(default: float, doc: str, **bounds: float) -> Any:
  """A traced real number."""
  return struct.field(default=default, metadata={"allowed": Allowed("real", doc=doc, **bounds)})


def _static(default: Any, allowed: Allowed) -> Any:
  return struct.field(pytree_node=False, default=default, metadata={"allowed": allowed})


def integer(default: int, doc: str, **bounds: float) -> Any:
  """A static integer."""
  return _static(default, Allowed("integer", doc=doc, **bounds))


def switch(default: bool, doc: str) -> Any:
  """A static truth value."""
  return _static(default, Allowed("switch", doc=doc))


def choice(default: str, options: tuple[str, ...], doc: str) -> Any:
  """A static word out of a few."""
  return _static(default, Allowed("choice", options=options, doc=doc))


def sizes(default: tuple[int, ...], doc: str) -> Any:
  """A static tuple of positive integers."""
  return _static(default, Allowed("sizes", doc=doc))


def group(cls: type) -> Any:
  """A nested group of fields."""
  return struct.field(default_factory=cls)


@struct.dataclass
class ActorConfig:
  """Policy network."""

  units: tuple[int, ...] = sizes((32, 32), "widths of the hidden layers")
  fixed_std: bool = switch(False, "the standard deviation is one learned vector, not a head of the network")
  initial_log_std: float = real(0.0, "start of that vector; unused without fixed_std")


@struct.dataclass
class CriticConfig:
  """Value network and its regression."""

  units: tuple[int, ...] = sizes((32, 32), "widths of the hidden layers")
  learning_rate: float = real(1e-3, "Adam rate of the first epoch", minimum=0)
  final_learning_rate: float = real(
    1e-5, "rate of the last epoch, reached linearly (plain PPO keeps the first)", minimum=0
  )
  num_iterations: int = integer(16, "passes over the window per epoch", minimum=1)
  num_minibatches: int = integer(4, "minibatches per pass", minimum=1)
  target_decay: float = real(0.2, "target = target_decay * target + (1 - target_decay) * critic", minimum=0, maximum=1)


@struct.dataclass
class AdamConfig:
  """Adam of the critic, the alpha step and the single-step algorithms."""

  beta1: float = real(0.7, "decay of the first moment", minimum=0, maximum=1)
  beta2: float = real(0.95, "decay of the second moment", minimum=0, maximum=1)


@struct.dataclass
class RateConfig:
  """Rate of an algorithm that makes one step of the actor per epoch."""

  learning_rate: float = real(1e-3, "Adam rate of the first epoch", minimum=0)
  final_learning_rate: float = real(1e-5, "rate of the last epoch, reached linearly", minimum=0)


@struct.dataclass
class LRPConfig(RateConfig):
  """The step on both estimators, weighted by their inverse variances."""

  num_variance_samples: int = integer(16, "single-sample gradients that measure an estimator's variance", minimum=2)
  max_gradient_entries: int = integer(512, "leading entries of a gradient that enter its variance", minimum=1)


@struct.dataclass
class AlphaConfig:
  """GI-PPO's alpha-policy and the adaptation of alpha."""

  initial: float = real(1e-5, "alpha of the first epoch: step of the actions along the gradient", above=0)
  maximum: float = real(1.0, "largest alpha", above=0)
  update_factor: float = real(
    1.1, "alpha is multiplied or divided by this once an epoch (beta in the paper)", minimum=1
  )
  determinant_interval: float = real(
    0.4, "allowed distance from 1 of the estimated det(I + alpha Hessian) (delta_det in the paper)", minimum=0
  )
  max_out_of_range_ratio: float = real(
    0.5, "tolerated share of ratios outside the clip range (delta_oorr in the paper)", minimum=0, maximum=1
  )
  learning_rate: float = real(1e-3, "Adam rate of the regression onto the moved actions", minimum=0)
  min_learning_rate: float = real(1e-5, "the rate does not fall below this after failures", minimum=0)
  num_steps: int = integer(16, "full-batch gradient steps of that regression per epoch", minimum=1)


@struct.dataclass
class PPOConfig:
  """Clipped surrogate, for PPO and inside GI-PPO."""

  learning_rate: float = real(1e-4, "Adam rate; of the first minibatch with rate_schedule=adaptive_kl", minimum=0)
  rate_schedule: str = choice(
    "constant", ("constant", "adaptive_kl"), "whether the rate follows the divergence of the policy's steps"
  )
  kl_threshold: float = real(
    0.008, "adaptive_kl: the rate falls by 1.5 above twice this divergence, and rises by 1.5 below half of it", above=0
  )
  min_learning_rate: float = real(1e-5, "the rate does not fall below this after failures", minimum=0)
  compound_retries: bool = switch(
    True, "each retry divides the rate again; if not, every retry runs at learning_rate / retry.rate_divisor"
  )
  clip_range: float = real(0.2, "ratios are clipped to 1 +- clip_range", above=0, maximum=1)
  minibatch_size: int = integer(64, "samples per minibatch; divides num_envs * horizon", minimum=1)
  num_passes: int = integer(5, "passes over the window per epoch", minimum=1)
  beta1: float = real(0.9, "decay of the first moment", minimum=0, maximum=1)
  beta2: float = real(0.999, "decay of the second moment", minimum=0, maximum=1)


@struct.dataclass
class RetryConfig:
  """Minimisation with retry, of the alpha step and of PPO."""

  max_attempts: int = integer(8, "attempts before the old weights are kept", minimum=1)
  rate_divisor: float = real(1.5, "the rate is divided by this from attempt to attempt", minimum=1)


@struct.dataclass
class Config:
  """All hyper-parameters of a training run; the argument of every compiled function."""

  algorithm: str = choice("gippo", ("lr", "rp", "shac", "ppo", "lrp", "pe", "gippo"), "training algorithm")
  num_envs: int = integer(64, "environments stepped side by side", minimum=1)
  horizon: int = integer(
    1, "steps per environment and epoch; also the length of backpropagation through time", minimum=1
  )
  num_epochs: int = integer(2000, "epochs of training", minimum=1)
  discount: float = real(0.99, "discount per step", above=0, maximum=1)
  gae_lambda: float = real(0.95, "lambda of the advantages and of the critic's targets", minimum=0, maximum=1)
  actor_gae_lambda: float = real(
    0.95, "lambda in the objective that RP and LR+RP differentiate; SHAC's is 1", minimum=0, maximum=1
  )
  normalize_observations: bool = switch(True, "running statistics of observations")
  normalize_values: bool = switch(True, "the critic predicts normalised returns")
  normalize_advantages: bool = switch(True, "advantages of policy losses are standardised over the window")
  clip_gradients: bool = switch(True, "clip by global norm")
  max_gradient_norm: float = real(1.0, "largest global gradient norm", above=0)
  rematerialize: bool = switch(False, "recompute steps in the backward pass to save memory (jax.checkpoint)")
  actor: ActorConfig = group(ActorConfig)
  critic: CriticConfig = group(CriticConfig)
  adam: AdamConfig = group(AdamConfig)
  lr: RateConfig = group(RateConfig)
  rp: RateConfig = group(RateConfig)
  shac: RateConfig = group(RateConfig)
  lrp: LRPConfig = group(LRPConfig)
  pe: RateConfig = group(RateConfig)
  alpha: AlphaConfig = group(AlphaConfig)
  ppo: PPOConfig = group(PPOConfig)
  retry: RetryConfig = group(RetryConfig)


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """What the host does around the compiled code; nothing here is compiled in."""

  seed: int = integer(1, "seed of the first run; further ones count up", minimum=0)
  num_seeds: int = integer(1, "seeds trained together in one compiled program", minimum=1)
  log_interval: int = integer(10, "every so many epochs a row of metrics is written", minimum=1)
  checkpoint_seconds: float = real(30.0, "least time between checkpoints", minimum=0)
  gradient_probe: bool = switch(True, "refuse an environment whose rewards show no gradient at start-up")
  tolerated_share: float = real(
    0.2,
    "a seed is given up after 20 epochs in a row with a larger share of failed steps or of gradients not finite",
    minimum=0,
    maximum=1,
  )
  evaluation_episodes: int = integer(128, "episodes of the final evaluation", minimum=1)


def traced(config: Config) -> Config:
  """`config` with its real numbers as arrays of the default float type, so that calls agree in their types."""
  import jax  # here, so that reading and printing a configuration does not need it
  import jax.numpy as jnp

  return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=jnp.zeros(()).dtype), config)
