"""A metric of a run over its training."""

import json
import pathlib

import numpy as np


class Curve:
  """One metric of a run's seeds over its logged epochs.

  Args:
    folder: of the run.
    name: of the metric.

  Attributes:
    epochs, steps: of the logged rows, `[L]`.
    seconds: of training all seeds side by side up to each row, reckoned from the speeds that the rows tell, `[L]`.
    values: `[seeds, L]`, NaN where a row has none.
  """

  def __init__(self, folder: pathlib.Path, name: str):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seeds = sorted({row["seed"] for row in rows})
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    length = min(map(len, by_seed))
    self.epochs = np.asarray([row["epoch"] for row in by_seed[0][:length]])
    self.steps = np.asarray([row["steps"] for row in by_seed[0][:length]])
    speeds = np.asarray([row["steps_per_second"] for row in by_seed[0][:length]])
    self.seconds = np.cumsum(np.diff(self.steps, prepend=0) * len(seeds) / speeds)
    self.values = np.asarray([[_number(row.get(name)) for row in rows[:length]] for rows in by_seed])


def _number(value: float | None) -> float:
  return np.nan if value is None else value
