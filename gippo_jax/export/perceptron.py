"""The arithmetic of a policy of the built-in networks, as plain arrays: what ONNX's graph and NumPy's runner hold."""

from typing import NamedTuple

import numpy as np

from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError
from gippo_jax.learning.networks import MultilayerPerceptrons
from gippo_jax.learning.policies import Policy
from gippo_jax.learning.spectral_policy import NormalizedPolicy


class Layer(NamedTuple):
  """A hidden layer: `activation(x @ kernel + bias)`, then LayerNorm.

  Attributes:
    kernel: `[I, O]`.
    bias: `[O]`.
    scale: of the LayerNorm, `[O]`; `None` where there is none.
    shift: of the LayerNorm, `[O]`; `None` where there is none.
  """

  kernel: np.ndarray
  bias: np.ndarray
  scale: np.ndarray | None
  shift: np.ndarray | None


class Perceptron(NamedTuple):
  """Mean action of a policy: normalise, hidden layers, head, tanh.

  Attributes:
    mean: of observations, `[O]`; `None` where they are not normalised.
    deviation: what their distance from the mean is divided by, `[O]`; `None` where they are not normalised.
    hidden: the hidden layers.
    activation: of the hidden layers, by name.
    kernel: of the head, `[I, A]`.
    bias: of the head, `[A]`.
  """

  mean: np.ndarray | None
  deviation: np.ndarray | None
  hidden: list[Layer]
  activation: str
  kernel: np.ndarray
  bias: np.ndarray


def perceptron_of(policy: Policy) -> Perceptron:
  """The arithmetic of a policy.

  Raises:
    UserError: when its networks are a user's own.
  """
  networks, parameters = policy.networks, policy.actor
  if isinstance(networks, NormalizedPolicy):
    networks, parameters = networks.networks, networks.divided(parameters)
  if not isinstance(networks, MultilayerPerceptrons):
    raise UserError(
      f"--format: the networks are a {type(networks).__name__} of your own, whose arithmetic only JAX knows; allowed: "
      "stablehlo, which holds any network, or a policy of the built-in ones (config.actor.network = mlp)"
    )
  actor, layers = networks.actor, []
  for index in range(len(actor.hidden.units)):
    norm = parameters[f"norm_{index}"] if actor.hidden.layer_norm else None
    layers.append(
      Layer(
        *_dense(parameters, f"dense_{index}"),
        scale=None if norm is None else np.asarray(norm["scale"]),
        shift=None if norm is None else np.asarray(norm["bias"]),
      )
    )
  statistics = policy.observation_statistics if policy.normalizes else None
  return Perceptron(
    None if statistics is None else np.asarray(statistics.mean),
    None if statistics is None else np.asarray(statistics.deviation),
    layers,
    actor.hidden.activation,
    *_dense(parameters, "mean"),
  )


def _dense(parameters: PyTree, name: str) -> tuple[np.ndarray, np.ndarray]:
  return np.asarray(parameters[name]["kernel"]), np.asarray(parameters[name]["bias"])
