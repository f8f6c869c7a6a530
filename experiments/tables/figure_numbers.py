"""The numbers of a picture, read from what was drawn, so that every picture has them without a word of its own."""

from collections.abc import Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from gippo_jax.plain import Plain


def numbers_of(figure: Figure) -> list[Plain]:
  """Rows of a table: a point of a line, a place of a band, a cell of an image.

  Columns are the panel's title, what its axes are, the series (the legend's word; that of the line before for a band,
  and for what has none), `x`, and `y` or `low` and `high`. Six digits.

  Args:
    figure: drawn.
  """
  rows: list[Plain] = []
  for index, axis in enumerate(figure.axes):
    if axis.get_label() == "<colorbar>":
      continue
    names = {
      "panel": _in_one_line(axis.get_title()) or f"panel {index + 1}",
      "x is": _in_one_line(axis.get_xlabel()),
      "y is": _in_one_line(axis.get_ylabel()),
    }
    rows += [names | {name: _rounded(value) for name, value in row.items()} for row in _series(axis)]
  return rows


def _series(axis: Axes) -> Iterator[Plain]:
  series = ""
  for artist in axis.get_children():
    label = str(artist.get_label())
    if isinstance(artist, Line2D) and label and not label.startswith("_"):
      series = _in_one_line(label)
    yield from ({"series": series} | place for place in _places(axis, artist))


def _places(axis: Axes, artist: Artist) -> Iterator[Plain]:
  if isinstance(artist, Line2D):
    # A line across the panel has one coordinate only; the other counts in shares of the panel.
    has_x, has_y = artist.get_transform().contains_branch_seperately(axis.transData)
    points = np.column_stack([artist.get_xdata(orig=False), artist.get_ydata(orig=False)])
    for x, y in points if has_x and has_y else points[:1]:
      yield ({"x": x} if has_x else {}) | ({"y": y} if has_y else {})
  elif isinstance(artist, PolyCollection):
    for path in artist.get_paths():  # there on one side and back on the other, each with a corner before it
      vertices = np.asarray(path.vertices)
      length = (len(vertices) - 3) // 2
      there, back = vertices[1 : 1 + length], vertices[2 + length : 2 + 2 * length][::-1]
      for (x, first), (_, second) in zip(there, back, strict=True):
        yield {"x": x, "low": min(first, second), "high": max(first, second)}
  elif isinstance(artist, LineCollection):  # bars of errors
    for segment in artist.get_segments():
      yield from ({"x": x, "y": y} for x, y in np.asarray(segment))
  elif isinstance(artist, AxesImage):
    cells = np.ma.filled(np.ma.asarray(artist.get_array(), dtype=float), np.nan)
    left, right, bottom, top = artist.get_extent()
    for row, line in enumerate(cells):
      for column, value in enumerate(line):
        x, y = (column + 0.5) / cells.shape[1], (row + 0.5) / cells.shape[0]
        yield {"x": left + (right - left) * x, "y": bottom + (top - bottom) * y, "value": value}


def _rounded(value: object) -> object:
  return float(f"{value:.6g}") if isinstance(value, float) else value


def _in_one_line(text: str) -> str:
  return " ".join(text.split())
