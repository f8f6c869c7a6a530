"""A space for GI-PPO on the functions: around the paper's numbers, which are alpha 1e-5 and rates 1e-3 and 1e-2."""

from optuna import Trial


def get_space(trial: Trial) -> dict[str, object]:
  """Draws a point.

  Args:
    trial: suggests the values.

  Returns:
    Values of configuration fields by their dotted names.
  """
  return {
    "alpha.initial": trial.suggest_float("alpha.initial", 1e-6, 1e-1, log=True),
    "alpha.learning_rate": trial.suggest_float("alpha.learning_rate", 1e-4, 1e-2, log=True),
    "alpha.max_out_of_range_ratio": trial.suggest_categorical("alpha.max_out_of_range_ratio", [0.25, 0.5, 0.75]),
    "ppo.learning_rate": trial.suggest_float("ppo.learning_rate", 1e-4, 3e-2, log=True),
  }
