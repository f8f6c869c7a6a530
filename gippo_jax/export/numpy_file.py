"""npz: the policy's arrays, beside them the few lines of NumPy that run it."""

import pathlib
from collections.abc import Callable
from importlib import resources

import numpy as np

from gippo_jax.export import runner
from gippo_jax.export.perceptron import Perceptron, perceptron_of
from gippo_jax.learning.networks import LAYER_NORM_EPSILON
from gippo_jax.learning.policies import Policy


def write(path: pathlib.Path, policy: Policy) -> None:
  """Writes the arrays, and the runner beside them.

  Raises:
    UserError: when the networks are a user's own.
    OSError: when they cannot be written.
  """
  arrays = _arrays(perceptron_of(policy))
  with path.open("wb") as file:
    np.savez(file, allow_pickle=False, **arrays)
  runner_of(path).write_text(resources.files("gippo_jax.export").joinpath("runner.py").read_text())


def runner_of(path: pathlib.Path) -> pathlib.Path:
  """The runner that lies beside an npz."""
  return path.with_suffix(".py")


def load(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
  """What the runner computes of the file: observations `[B, O]` to actions `[B, A]`."""
  return runner.load(str(path))


def versions() -> dict[str, object]:
  """Of what wrote the file."""
  return {"numpy": np.__version__}


def _arrays(perceptron: Perceptron) -> dict[str, np.ndarray]:
  """The arrays by the names that the runner knows; without normalisation the mean is 0 and the deviation 1."""
  size = (perceptron.hidden[0].kernel if perceptron.hidden else perceptron.kernel).shape[0]
  dtype = perceptron.kernel.dtype
  arrays = {
    "mean": np.zeros(size, dtype) if perceptron.mean is None else perceptron.mean,
    "deviation": np.ones(size, dtype) if perceptron.deviation is None else perceptron.deviation,
    "activation": np.asarray(perceptron.activation),
    "kernel": perceptron.kernel,
    "bias": perceptron.bias,
    "epsilon": np.asarray(LAYER_NORM_EPSILON, dtype),
  }
  for index, layer in enumerate(perceptron.hidden):
    named = layer._asdict()
    arrays |= {f"{name}_{index}": array for name, array in named.items() if array is not None}
  return arrays
