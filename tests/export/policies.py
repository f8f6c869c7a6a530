"""Policies of every kind, without a training."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.learning.agents import make_networks
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.policies import Policy

OBSERVATIONS, ACTIONS = 5, 2
KINDS = {
  "elu": {},
  "tanh": {"activation": "tanh", "units": (16,)},
  "relu": {"activation": "relu", "units": (32, 16, 32)},
  "silu": {"activation": "silu", "layer_norm": False},
  "spectral": {"spectral_norm": True, "layer_norm": False, "units": (16, 16, 8)},
  "fixed_std": {"fixed_std": True, "layer_norm": False},
}


def make_policy(kind, normalizes=True, dtype=np.float32, num_actions=ACTIONS, draw=2):
  """A policy whose parameters, also LayerNorm's, are drawn in the size of trained ones."""
  networks = make_networks(OBSERVATIONS, num_actions, ActorConfig(**KINDS[kind]), CriticConfig())
  shapes, _ = jax.eval_shape(lambda: networks.init(jax.random.key(1), ActorConfig()))
  generator = np.random.default_rng(draw)
  actor = jax.tree.map(
    lambda leaf: jnp.asarray(generator.normal(size=leaf.shape) / leaf.shape[0] ** 0.5, dtype), shapes
  )
  statistics = RunningStatistics(
    jnp.asarray([0.0, 100.0, -3.0, 0.01, 1.0], dtype),
    jnp.asarray([1.0, 4.0, 1e-4, 1e-6, 1e4], dtype),
    jnp.ones((), dtype),
  )
  return Policy(actor, statistics, networks, normalizes)
