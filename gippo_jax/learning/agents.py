"""What an agent's networks are, and the factories that make them.

A factory is a function `make(observation_size, action_size, actor, critic) -> Networks`, `actor` and `critic` being the
configuration's groups (their sizes and switches; the real numbers may be traced). `actor.network` names it: `mlp` is
the built-in one, `my_package.nets:make` the import path of your own.
"""

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserCodeError, UserError
from gippo_jax.importing import BrokenModuleError, NotThereError, import_object
from gippo_jax.learning import networks
from gippo_jax.learning.sample_gradients import GradientVariance, by_samples
from gippo_jax.learning.spectral_policy import NormalizedPolicy


@runtime_checkable
class Networks(Protocol):
  """Actor and critic, their parameters held outside; hashable, for it is part of the compiled program's key.

  It may also have `in_order(actor) -> list of arrays`, the actor's parameters in an order of its own: LR+RP measures
  variances on the first of them; `values(critic, obs)`, the values `[K, ...]` of several critics, each of which
  regresses onto the targets (`ensemble.Ensemble`); `gradient_variance(actor, obs)`, a quicker
  `sample_gradients.by_samples`; and `after_step(actor)`, the actor with what the networks themselves change when an
  optimiser has moved it (`spectral_policy.NormalizedPolicy`).
  """

  def init(self, key: jax.Array, config: ActorConfig) -> tuple[PyTree, PyTree]:
    """Draws the parameters of actor and critic.

    Args:
      key: random key.
      config: the configuration's group `actor`, its real numbers traced.
    """
    ...

  def policy(self, actor: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation, `[..., A]`, at normalised observations `[..., O]`."""
    ...

  def value(self, critic: PyTree, obs: jax.Array) -> jax.Array:
    """Value `[...]`, in units of the value statistics, at normalised observations `[..., O]`."""
    ...


Factory = Callable[[int, int, ActorConfig, CriticConfig], Networks]

_BUILT_IN: dict[str, Factory] = {"mlp": networks.make}
_MEMBERS = ("init", "policy", "value")


def make_networks(observation_size: int, action_size: int, actor: ActorConfig, critic: CriticConfig) -> Networks:
  """The networks that the configuration names.

  Raises:
    UserError: when the factory cannot be found, or makes something else.
  """
  made = find_factory(actor.network)(observation_size, action_size, actor, critic)
  missing = [name for name in _MEMBERS if not callable(getattr(made, name, None))]
  if missing:
    raise UserError(
      f"config.actor.network: {actor.network!r} made a {type(made).__name__}, which has no {', '.join(missing)}; "
      f"allowed: a factory of objects with {', '.join(_MEMBERS)}"
    )
  return _normalized(made, actor) if actor.spectral_norm else made


def _normalized(made: Networks, actor: ActorConfig) -> Networks:
  if not isinstance(made, networks.MultilayerPerceptrons):
    raise UserError(
      f"config.actor.spectral_norm: True is not allowed with actor.network = {actor.network!r}, whose layers are its "
      f"own; allowed: {', '.join(_BUILT_IN)}"
    )
  return NormalizedPolicy(made)


def find_factory(name: str) -> Factory:
  """The factory of that name or import path.

  Raises:
    UserError: when there is none.
  """
  if name in _BUILT_IN:
    return _BUILT_IN[name]
  wanted = f"allowed: {', '.join(_BUILT_IN)}, or the import path of a factory, my_package.nets:make"
  if ":" not in name:
    raise UserError(f"config.actor.network: {name!r} is not allowed; {wanted}")
  try:
    factory = import_object(name)
  except NotThereError as error:
    raise UserError(f"config.actor.network: {error}, of {name!r}; {wanted}") from None
  except BrokenModuleError as error:
    raise UserCodeError(f"config.actor.network: {name!r} {error}") from error.__cause__
  if not callable(factory):
    raise UserError(f"config.actor.network: {name!r} is a {type(factory).__name__}; {wanted}")
  return cast(Factory, factory)


def actor_in_order(agent: Networks, actor: PyTree) -> jax.Array:
  """The actor's parameters as one vector `[P]`, in the networks' own order where they have one."""
  in_order = getattr(agent, "in_order", jax.tree.leaves)
  return jnp.concatenate([jnp.ravel(leaf) for leaf in in_order(actor)])


def values_of(agent: Networks, critic: PyTree, obs: jax.Array) -> jax.Array:
  """Value of every critic, `[..., O] -> [K, ...]`, K = 1 where there is one."""
  values = getattr(agent, "values", None)
  return agent.value(critic, obs)[None] if values is None else values(critic, obs)


def gradient_variance(agent: Networks, actor: PyTree, obs: jax.Array) -> GradientVariance:
  """Of the samples' gradients by the actor, at normalised observations `[S, O]`."""
  own = getattr(agent, "gradient_variance", None)
  return by_samples(agent.policy, actor, obs) if own is None else own(actor, obs)


def after_step(agent: Networks, actor: PyTree) -> PyTree:
  """The actor with what its networks change after a step of an optimiser: power iterations; most change nothing."""
  change = getattr(agent, "after_step", None)
  return actor if change is None else change(actor)
