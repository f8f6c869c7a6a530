"""Total propagation: one sweep back over the steps that mixes two estimates of the gradient at each of them.

Parmas, Rasmussen, Peters, Doya, "PIPPS: Flexible Model-Based Policy Search Robust to the Curse of Chaos", ICML 2018,
Algorithm 1. At every step there are two messages to the policy's outputs `zeta = (mean, log std)`: the reparameterised
one, which came back through the dynamics, and the likelihood ratio's, which needs the return alone. The mixed message
goes on to the step's observation, and so to earlier steps: where backpropagation explodes, the likelihood ratio takes
its place from there on.

Messages are by `y = (mean / std, log std)`, as in `learning.output_gradients`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree
from gippo_jax.learning.mixers import second_share
from gippo_jax.learning.output_gradients import reparameterized
from gippo_jax.learning.sample_gradients import ByOutputs, GradientVariance, by_samples

# Maps parameters and observations, a pytree of `[..., O]`, to mean and log standard deviation, `[..., A]`.
Outputs = Callable[[PyTree, PyTree], tuple[jax.Array, jax.Array]]
# Maps messages `[N, 2 A]`, and which of them count, `[N]`, to the variance over the particles of what they say of the
# policy's parameters through one step's policy, summed over the parameters.
Variance = Callable[[jax.Array, jax.Array], jax.Array]


class Steps(NamedTuple):
  """`T` steps of `N` particles, time-major.

  Attributes:
    dynamics: whatever going back through the dynamics needs, `[T, N, ...]`.
    obs: what the policy saw, a pytree of `[T, N, ...]`.
    noise: `eps` of the actions, `[T, N, A]`.
    likelihood_ratio: the second message, `[T, N, 2 A]` (`output_gradients.likelihood_ratio`).
    scale: of a step in the objective, `[T, N]`: the discounts before it.
  """

  dynamics: PyTree
  obs: PyTree
  noise: jax.Array
  likelihood_ratio: jax.Array
  scale: jax.Array


class Dynamics(Protocol):
  """The way back through one step of the simulator."""

  def __call__(self, message: PyTree, step: PyTree) -> tuple[PyTree, jax.Array]:
    """From the derivative of the return by what the step reached, to those by what it began in and by its action.

    Args:
      message: derivative of the return from the next step on, a pytree of `[N, ...]`.
      step: the step's entry of `Steps.dynamics`.

    Returns:
      The derivative of the return from this step on by the step's start, the action held fixed, `[N, ...]` like
      `message`; and by its action, `[N, A]`.
    """
    ...


class Mixer(Protocol):
  """How much the likelihood ratio counts at a step."""

  def __call__(self, pathwise: jax.Array, other: jax.Array, usable: jax.Array, variance: Variance) -> jax.Array:
    """Weight of the second message in [0, 1].

    Args:
      pathwise, other: the two messages, `[N, 2 A]`, scaled as the objective scales the step.
      usable: where the first is finite, `[N]`.
      variance: of what messages say of the policy's parameters.

    Returns:
      Of a shape that broadcasts with `[N, 2 A]`.
    """
    ...


class Swept(NamedTuple):
  """What a sweep found.

  Attributes:
    gradient: of the mean over the particles of the sum of all scaled returns, like the parameters.
    weight: mean weight of the likelihood ratio at each step, `[T]`.
    dropped: share of the reparameterised messages that were not finite, `[T]`.
  """

  gradient: PyTree
  weight: jax.Array
  dropped: jax.Array


def by_parameter_variance(pathwise: jax.Array, other: jax.Array, usable: jax.Array, variance: Variance) -> jax.Array:
  """The paper's mixer: one weight per step, `V_rp / (V_rp + V_lr)`.

  The variances are over the particles, of the gradient by the parameters through this step's policy alone, and summed
  over all parameters. The arguments are those of `Mixer`.
  """
  # In the unit of the longest message: of one that has exploded the square may be no finite number.
  longest = jnp.maximum(jnp.max(jnp.abs(pathwise)), jnp.max(jnp.abs(other)))
  unit = jnp.where(longest > 0.0, longest, 1.0)
  everyone = jnp.ones_like(usable)
  return second_share(variance(pathwise / unit, usable), variance(other / unit, everyone))


def constant(weight: float) -> Mixer:
  """The same weight at every step: 0 is backpropagation through time, 1 the likelihood ratio."""

  def mix(pathwise, other, usable, variance):
    del other, usable, variance
    return jnp.full((), weight, pathwise.dtype)

  return mix


def sweep(
  parameters: PyTree,
  outputs: Outputs,
  dynamics: Dynamics,
  observe: Callable[[PyTree, PyTree], PyTree],
  message: PyTree,
  steps: Steps,
  mixer: Mixer = by_parameter_variance,
  gradient_variance: Callable[[PyTree, PyTree], GradientVariance] | None = None,
) -> Swept:
  """Goes back over the steps.

  A particle whose message through the dynamics is not finite is dropped at that step: the likelihood ratio stands for
  it there, and its message begins anew.

  Args:
    parameters: of the policy.
    outputs: the policy.
    dynamics: the way back through a step; carries its own message.
    observe: adds the derivative by the observation, like it, to a message.
    message: derivative of the return behind the last step, `[N, ...]`.
    steps: time-major.
    mixer: of the two messages.
    gradient_variance: of the policy, of its parameters and what it saw; where none is given, every particle's gradient
      is made.
  """

  variance_at = gradient_variance or functools.partial(by_samples, outputs)

  def back(message, step):
    message, action_gradient = dynamics(message, step.dynamics)
    usable = _finite(message) & _finite(action_gradient)
    message = jax.tree.map(lambda leaf: _keep(usable, leaf), message)
    (_, log_std), pull_back = jax.vjp(lambda obs: outputs(parameters, obs), step.obs)
    pathwise = reparameterized(_keep(usable, action_gradient)[None], log_std[None], step.noise[None])[0]

    variance_of = variance_at(parameters, step.obs)
    scale = step.scale[:, None]
    weight = mixer(
      scale * pathwise,
      scale * step.likelihood_ratio,
      usable,
      lambda messages, used: variance_of(_by_outputs(messages, log_std), used),
    )
    weight = jnp.where(usable[:, None], weight, 1.0)
    mixed = weight * step.likelihood_ratio + (1.0 - weight) * pathwise
    (by_obs,) = pull_back(tuple(_by_outputs(mixed, log_std)))
    dropped = 1.0 - jnp.mean(usable.astype(mixed.dtype))
    return observe(message, by_obs), (scale * mixed, jnp.mean(weight), dropped)

  _, (mixed, weight, dropped) = jax.lax.scan(back, message, steps, reverse=True)
  # The parameters of all steps at once.
  (_, log_std), pull_back = jax.vjp(lambda parameters: outputs(parameters, steps.obs), parameters)
  (gradient,) = pull_back(tuple(_by_outputs(mixed, log_std)))
  num_particles = steps.scale.shape[1]
  return Swept(jax.tree.map(lambda leaf: leaf / num_particles, gradient), weight, dropped)


def _by_outputs(messages: jax.Array, log_std: jax.Array) -> ByOutputs:
  """From derivatives by `y = (mean / std, log std)`, `[..., 2 A]`, to those by the outputs, `[..., A]`."""
  by_mean, by_log_std = jnp.split(messages, 2, axis=-1)
  return ByOutputs(by_mean * jnp.exp(-log_std), by_log_std)


def _finite(tree: PyTree) -> jax.Array:
  """Particles of which every entry is finite; `[N]`."""
  flags = [jnp.all(jnp.isfinite(leaf.reshape(leaf.shape[0], -1)), axis=1) for leaf in jax.tree.leaves(tree)]
  return jnp.all(jnp.stack(flags), axis=0)


def _keep(usable: jax.Array, leaf: jax.Array) -> jax.Array:
  """Zero for the other particles."""
  return jnp.where(usable.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, jnp.zeros_like(leaf))
