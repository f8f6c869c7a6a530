"""The long proofs of docs/reliability.md: `python -m experiments.reliability --docs=docs`.

Kills commands, damages files, gives the configuration all kinds of values, fills the disk, starts things twice, trains
every algorithm again, and trains for very long. Every part writes its figures as soon as it has them.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from absl import flags

from gippo_jax import registry
from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements import reliability_files as files
from gippo_jax.experiments.measurements import reliability_processes as processes
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json

_OUT = flags.DEFINE_string("out", "runs/reliability", "Folder for the runs and reliability.json.")
_PARTS = flags.DEFINE_list("parts", None, "Parts to do; all by default.")
_SHARE = flags.DEFINE_float("share", 1.0, "Share of the cases, for a shorter look.", 0.0, 1.0)
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose reliability.md and reliability.json are renewed.")

_KILLS = {"main": 40, "sweep": 30, "tune": 15, "table": 15}
_SOAK_EPOCHS = 200_000


def kills(folder: pathlib.Path, share: float) -> Plain:
  """Each command killed at random moments."""
  made = processes.commands(folder)
  results = {}
  for name, count in _KILLS.items():
    killed = processes.kill(made[name], folder / name, max(1, round(share * count)))
    results[name] = {"kills": killed.kills, "lost": killed.lost, "wrong": killed.wrong}
    print(f"{name}: {killed}", flush=True)
  return results


def damage(folder: pathlib.Path, share: float) -> Plain:
  """Damaged files."""
  return files.damage_files(folder, round(share * 1000))._asdict()


def configurations(folder: pathlib.Path, share: float) -> Plain:
  """Configurations of all kinds."""
  del folder
  return files.try_configurations(round(share * 10_000))._asdict()


def limits(folder: pathlib.Path, share: float) -> Plain:
  """Full disks and other limits."""
  del share
  cases = processes.limit(processes.commands(folder)["main"], folder)
  return {case.name: case._asdict() for case in cases}


def overlaps(folder: pathlib.Path, share: float) -> Plain:
  """The same command started twice."""
  made = processes.commands(folder)
  count = max(1, round(share * 5))
  wrong = {name: processes.overlap(command, folder / name, count) for name, command in made.items()}
  return {"overlaps": count * len(made), "wrong": wrong}


def determinism(folder: pathlib.Path, share: float) -> Plain:
  """Every algorithm trained again from the first epoch by `verify`."""
  del share
  results = {}
  for name in registry.algorithms():
    run = folder / name
    words = ["--config=any", "--config.env.name=point_mass", f"--config.algorithm={name}", "--config.horizon=8"]
    words += ["--config.num_epochs=200", "--config.num_seeds=2", f"--workdir={run}"]
    subprocess.run([sys.executable, "-m", "gippo_jax.main", *words], capture_output=True, check=True)
    verified = subprocess.run(
      [sys.executable, "-m", "gippo_jax", "verify", "--from_start", f"--workdir={run}"], capture_output=True, text=True,
      check=False,
    )  # fmt: skip
    results[name] = {"equal": verified.returncode == 0}
  return results


def soak(folder: pathlib.Path, share: float) -> Plain:
  """De Jong-1 for very long: memory and speed over time, as straight lines with their errors."""
  from scipy.stats import linregress

  run, epochs = folder / "soak", round(share * _SOAK_EPOCHS)
  words = ["--config=functions:dejong1", f"--config.num_epochs={epochs}", f"--workdir={run}"]
  process = subprocess.Popen([sys.executable, "-m", "gippo_jax.main", *words], stdout=subprocess.DEVNULL)
  samples = []
  while process.poll() is None:
    time.sleep(2)
    try:
      pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
      with (run / "metrics.jsonl").open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 4000))
        epoch = json.loads(file.read().splitlines()[-1])["epoch"]
      samples.append((time.monotonic(), epoch, pages * 4096 / 2**20))
    except (OSError, ValueError, IndexError, KeyError):
      continue
  # Neither the start, where memory is still taken, nor the evaluation at the end, which trains nothing.
  steady = [sample for sample in samples if 0.1 * epochs < sample[1] < epochs]
  seconds, done, memory = zip(*steady, strict=True)
  slope = cast(Any, linregress(done, memory))  # whose type has no attributes
  middle = len(steady) // 2
  speeds = [(part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0]) for part in (steady[:middle], steady[middle:])]
  rows = sum(1 for _ in (run / "metrics.jsonl").open())
  return {
    "epochs": epochs,
    "status": json.loads((run / "summary.json").read_text())["status"],
    "minutes": (seconds[-1] - samples[0][0]) / 60,
    "mebibyte_per_100000_epochs": 1e5 * slope.slope,
    "standard_error": 1e5 * slope.stderr,
    "memory_mebibyte": [memory[0], memory[-1]],
    "epochs_per_second_of_halves": speeds,
    "rows": rows,
    "rows_expected": epochs // 10 + 1,
  }


def cost(folder: pathlib.Path, share: float) -> Plain:
  """What checkpoints cost: De Jong-1 with the default interval, and with none."""
  del share
  import numpy as np

  seconds: dict[str, list[float]] = {"30": [], "1e9": []}
  for number in range(3):
    for interval, results in seconds.items():
      run = folder / f"cost_{interval}_{number}"
      words = ["--config=functions:dejong1", "--config.num_epochs=10000", f"--config.checkpoint_seconds={interval}"]
      words.append(f"--workdir={run}")
      subprocess.run([sys.executable, "-m", "gippo_jax.main", *words], capture_output=True, check=True)
      results.append(json.loads((run / "summary.json").read_text())["run_seconds"])
  with_checkpoints, without = (float(np.median(results)) for results in seconds.values())
  return {"seconds": seconds, "slower_percent": 100 * (with_checkpoints / without - 1)}


PARTS: dict[str, Callable[[pathlib.Path, float], Plain]] = {
  part.__name__: part for part in (damage, configurations, limits, overlaps, kills, determinism, cost, soak)
}


def table(figures: Plain) -> str:
  """The figures as a table in Markdown."""
  rows = []
  if "kills" in figures:
    for name, result in figures["kills"].items():
      lost, bad = "something" if result["lost"] else "nothing", len(result["wrong"])
      rows.append(
        (
          f"kill -9 of `{name}`",
          str(result["kills"]),
          f"{lost} lost, {bad} bad ends",
        )
      )
  for name, what in (("damage", "damaged files"), ("configurations", "configurations")):
    if name in figures:
      found = figures[name]
      outcome = f"{found['told']} ended in one line, {found['unharmed']} did no harm, {len(found['wrong'])} wrong"
      if found["unseen"]:
        outcome += f", {found['unseen']} changed digits of a row unseen"
      rows.append((what, str(found["cases"]), outcome))
  if "limits" in figures:
    cases = figures["limits"].values()
    bad = sum(case["traceback"] or case["code"] is None for case in cases)
    resumed = sum(case["resumed"] for case in cases)
    rows.append(
      ("full disks and other limits", str(len(cases)), f"{bad} tracebacks or hangs, {resumed} the same in the end")
    )
  if "overlaps" in figures:
    bad = sum(map(len, figures["overlaps"]["wrong"].values()))
    rows.append(("the same command started twice", str(figures["overlaps"]["overlaps"]), f"{bad} wrong"))
  if "determinism" in figures:
    equal = sum(result["equal"] for result in figures["determinism"].values())
    rows.append(("algorithms trained again (`verify`)", str(len(figures["determinism"])), f"{equal} equal bit for bit"))
  if "cost" in figures:
    rows.append(("cost of checkpoints, De Jong-1", "3 + 3", f"{figures['cost']['slower_percent']:+.1f} %"))
  if "soak" in figures:
    found = figures["soak"]
    first, second = found["epochs_per_second_of_halves"]
    text = f"{found['mebibyte_per_100000_epochs']:+.2f} +- {found['standard_error']:.2f} MiB per 100,000 epochs; "
    text += f"{first:.0f} and {second:.0f} epochs/s in its halves; {found['rows']} rows of {found['rows_expected']}"
    rows.append(("epochs in one run", f"{found['epochs']:,}", text))
  return markdown_table(("what was done", "how often", "outcome"), rows)


def main(arguments: Sequence[str]) -> int:
  """Does the parts and writes their figures."""
  del arguments
  names = _PARTS.value or list(PARTS)
  for name in names:
    if name not in PARTS:
      raise UserError(f"--parts: {name!r} is unknown; allowed: {', '.join(PARTS)}")
  out = pathlib.Path(_OUT.value)
  stored = out / "reliability.json"
  figures = json.loads(stored.read_text()) if stored.exists() else {}
  for name in names:
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    figures[name] = PARTS[name](folder, _SHARE.value)
    write_json(stored, figures)
    print(f"{name}: {json.dumps(figures[name])[:2000]}", flush=True)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    write_json(docs / "reliability.json", figures)
    replace_block(docs / "reliability.md", "figures", table(figures))
  print(table(figures), end="")
  return 0


if __name__ == "__main__":
  console(main)
