"""Hyper-parameters: one typed pytree whose real numbers are leaves and whose sizes and switches are static.

`Config` is what the compiled code takes: the fields that all algorithms have, and the groups of the one algorithm that
is trained, which belong to it (`gippo_jax.registry`). `gippo_jax.parsing` turns what a user wrote into one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.tree_util
from flax import struct

from gippo_jax import registry
from gippo_jax.errors import UserError
from gippo_jax.fields import (
  Field,
  Real,
  allowed_of,
  build,
  check_value,
  choice,
  fields_of,
  group,
  group_of,
  integer,
  is_traced,
  real,
  sizes,
  switch,
  text,
  texts,
  traced_integer,
)
from gippo_jax.plain import PlainMapping

# The names of JAX for what accelerators make of products of float32 numbers. Its `bfloat16` is the fastest of a device:
# one pass of bfloat16 on a TPU, TF32 on a GPU.
MATMUL_PRECISIONS = {"highest": "float32", "tf32": "tensorfloat32", "bf16": "bfloat16"}

_ACTIVATIONS = ("elu", "tanh", "relu", "silu")


class ActorConfig(struct.PyTreeNode):
  """Policy network."""

  network: str = text("mlp", "mlp, or the import path of a factory of your own, my_package.nets:make")
  units: tuple[int, ...] = sizes((32, 32), "widths of the hidden layers")
  activation: str = choice("elu", _ACTIVATIONS, "of the hidden layers")
  layer_norm: bool = switch(True, "LayerNorm behind every hidden layer")
  fixed_std: bool = switch(False, "the standard deviation is one learned vector, not a head of the network")
  initial_log_std: Real = real(0.0, "start of that vector; unused without fixed_std")
  spectral_norm: bool = switch(False, "hidden layers but the first divided by their largest singular value")


class CriticConfig(struct.PyTreeNode):
  """Value network and its regression."""

  units: tuple[int, ...] = sizes((32, 32), "widths of the hidden layers")
  activation: str = choice("elu", _ACTIVATIONS, "of the hidden layers")
  layer_norm: bool = switch(True, "LayerNorm behind every hidden layer")
  learning_rate: Real = real(1e-3, "Adam rate of the first epoch", minimum=0)
  final_learning_rate: Real = real(
    1e-5, "rate of the last epoch, reached linearly (plain PPO keeps the first)", minimum=0
  )
  num_iterations: int = integer(16, "passes over the window per epoch")
  num_minibatches: int = integer(4, "minibatches per pass")
  target_decay: Real = real(0.2, "target = target_decay * target + (1 - target_decay) * critic", minimum=0, maximum=1)


class AdamConfig(struct.PyTreeNode):
  """Adam of the critic, the alpha step and the single-step algorithms."""

  beta1: Real = real(0.7, "decay of the first moment", minimum=0, below=1)
  beta2: Real = real(0.95, "decay of the second moment", minimum=0, below=1)


@dataclasses.dataclass(frozen=True, init=False)
class Config:
  """All hyper-parameters of a training run; the argument of every compiled function.

  `Config(algorithm="ppo", num_envs=8, ppo={"learning_rate": 3e-4})` checks as the command line does. The groups of the
  algorithm are attributes like the common ones: `config.ppo.clip_range`.

  Args:
    **values: fields, and groups as dictionaries or as objects; the others are at their defaults.

  Raises:
    UserError: naming the field, its value and what is allowed.
  """

  algorithm: str = text("gippo", "training algorithm; `python -m gippo_jax list` shows all")
  num_envs: int = integer(64, "environments stepped side by side")
  horizon: int = integer(1, "steps per environment and epoch; also the length of backpropagation through time")
  staggered_starts: bool = switch(
    False, "the first episodes begin at times spread over an episode's length, so that not all environments end at once"
  )
  num_epochs: int = traced_integer(2000, "epochs of training; the end of linear schedules")
  discount: Real = real(0.99, "discount per step", above=0, maximum=1)
  gae_lambda: Real = real(0.95, "lambda of the advantages and of the critic's targets", minimum=0, maximum=1)
  normalize_observations: bool = switch(True, "running statistics of observations")
  normalize_values: bool = switch(True, "the critic predicts normalised returns")
  statistics_prior: str = choice(
    "none",
    ("none", "paper"),
    "weight of the statistics' start, mean 0 and variance 1: none, or the paper's 1e-4 samples",
  )
  normalize_advantages: bool = switch(True, "advantages of policy losses are standardised over the window")
  clip_gradients: bool = switch(True, "clip by global norm")
  max_gradient_norm: Real = real(1.0, "largest global gradient norm", above=0)
  rematerialize: bool = switch(False, "recompute steps in the backward pass to save memory (jax.checkpoint)")
  matmul_precision: str = choice(
    "highest",
    tuple(MATMUL_PRECISIONS),
    "of products on accelerators; a GPU takes bf16 for tf32, a CPU any for highest",
  )
  actor: ActorConfig = group(ActorConfig)
  critic: CriticConfig = group(CriticConfig)
  adam: AdamConfig = group(AdamConfig)
  own: PlainMapping = dataclasses.field(default_factory=dict)  # groups are of any class

  def __init__(self, **values: object):
    spec = registry.find(values.get("algorithm", "gippo"))
    fields = common_fields()
    built: dict[str, object] = {
      name: group_of(field)() if allowed_of(field) is None else field.default for name, field in fields.items()
    }
    own = {name: cls() for name, cls in spec.groups.items()}
    for name, value in values.items():
      place, cls = (own, spec.groups[name]) if name in own else (built, None)
      if cls is None and name not in fields:
        raise registry.unknown_or_foreign(name, spec)
      if cls is None and allowed_of(fields[name]) is None:
        cls = group_of(fields[name])
      place[name] = check_value(fields[name], value, f"config.{name}") if cls is None else _group(cls, name, value)
    _set(self, built, own)
    check_together(self)

  def __getattr__(self, name: str) -> Any:
    """A group of the algorithm; its class is the algorithm's own."""
    own = self.__dict__.get("own", {})
    if name in own:
      return own[name]
    raise AttributeError(f"{type(self).__name__} has no {name}")

  def replace(self, **changes: Any) -> "Config":
    """The same with other fields or groups, unchecked: values may be traced.

    A change of `algorithm` brings the new one's groups, at their defaults where the old one has none of that name.
    """
    own = dict(self.own)
    if "algorithm" in changes:
      own = {name: own.get(name, cls()) for name, cls in registry.find(changes["algorithm"]).groups.items()}
    common = {name: getattr(self, name) for name in common_fields()}
    for name, value in changes.items():
      if name not in common and name not in own:
        raise registry.unknown_or_foreign(name, registry.find(changes.get("algorithm", self.algorithm)))
      (own if name in own else common)[name] = value
    return _set(object.__new__(type(self)), common, own)


def common_fields() -> dict[str, Field]:
  """The fields that all algorithms have, by name."""
  return {name: field for name, field in fields_of(Config).items() if name != "own"}


def check_together(config: Config) -> None:
  """Checks that involve more than one field, the algorithm's own among them.

  Raises:
    UserError: naming the field, its value and what is allowed.
  """
  window = config.num_envs * config.horizon
  if window < 2:
    raise UserError(
      f"config.num_envs: {config.num_envs} is not allowed with horizon {config.horizon}; "
      "allowed: num_envs * horizon >= 2, since advantages are standardised over the window"
    )
  check_divides("critic.num_minibatches", config.critic.num_minibatches, window)
  _check_spectral_norm(config.actor)
  registry.find(config.algorithm).check(config)


def _check_spectral_norm(actor: ActorConfig) -> None:
  """Checks that there is a layer to be normalised, and nothing behind it that undoes it."""
  if not actor.spectral_norm:
    return
  if len(actor.units) < 2:
    raise UserError(
      f"config.actor.spectral_norm: True is not allowed with actor.units = {actor.units}, of which no layer is "
      "normalised; allowed: two hidden layers or more, since the first is left as it is"
    )
  if actor.layer_norm:
    raise UserError(
      "config.actor.spectral_norm: True is not allowed with actor.layer_norm = True, which divides by a scale of its "
      "own; allowed: actor.layer_norm = False"
    )


def check_divides(name: str, value: int, window: int) -> None:
  """Checks that the window's samples fall into equal parts.

  Raises:
    UserError: when they do not.
  """
  if window % value:
    raise UserError(f"config.{name}: {value} is not allowed; allowed: a divisor of num_envs * horizon = {window}")


def _group(cls: type, name: str, value: object) -> object:
  if isinstance(value, cls):
    value = {field.name: getattr(value, field.name) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
  if not isinstance(value, Mapping):
    raise UserError(f"config.{name}: {value!r} is not allowed; allowed: {cls.__name__} or a dictionary of its fields")
  return build(cls, value, f"config.{name}")


def _set(config: Config, common: Mapping[str, object], own: Mapping[str, object]) -> "Config":
  for name, value in {**common, "own": dict(own)}.items():
    object.__setattr__(config, name, value)
  return config


def _flatten(config: Config) -> tuple[list[tuple[Any, Any]], Any]:
  fields = common_fields()
  nodes = [(name, getattr(config, name)) for name, field in fields.items() if is_traced(field)]
  static = tuple(getattr(config, name) for name, field in fields.items() if not is_traced(field))
  children = [(jax.tree_util.GetAttrKey(name), value) for name, value in [*nodes, *config.own.items()]]
  return children, (static, tuple(config.own))


def _unflatten(structure: Any, children: Any) -> Config:
  static, groups = structure
  fields = common_fields()
  nodes = [name for name, field in fields.items() if is_traced(field)]
  children = list(children)
  common = dict(zip(nodes, children, strict=False))
  common |= zip((name for name, field in fields.items() if not is_traced(field)), static, strict=True)
  return _set(object.__new__(Config), common, dict(zip(groups, children[len(nodes) :], strict=True)))


jax.tree_util.register_pytree_with_keys(Config, _flatten, _unflatten)


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """What the host does around the compiled code; nothing here is compiled in."""

  seed: int = integer(1, "seed of the first run; further ones count up", minimum=0, maximum=2**32 - 1)
  num_seeds: int = integer(1, "seeds trained together in one compiled program")
  log_interval: int = integer(10, "every so many epochs a row of metrics is written")
  checkpoint_seconds: Real = real(30.0, "least time between checkpoints", minimum=0)
  gradient_probe: bool = switch(True, "refuse an environment whose rewards show no gradient at start-up")
  tolerated_share: Real = real(
    0.2,
    "a seed is given up after 20 epochs in a row with a larger share of failed steps or of gradients not finite",
    minimum=0,
    maximum=1,
  )
  evaluation_episodes: int = integer(128, "episodes of the final evaluation")
  init_from: str = text("", "folder of a run whose networks and statistics this one starts from; set by --init_from")
  plugins: tuple[str, ...] = texts("modules that bring algorithms of your own; set by --plugin")


def traced(config: Config) -> Config:
  """`config` with its real numbers as arrays of the default float type, so that calls agree in their types."""
  import jax  # here, so that reading and printing a configuration does not need it
  import jax.numpy as jnp

  return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=jnp.zeros(()).dtype), config)
