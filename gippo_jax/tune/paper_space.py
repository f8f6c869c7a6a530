"""The ranges in which GI-PPO's authors tuned it for the physics tasks; `--space` takes a file like this one."""

from optuna import Trial


def get_space(trial: Trial) -> dict[str, object]:
  """Draws a point.

  Args:
    trial: suggests the values.

  Returns:
    Values of configuration fields by their dotted names.
  """
  schedule = trial.suggest_categorical("ppo.rate_schedule", ["constant", "adaptive_kl"])
  space = {
    "alpha.initial": trial.suggest_categorical("alpha.initial", [0.5, 0.2, 0.1]),
    "alpha.learning_rate": trial.suggest_categorical("alpha.learning_rate", [1e-2, 5e-3, 1e-3, 5e-4, 1e-4]),
    "alpha.determinant_interval": trial.suggest_categorical("alpha.determinant_interval", [0.2, 0.4]),
    "alpha.max_out_of_range_ratio": trial.suggest_categorical("alpha.max_out_of_range_ratio", [0.25, 0.5, 0.75]),
    "alpha.update_factor": 1.02,
    "alpha.num_steps": 16,
    "ppo.rate_schedule": schedule,
  }
  if schedule == "constant":
    space["ppo.learning_rate"] = trial.suggest_categorical("ppo.learning_rate", [1e-2, 1e-3, 1e-4])
  else:
    space["ppo.kl_threshold"] = trial.suggest_categorical("ppo.kl_threshold", [0.008, 0.015, 0.03])
  return space
