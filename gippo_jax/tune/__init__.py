"""Tuning of hyper-parameters with Optuna; `python -m gippo_jax tune --help`, docs/sweeps_tuning.md."""
