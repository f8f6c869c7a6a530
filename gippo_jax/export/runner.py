"""Runs a policy that gippo_jax exported as an npz; needs NumPy alone.

From Python `load("policy.npz")(observation)` is the action; `python THIS_FILE policy.npz 0.1 -2 ...` prints it.
"""

import sys

import numpy as np

ACTIVATIONS = {
  "elu": lambda x: np.maximum(x, 0) + (np.exp(np.minimum(x, 0)) - 1),
  "relu": lambda x: np.maximum(x, 0),
  "silu": lambda x: x / (1 + np.exp(-np.maximum(x, -80))),
  "tanh": np.tanh,
}


def load(path):
  """The function from raw observations `[..., O]` to actions `[..., A]` within [-1, 1]."""
  with np.load(path) as file:
    weights = dict(file)
  activation = ACTIVATIONS[str(weights["activation"])]

  def policy(observation):
    x = (np.asarray(observation, weights["mean"].dtype) - weights["mean"]) / weights["deviation"]
    for layer in range(sum(name.startswith("kernel_") for name in weights)):
      x = activation(x @ weights[f"kernel_{layer}"] + weights[f"bias_{layer}"])
      if f"scale_{layer}" in weights:  # LayerNorm
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + weights["epsilon"])
        x = x * weights[f"scale_{layer}"] + weights[f"shift_{layer}"]
    return np.clip(np.tanh(x @ weights["kernel"] + weights["bias"]), -1, 1)

  return policy


if __name__ == "__main__":
  print(*load(sys.argv[1])([float(number) for number in sys.argv[2:]]))
