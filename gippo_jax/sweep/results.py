"""What a sweep found: `sweep.json`, `sweep.csv` and `best/`."""

import csv
import io
import math

import numpy as np

from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json, write_text
from gippo_jax.runs.statistics import bootstrap_interval, interquartile_mean
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.plan import Member
from gippo_jax.sweep.space import Assignment

# What `sweep.json` holds: nested plain data.
Results = Plain

SCORES = ("best_return", "final_return", "evaluation_return", "best_evaluation_return")


def report(
  folder: SweepFolder, members: list[Member], settings: list[Assignment], criterion: str, status: str, plan: list[str]
) -> Results:
  """Writes the results of all members that have ended, and points `best` to the best one.

  Args:
    folder: of the sweep.
    members: all of them.
    settings: values by field, for each setting.
    criterion: the score by whose mean over seeds settings are ranked, one of `SCORES`.
    status: of the sweep.
    plan: how it was trained, in words.

  Returns:
    What `sweep.json` holds.
  """
  rows = [_row(folder, member) for member in members]
  by_setting = [[row for row in rows if row["setting"] == index] for index in range(len(settings))]
  entries = [
    {"setting": index, "values": values, **_aggregate(of_setting, criterion)}
    for index, (values, of_setting) in enumerate(zip(settings, by_setting, strict=True))
  ]
  ranked = rank(entries, criterion)
  best = None
  if ranked:
    candidates = _scored(by_setting[ranked[0]["setting"]], criterion)
    row = max(candidates, key=lambda row: row[criterion])
    best = {"setting": row["setting"], "values": ranked[0]["values"], "member": row["member"], "seed": row["seed"]}
    best["folder"] = f"members/{row['folder']}"
    folder.link_best(members[row["member"]])
  results = {
    "status": status,
    "criterion": criterion,
    "best": best,
    "ranking": [entry["setting"] for entry in ranked],
    "settings": entries,
    "members": rows,
    "plan": plan,
  }
  write_json(folder.results, results)
  write_text(folder.table, _csv(rows, settings))
  return results


def rank(entries: list[Plain], criterion: str) -> list[Plain]:
  """Settings that have a score, best first: fewest diverged seeds, then the largest mean over the others."""
  scored = [entry for entry in entries if entry[criterion]["mean"] is not None]
  return sorted(scored, key=lambda entry: (entry["diverged"], -entry[criterion]["mean"]))


def _row(folder: SweepFolder, member: Member) -> Plain:
  row = {"member": member.index, "setting": member.setting, "seed": member.seed, "folder": member.folder}
  summary = folder.summary_of(member)
  if summary is None:
    return row | {"status": "not done", **dict.fromkeys(SCORES), "epochs": None, "reason": None}
  scores = {name: summary[name][0] for name in SCORES}
  return row | {"status": summary["status"], **scores, "epochs": summary["epochs"], "reason": summary["reasons"][0]}


def _aggregate(rows: list[Plain], criterion: str) -> Plain:
  """Over the seeds of a setting that did not diverge."""
  finished = [row for row in rows if row["status"] == "finished"]
  aggregate: Plain = {
    "seeds": len(finished),
    "diverged": sum(row["status"] == "diverged" for row in rows),
    "not_done": sum(row["status"] == "not done" for row in rows),
  }
  for name in SCORES:
    scores = np.asarray([row[name] for row in _scored(finished, name)], float)
    if not scores.size:
      aggregate[name] = {"mean": None}
      continue
    aggregate[name] = {"mean": float(scores.mean()), "interquartile_mean": float(interquartile_mean(scores))}
    if name == criterion:
      with np.errstate(over="ignore"):  # scores of an untamed reward may have squares beyond all numbers
        interval = bootstrap_interval(scores)
      aggregate[name]["interval_95"] = list(interval) if interval else None
  return aggregate


def _scored(rows: list[Plain], name: str) -> list[Plain]:
  """Those that trained to their end and have the score."""
  return [row for row in rows if row["status"] == "finished" and row[name] is not None and math.isfinite(row[name])]


def _csv(rows: list[Plain], settings: list[Assignment]) -> str:
  text = io.StringIO()
  fields = list(settings[0])
  first = ("member", "setting", "seed", "status")
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow([*first, *fields, *SCORES, "epochs", "folder"])
  for row in rows:
    values = settings[row["setting"]]
    writer.writerow(
      [row[name] for name in first]
      + [values[name] for name in fields]
      + [row[name] for name in (*SCORES, "epochs", "folder")]
    )
  return text.getvalue()
