"""StableHLO: the policy as JAX's own portable program, by `jax.export`."""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from gippo_jax.learning.policies import Policy

# One file for both; the device that calls it picks.
PLATFORMS = ("cpu", "cuda")
GUARANTEE = (
  "JAX promises to read the file for six months after the release that wrote it (jax.export, compatibility guarantee), "
  f"on {' and '.join(PLATFORMS)}. For longer, export again from the run's folder, or as onnx or npz."
)


def write(path: pathlib.Path, policy: Policy) -> None:
  """Writes the program, for a batch of any size; any network will do.

  Raises:
    OSError: when it cannot be written.
  """
  statistics = policy.observation_statistics
  (batch,) = jax_export.symbolic_shape("batch")
  observations = jax.ShapeDtypeStruct((batch, *statistics.mean.shape), statistics.mean.dtype)
  # One observation at a time: networks choose their arithmetic by the number of samples, which is not known here.
  program = jax_export.export(jax.jit(jax.vmap(policy)), platforms=PLATFORMS)(observations)
  path.write_bytes(program.serialize())


def load(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
  """What JAX computes of the file: observations `[B, O]` to actions `[B, A]`."""
  program = jax_export.deserialize(bytearray(path.read_bytes()))
  call = jax.jit(program.call)
  return lambda observations: np.asarray(call(jnp.asarray(observations)))


def versions() -> dict[str, object]:
  """Of what wrote the file."""
  return {"calling_convention": jax_export.maximum_supported_calling_convention_version}
