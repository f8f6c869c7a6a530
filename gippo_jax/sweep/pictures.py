"""The pictures of a sweep: parallel coordinates of all settings, and heat maps over pairs of fields.

The numbers of each lie beside it as CSV.
"""

import itertools
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_csv

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_MOST_PAIRS = 6
_MOST_WRITTEN = 100  # cells whose values are readable


class _Axis(NamedTuple):
  """A field's values as places in [0, 1].

  Attributes:
    name: of the field.
    places: of each setting, `[settings]`.
    ticks: place and text of some values.
  """

  name: str
  places: np.ndarray
  ticks: list[tuple[float, str]]


def draw_parallel_coordinates(results: Plain, path: pathlib.Path) -> None:
  """A line for each setting through the values of its fields to its mean score; good ones are bright and on top.

  Args:
    results: from `results.report`, with a ranking.
    path: the file to write.
  """
  from matplotlib import colormaps
  from matplotlib.figure import Figure

  entries, scores, label = _ranked(results)
  axes_of_fields = [_axis(name, [entry["values"][name] for entry in entries]) for name in entries[0]["values"]]
  low, high = scores.min(), scores.max()
  heights = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
  ticks = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")] if high > low else [(0.5, f"{low:.4g}")]
  columns = [*axes_of_fields, _Axis(label, heights, ticks)]

  # Colours go by rank: one very bad setting would make all others look alike.
  ranks = 1 - np.arange(len(entries)) / max(len(entries) - 1, 1)
  figure = Figure(figsize=(2.2 * len(columns), 4.2), layout="constrained")
  axis = figure.subplots()
  for index in reversed(range(len(entries))):
    line = [column.places[index] for column in columns]
    axis.plot(range(len(columns)), line, color=colormaps["viridis"](ranks[index]), linewidth=1.5, alpha=0.8)
  for position, column in enumerate(columns):
    axis.axvline(position, color="0.3", linewidth=0.8)
    for height, text in column.ticks:
      axis.annotate(text, (position, height), xytext=(4, 0), textcoords="offset points", fontsize="small", va="center")
  axis.set_xticks(range(len(columns)), [column.name for column in columns])
  axis.set_yticks([])
  axis.set_ylim(-0.05, 1.05)
  axis.spines[:].set_visible(False)
  means = [entry[results["criterion"]]["mean"] for entry in entries]
  rows = [
    {"rank": rank + 1, **_texts(entry["values"]), f"mean {results['criterion']}": mean}
    for rank, (entry, mean) in enumerate(zip(entries, means, strict=True))
  ]
  _save(figure, path, rows)


def draw_heat_maps(results: Plain, path: pathlib.Path) -> None:
  """The mean score over every pair of fields (over one field, when there is but one): the best over the other fields.

  Values that do not repeat, as those of a random search, are drawn as points instead of cells.

  Args:
    results: from `results.report`, with a ranking.
    path: the file to write.
  """
  from matplotlib.figure import Figure

  entries, scores, label = _ranked(results)
  names = list(entries[0]["values"])
  pairs = list(itertools.combinations(names, 2))[:_MOST_PAIRS] or [(names[0], None)]
  columns = min(3, len(pairs))
  rows = -(-len(pairs) // columns)
  figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
  panels = figure.subplots(rows, columns, squeeze=False).ravel()
  for panel in panels[len(pairs) :]:
    panel.set_visible(False)
  best: dict[tuple[str, ...], float] = {}
  means = [entry[results["criterion"]]["mean"] for entry in entries]
  for panel, (across, down) in zip(panels, pairs, strict=False):
    for entry, mean in zip(entries, means, strict=True):
      values = _texts(entry["values"])
      cell = (across, str(values[across]), down or "", str(values[down]) if down else "")
      best[cell] = max(best.get(cell, -np.inf), mean)
    x = _axis(across, [entry["values"][across] for entry in entries])
    y = _axis(down, [entry["values"][down] for entry in entries]) if down else _Axis("", np.zeros(len(scores)), [])
    columns_of, rows_of = np.unique(x.places), np.unique(y.places)
    if len(columns_of) * len(rows_of) <= 2 * len(scores):
      cells = _cells(x, y, columns_of, rows_of, scores)
      image = panel.imshow(cells, origin="lower", aspect="auto", cmap="viridis")
      if cells.size <= _MOST_WRITTEN:
        _write_values(panel, cells)
      panel.set_xticks(range(len(columns_of)), [_text_at(x, place) for place in columns_of])
      panel.set_yticks(range(len(rows_of)), [_text_at(y, place) for place in rows_of])
    else:
      image = panel.scatter(x.places, y.places, c=scores, cmap="viridis")
      panel.set_xticks(*zip(*_ends(x), strict=True))
      panel.set_yticks(*zip(*_ends(y), strict=True))
    panel.set_xlabel(x.name)
    panel.set_ylabel(y.name)
    others = [name for name in names if name not in (across, down)]
    panel.set_title(f"best over {', '.join(others)}" if others else "every setting", fontsize="small")
    figure.colorbar(image, ax=panel, label=label)
  figure.suptitle(f"{label} of {len(scores)} settings", fontsize="medium")
  columns_of_table = ("across", "across value", "down", "down value")
  score = f"best mean {results['criterion']}"
  _save(figure, path, [dict(zip(columns_of_table, cell, strict=True)) | {score: mean} for cell, mean in best.items()])


def _write_values(panel: "Axes", cells: np.ndarray) -> None:
  """The score in every cell, dark on bright and bright on dark."""
  middle = 0.5 * (np.nanmin(cells) + np.nanmax(cells))
  for (row, column), score in np.ndenumerate(cells):
    if np.isfinite(score):
      color = "black" if score > middle else "white"
      panel.text(column, row, f"{score:.3g}", ha="center", va="center", fontsize="x-small", color=color)


def _ranked(results: Plain) -> tuple[list[Plain], np.ndarray, str]:
  """Settings, best first, their mean scores, and what to call these.

  Where all are negative and span more than two decades (a function being minimised), they are counted in decades.
  """
  entries = [results["settings"][index] for index in results["ranking"]]
  scores, label = np.asarray([entry[results["criterion"]]["mean"] for entry in entries]), f"mean {results['criterion']}"
  if np.all(scores < 0) and scores.min() < 100 * scores.max():
    return entries, -np.log10(-scores), f"-log10(-{label})"
  return entries, scores, label


def _axis(name: str, values: list[Any]) -> _Axis:
  """Numbers lie on a line, on a logarithmic one when positive and over more than a decade; others by first sight."""
  distinct = list({repr(value): value for value in values}.values())
  if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in distinct):
    distinct.sort()
    logarithmic = distinct[0] > 0 and distinct[-1] > 10 * distinct[0]
    numbers = np.log(distinct) if logarithmic else np.asarray(distinct, float)
    places = (numbers - numbers[0]) / (numbers[-1] - numbers[0]) if len(distinct) > 1 else np.asarray([0.5])
    texts = [f"{value:.4g}" for value in distinct]
  else:
    places = np.linspace(0, 1, len(distinct)) if len(distinct) > 1 else np.asarray([0.5])
    texts = [str(value) for value in distinct]
  place_of = {repr(value): place for value, place in zip(distinct, places, strict=True)}
  ticks = [(float(place), text) for place, text in zip(places, texts, strict=True)]
  return _Axis(
    name, np.asarray([place_of[repr(value)] for value in values]), ticks if len(ticks) < 9 else _ends_of(ticks)
  )


def _cells(x: _Axis, y: _Axis, columns: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
  cells = np.full((len(rows), len(columns)), np.nan)
  for column, row, score in zip(x.places, y.places, scores, strict=True):
    at = int(np.searchsorted(rows, row)), int(np.searchsorted(columns, column))
    cells[at] = np.fmax(cells[at], score)
  return cells


def _text_at(axis: _Axis, place: float) -> str:
  return next((text for at, text in axis.ticks if at == place), "")


def _ends(axis: _Axis) -> list[tuple[float, str]]:
  return _ends_of(axis.ticks)


def _ends_of(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
  return [ticks[0], ticks[-1]]


def _texts(values: Plain) -> Plain:
  """Values of fields as a table can hold them."""
  return {name: value if isinstance(value, (int, float, str)) else repr(value) for name, value in values.items()}


def _save(figure: "Figure", path: pathlib.Path, rows: list[Plain]) -> None:
  write_csv(path.with_suffix(".csv"), rows)
  temporary = path.with_name(path.name + ".tmp")
  figure.savefig(temporary, dpi=120, format="png")
  temporary.replace(path)
