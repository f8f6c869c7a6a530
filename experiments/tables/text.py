"""A table of results in words: Markdown for documents, a rich table for the terminal, rows for CSV."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from gippo_jax.experiments.tables.family import VARIANTS, Family, Problem, in_order, label_of
from gippo_jax.experiments.tables.results import (
  RIVALS,
  SCORES,
  Cell,
  Results,
  compare_with_paper,
  improvements,
  standings,
  winner_of,
)

CSV_COLUMNS = ("mean", "iqm", "low", "high", "paper", "seconds", "status", "diverged")


def number(value: float | None) -> str:
  """Three digits, thousands written out; `-` for none."""
  if value is None:
    return "-"
  text = f"{value:.3g}"
  rounded = float(text)  # 999.6 is a thousand, too
  return f"{rounded:.0f}" if 1e3 <= abs(rounded) < 1e6 else text


def markdown(family: Family, results: Results) -> str:
  """The whole table with intervals, the paper's numbers, and what to read from it."""
  algorithms = _algorithms(results)
  header = ["problem", *(label_of(name) for name in algorithms)]
  with_published = any(problem.published for problem in family.problems.values())
  if with_published:
    header.append("published")
  lines = [_row(header), _row(["---"] * len(header))]
  for problem, cells in results.items():
    winner = winner_of(cells)
    texts = [_markdown_cell(cells.get(name), name == winner, with_published) for name in algorithms]
    if with_published:
      texts.append(_published(family.problems[problem]))
    lines.append(_row([family.problems[problem].label, *texts]))
  sources = sorted({each.source for problem in results for each in family.problems[problem].published})
  found = [*_verdicts(family, results), *([f"- Published by: {'; '.join(sources)}."] if sources else [])]
  return "\n".join([*lines, "", *found]) + "\n"


def _published(problem: Problem) -> str:
  return (
    "<br>".join(f"{each.method} {number(each.value)} ({_millions(each.steps)})" for each in problem.published) or "-"
  )


def _millions(steps: int) -> str:
  return f"{number(steps / 1e6)} M steps"


def short_markdown(family: Family, results: Results) -> str:
  """A table for a first look: our mean, the paper's in brackets, the best of a row in bold."""
  algorithms = _algorithms(results)
  header = ["mean of the best returns (paper)", *(label_of(name) for name in algorithms)]
  lines = [_row(header), _row(["---"] * len(header))]
  for problem, cells in results.items():
    winner = winner_of(cells)
    texts = [
      _emphasised(number(cells[name]["mean"]), name == winner) + papers(cells[name], " ({})") if name in cells else "-"
      for name in algorithms
    ]
    lines.append(_row([family.problems[problem].label, *texts]))
  return "\n".join(lines) + "\n"


def terminal(family: Family, results: Results) -> Table:
  """Ours over the paper's, the winner marked by a star."""
  algorithms = _algorithms(results)
  title = "mean of the best returns, * best of the row; 95 % interval; paper"
  table = Table("problem", *(label_of(name) for name in algorithms), title=title, show_lines=True)
  for problem, cells in results.items():
    winner = winner_of(cells)
    texts = []
    for name in algorithms:
      cell = cells.get(name)
      if cell is None:
        texts.append("-")
        continue
      star = "*" if name == winner else ""
      text = f"[bold]{number(cell['mean'])}{star}[/bold]" if star else number(cell["mean"])
      paper = papers(cell, "\n[dim]paper {}[/dim]")
      texts.append(f"{text}\n{_interval(cell)}{paper}{_lost(cell)}")
    table.add_row(family.problems[problem].label, *texts)
  return table


def csv_rows(results: Results) -> Iterator[list[Any]]:
  """A header and a row for each pair."""
  yield ["problem", "algorithm", *CSV_COLUMNS]
  for problem, cells in results.items():
    for algorithm, cell in cells.items():
      low, high = cell["interval"] or (None, None)
      values = {**cell, "low": low, "high": high, "diverged": " ".join(map(str, cell["diverged"]))}
      yield [problem, algorithm, *(values[name] for name in CSV_COLUMNS)]


def _verdicts(family: Family, results: Results) -> Iterator[str]:
  rows = compare_with_paper(family, results)
  for problem, row in rows.items():
    label = family.problems[problem].label
    if row["winner"] is None or row["paper_winner"] is None:
      continue
    winners = f"best of the paper's here {label_of(row['winner'])}, in the paper {label_of(row['paper_winner'])}"
    same = row["winner"] == row["paper_winner"]
    verdict = "" if same else "; their intervals overlap" if row["agrees"] else "; their intervals do not overlap"
    yield f"- {label}: {winners}{verdict}."
  far = [
    f"{family.problems[problem].label} {label_of(name)} ({ratio:.2g} times)"
    for problem, row in rows.items()
    for name, ratio in row["ratios"].items()
    if ratio > 3.0
  ]
  if family.minimises:
    yield f"- More than 3 times the paper's distance from the optimum: {', '.join(far) if far else 'no cell'}."
  for column in ("gippo", *VARIANTS):
    compared = improvements(results, column)
    if not compared:
      continue
    texts = [
      f"{label_of(name)} {entry['probability']:.2f}"
      + (f" ({entry['interval'][0]:.2f} to {entry['interval'][1]:.2f})" if entry["interval"] else "")
      for name, entry in ((name, compared[name]) for name in in_order(compared))
    ]
    yield (
      f"- Probability that a run of {label_of(column)} beats a run of the other algorithm, mean over the problems "
      f"(95 % stratified bootstrap interval): {', '.join(texts)}."
    )
    if column in VARIANTS:
      yield from _standings(family, results, column)


def _standings(family: Family, results: Results, column: str) -> Iterator[str]:
  present = {name for cells in results.values() for name in cells}
  rivals = " and ".join(label_of(name) for name in RIVALS if name in present)
  for score, words in SCORES.items():
    found = standings(results, column, score)
    texts = [
      f"{verdict} {', '.join(family.problems[problem].label for problem in problems)}"
      for verdict, problems in found.items()
      if problems
    ]
    if texts:
      yield f"- {label_of(column)} beside the better of {rivals}, by {words}: {'; '.join(texts)}."


def _algorithms(results: Results) -> list[str]:
  present = {name for cells in results.values() for name in cells}
  return in_order(present)


def _markdown_cell(cell: Cell | None, is_winner: bool, with_budget: bool) -> str:
  if cell is None:
    return "-"
  mean = _emphasised(number(cell["mean"]), is_winner)
  lines = [f"{mean} {_interval(cell)}", f"IQM {number(cell['iqm'])}"]
  best, last = (_mean(cell.get(name, [])) for name in ("best_evaluation_returns", "evaluation_returns"))
  lines.append(f"best policy {number(best)}, last {number(last)}" if best is not None else f"last {number(last)}")
  if with_budget:
    training = cell["seconds"] - cell["compile_seconds"]
    lines.append(f"{_millions(cell['steps'])}, {training:.0f} s + {cell['compile_seconds']:.0f} s")
  if cell["paper"] is not None:
    lines.append(f"paper {number(cell['paper'])}")
  return "<br>".join(lines) + _lost(cell, "<br>")


def papers(cell: Cell, words: str) -> str:
  """The paper's number in words with a gap for it, where it has one."""
  return "" if cell["paper"] is None else words.format(number(cell["paper"]))


def _mean(values: list[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  return sum(known) / len(known) if known else None


def _interval(cell: Cell) -> str:
  return "({} to {})".format(*map(number, cell["interval"])) if cell["interval"] else "(one seed)"


def _lost(cell: Cell, separator: str = "\n") -> str:
  return f"{separator}diverged: seed {', '.join(map(str, cell['diverged']))}" if cell["diverged"] else ""


def _emphasised(text: str, is_emphasised: bool) -> str:
  return f"**{text}**" if is_emphasised else text


def _row(texts: list[str]) -> str:
  return "| " + " | ".join(texts) + " |"
