"""How much single samples' gradients by a policy's parameters vary, and how to know it without making them.

A sample's gradient by the kernel and bias of a dense layer `y = x W + b` is the outer product of `(x, 1)` and
`delta`, the derivative by `y`: its squared norm is `(|x|^2 + 1) |delta|^2` (Goodfellow, "Efficient Per-Example Gradient
Computations", 2015, arXiv:1510.01799). By a LayerNorm's `y = x * scale + bias` it is `sum_j (x_j^2 + 1) delta_j^2`. The
trace of the covariance needs these and the gradient's mean, `(sum_i |g_i|^2 - |sum_i g_i|^2 / S) / (S - 1)`, and so one
backward pass instead of `S` copies of the parameters.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.flatten_util import ravel_pytree

from gippo_jax.envs.base import PyTree
from gippo_jax.learning.mixers import total_variance

# Kinds of layers, `y = x W + b`, `y = x * scale + bias` and `y = bias`; each is the collection in which a module leaves
# such layers' inputs, by the names of the outputs' perturbations.
DENSE, SCALED, OFFSET = "dense", "scaled", "offset"

# Squared norm of each sample's gradient by a layer's parameters, `[S]`, from input and derivative by the output.
_SQUARED_NORM: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  DENSE: lambda x, delta: (jnp.sum(x**2, axis=-1) + 1.0) * jnp.sum(delta**2, axis=-1),
  SCALED: lambda x, delta: jnp.sum((x**2 + 1.0) * delta**2, axis=-1),
  OFFSET: lambda x, delta: jnp.sum(delta**2, axis=-1),
}


class ByOutputs(NamedTuple):
  """Derivative of a number of each sample by its policy's outputs, `[S, A]` each."""

  mean: jax.Array
  log_std: jax.Array


class GradientVariance(Protocol):
  """The trace of the unbiased covariance of the samples' gradients by the parameters, at given observations."""

  def __call__(self, by_outputs: ByOutputs, used: jax.Array) -> jax.Array:
    """A scalar.

    Args:
      by_outputs: what is pulled back to the parameters, sample by sample; finite.
      used: which samples count, `[S]`; NaN comes of fewer than two.
    """
    ...


def by_samples(
  outputs: Callable[[PyTree, PyTree], tuple[jax.Array, jax.Array]], parameters: PyTree, obs: PyTree
) -> GradientVariance:
  """Of any policy: every sample's gradient is made, `S P` numbers.

  Args:
    outputs: maps parameters and observations to mean and log standard deviation, `[..., A]`.
    parameters: `P` numbers.
    obs: a pytree of `[S, ...]`.
  """

  def of_one(obs, by_outputs):
    _, pull_back = jax.vjp(lambda parameters: outputs(parameters, obs), parameters)
    return ravel_pytree(pull_back(tuple(by_outputs))[0])[0]

  def variance(by_outputs, used):
    return total_variance(jax.vmap(of_one)(obs, by_outputs), used)

  return variance


def watch(module: nn.Module, kind: str, name: str, x: jax.Array, y: jax.Array) -> jax.Array:
  """`y`, the output of a layer, for `by_layers` to see; nothing is done, and nothing kept, where it does not look.

  Args:
    module: whose method calls.
    kind: `DENSE`, `SCALED` or `OFFSET`.
    name: of the layer's output, not taken in the module.
    x: input, `[..., I]`; of an offset, the offset.
    y: output, `[..., O]`.
  """
  module.sow(kind, name, x)
  return module.perturb(name, y)


def is_watched(module: nn.Module) -> bool:
  """Whether `by_layers` looks."""
  return module.is_mutable_collection(DENSE)


def by_layers(module: nn.Module, parameters: PyTree, obs: jax.Array) -> GradientVariance:
  """Of a module that shows each of its layers to `watch`: what `by_samples` finds, in the time of a gradient or two.

  The difference of two sums cannot tell a variance below their rounding from 0: some 1e-7 of the squared gradient in
  float32.

  Args:
    module: maps observations to mean and log standard deviation.
    parameters: of the module.
    obs: as the module takes them, `[S, O]`.
  """
  shapes = jax.eval_shape(module.init, jax.random.key(0), obs)["perturbations"]

  def probed(parameters: PyTree, probes: PyTree) -> tuple[PyTree, PyTree]:
    return module.apply({"params": parameters, "perturbations": probes}, obs, mutable=list(_SQUARED_NORM))

  probes = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
  _, pull_back, inputs = jax.vjp(probed, parameters, probes, has_aux=True)

  def variance(by_outputs, used):
    weight = used.astype(by_outputs.mean.dtype)
    by_parameters, by_probes = pull_back(tuple(weight[:, None] * leaf for leaf in by_outputs))
    squares = sum(
      jnp.sum(_SQUARED_NORM[kind](x, by_probes[name])) for kind in inputs for name, (x,) in inputs[kind].items()
    )
    total = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(by_parameters))
    count = jnp.sum(weight)
    trace = jnp.maximum(squares - total / count, 0.0) / (count - 1.0)
    return jnp.where(count > 1.0, trace, jnp.nan)

  return variance
