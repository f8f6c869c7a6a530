"""What a study leaves: the best parameters, a table of trials, the command that trains the best."""

import csv
import io
import pathlib

import optuna
from optuna.trial import FrozenTrial, TrialState

from gippo_jax.runs.files import write_json, write_text
from gippo_jax.runs.progress import format_number


def best_trial(study: optuna.Study) -> FrozenTrial | None:
  """The complete trial of largest value, or `None`."""
  return study.best_trial if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) else None


def write_results(study: optuna.Study, folder: pathlib.Path) -> None:
  """Writes `trials.csv`, a row per trial, and `best.json` when a trial is complete."""
  write_text(folder / "trials.csv", _table(study.get_trials(deepcopy=False)))
  best = best_trial(study)
  if best is not None:
    write_json(
      folder / "best.json",
      {
        "trial": best.number,
        "value": best.value,
        "best_returns": best.user_attrs["best_returns"],
        "parameters": best.user_attrs["fields"],
      },
    )


def describe(trial: FrozenTrial) -> str:
  """A line about a finished trial."""
  value = format_number(trial.value or 0.0) if trial.state == TrialState.COMPLETE else _reason(trial)
  fields = ", ".join(f"{name}={_short(field)}" for name, field in trial.user_attrs["fields"].items())
  return f"trial {trial.number}: {value}  ({fields})"


def _table(trials: list[FrozenTrial]) -> str:
  names = list(dict.fromkeys(name for trial in trials for name in trial.user_attrs.get("fields", {})))
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["trial", "outcome", "value", "epochs", "reason", *names])
  for trial in trials:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    fields = trial.user_attrs.get("fields", {})
    writer.writerow(
      [trial.number, trial.state.name.lower(), value, trial.last_step, _reason(trial), *map(fields.get, names)]
    )
  return text.getvalue()


def _reason(trial: FrozenTrial) -> str:
  return trial.user_attrs.get("reason", "interrupted" if trial.state == TrialState.FAIL else "")


def _short(value: object) -> str:
  return format_number(value) if isinstance(value, float) else as_text(value)


def as_text(value: object) -> str:
  """As the command line takes it; JSON made lists of tuples."""
  return str(tuple(value)) if isinstance(value, list) else str(value)
