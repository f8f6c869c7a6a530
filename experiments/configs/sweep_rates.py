"""Ranges for a random search: `--sweep=experiments/configs/sweep_rates.py --random=16`; see docs/sweeps.md."""

from gippo_jax.sweep import LogUniform, Uniform


def get_sweep() -> dict[str, list | Uniform]:
  """Step sizes of GI-PPO."""
  return {
    "alpha.initial": LogUniform(1e-6, 1e-2),
    "ppo.learning_rate": LogUniform(1e-5, 1e-1),
    "retry.rate_divisor": [1.2, 1.5, 2.0],
  }
