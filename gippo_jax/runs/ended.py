"""Loggers that hear of a run when it has ended: all at once, from its files."""

from collections.abc import Callable, Sequence

from gippo_jax.parsing import Experiment
from gippo_jax.runs.loggers import Logger, Start
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.tracking import Tracker
from gippo_jax.runs.workdir import Workdir


def tell_ended(
  workdir: Workdir, experiment: Experiment, summary: Summary, loggers: Sequence[Logger], tell: Callable[[str], None]
) -> None:
  """Tells loggers of a run; a tracker that has heard all of it is left alone.

  Args:
    workdir: holds the run's rows, which loggers read at their begin.
    experiment: that was run.
    summary: of the run.
    loggers: those that make something of the rows before their begin: `CsvFile`, `Tracker`.
    tell: shows the user a line.

  Raises:
    UserError: when a tracker refuses.
  """
  steps_per_epoch = summary["steps"] // max(summary["epochs"], 1)
  config, seeds = experiment.to_dict(), summary["seeds"]
  start = Start(workdir.path, experiment.label, config, seeds, summary["epochs"], steps_per_epoch, tell)
  for logger in loggers:
    if not isinstance(logger, Tracker) or not logger.has_heard(start):
      logger.begin(start)
      logger.finish(summary)
