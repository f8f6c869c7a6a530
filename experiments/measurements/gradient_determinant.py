"""What GI-PPO's rule for alpha sees beside what it stands for: determinants and the variance of the gradient.

Training with alpha fixed and without the PPO step, as in the paper's comparison: the policy moves by the regression
onto the alpha-policy alone.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from typing import Any

import jax
import numpy as np

from gippo_jax import envs
from gippo_jax.experiments.configs import physics
from gippo_jax.parsing import parse
from gippo_jax.plain import Plain
from gippo_jax.programs.epochs import train

ALPHA = 0.01
METRICS = (
  "advantage_gradient_variance",
  "alpha_min_determinant",
  "alpha_mean_determinant",
  "alpha_max_determinant",
)


def measure_determinants(problem: str, num_seeds: int, num_epochs: int, num_envs: int, **changes: Any) -> Plain:
  """Trains a few seeds in one compiled program.

  Args:
    problem: argument of `experiments/configs/physics.py`, e.g. `hopper`.
    num_seeds: seeds 1, 2, ...
    num_epochs: epochs of each.
    num_envs: environments side by side; PPO's minibatch is the whole window.
    **changes: further fields of the configuration.

  Returns:
    Each of `METRICS`: its mean over the seeds by epoch, None where it is not finite for some seed. And `correlation`,
    the mean over the seeds of the rank correlation, over epochs, of the variance with the largest distance of a
    determinant from 1.
  """
  values = physics.get_config(f"{problem},gippo")
  values.num_epochs, values.num_envs = num_epochs, num_envs
  values.ppo.minibatch_size = num_envs * values.horizon
  values.alpha.initial = ALPHA
  values.alpha.update_factor = 1.0
  values.ppo.learning_rate = 0.0
  values.ppo.rate_schedule = "constant"  # an adaptive rate would leave 0
  values.ppo.num_passes = 1
  values.update(changes)
  experiment = parse(values)
  env = envs.make(**experiment.env)

  def one_seed(key):
    metrics = train(env, experiment.config, key, num_epochs)[1]
    return {name: metrics[name] for name in METRICS}

  keys = jax.vmap(jax.random.key)(np.arange(1, num_seeds + 1, dtype=np.uint32))
  metrics = jax.device_get(jax.jit(lambda keys: jax.lax.map(one_seed, keys))(keys))
  metrics = {name: np.asarray(values, float) for name, values in metrics.items()}
  distance = np.maximum(np.abs(metrics["alpha_min_determinant"] - 1.0), np.abs(metrics["alpha_max_determinant"] - 1.0))
  pairs = zip(metrics["advantage_gradient_variance"], distance, strict=True)
  return {name: values.mean(axis=0).tolist() for name, values in metrics.items()} | {
    "correlation": float(np.mean([rank_correlation(*pair) for pair in pairs]))
  }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
  """Spearman's rank correlation of two sequences; NaN where one is constant."""
  from scipy.stats import spearmanr

  if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
    return float("nan")
  return float(spearmanr(first, second).statistic)
