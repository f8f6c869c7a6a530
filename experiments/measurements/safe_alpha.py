"""The laboratory of docs/safe_alpha.md: trains a configuration with changes and notes what came of it, failures too.

  python -m experiments.measurements.safe_alpha physics:cartpole alpha.rule=safe safe.divergence=0.03 --first_seed=6

appends a line to docs/safe_alpha_runs.jsonl. Choices are made on seeds 6 to 15; tables are made of others.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from absl import flags

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.workdir import Workdir

_FIRST = flags.DEFINE_integer("first_seed", 6, "First seed.", 0)
_NUMBER = flags.DEFINE_integer("num_seeds", 4, "Number of seeds.", 1)
_RUNS = flags.DEFINE_string("runs", "runs/safe_alpha", "Folder for the runs.")
_LOG = flags.DEFINE_string("log", "docs/safe_alpha_runs.jsonl", "File that a line is appended to.")


def train(preset: str, changes: dict[str, str], folder: pathlib.Path) -> Plain:
  """Trains, or reads what is finished.

  Args:
    preset: of the configuration.
    changes: texts by field.
    folder: for the runs.

  Returns:
    A line of the log: `best` is each seed's best running mean, `last` what the last policy's mean action does,
    `exploring` the running mean at the end.
  """
  name = "_".join([preset, *(f"{field}={value}" for field, value in changes.items())])
  workdir = Workdir(folder / "".join(letter if letter.isalnum() or letter in "._=-" else "_" for letter in name))
  words = [f"--config={preset}", *(f"--config.{field}={value}" for field, value in changes.items())]
  process = subprocess.run(
    [sys.executable, "-m", "gippo_jax.main", *words, f"--workdir={workdir.path}"],
    capture_output=True,
    text=True,
    check=False,
  )
  if process.returncode == 2:
    raise UserError(process.stderr.strip().removeprefix("error: "))
  summary = workdir.read_summary()
  line: Plain = {"preset": preset, "changes": changes}
  if summary is None:
    return line | {"status": "failed", "words": process.stderr[-300:]}
  return line | {
    "status": summary["status"],
    "seeds": summary["seeds"],
    "epochs": summary["epochs"],
    "best": summary["best_return"],
    "last": summary["evaluation_return"],
    "exploring": summary["final_return"],
    "run_seconds": round(summary["run_seconds"], 1),
  }


def main(arguments: Sequence[str]) -> int:
  """Trains and appends."""
  _, *words = arguments
  if not words or any("=" not in word for word in words[1:]):
    raise UserError(f"{' '.join(words)!r} is not allowed; allowed: PRESET FIELD=VALUE ...")
  changes = dict(word.split("=", 1) for word in words[1:])
  seeds = {"seed": str(_FIRST.value), "num_seeds": str(_NUMBER.value)}
  line = json.dumps(train(words[0], changes | seeds, pathlib.Path(_RUNS.value)))
  with pathlib.Path(_LOG.value).open("a") as file:
    file.write(line + "\n")
  print(line)
  return 0


if __name__ == "__main__":
  console(main)
