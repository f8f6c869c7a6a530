"""`python -m gippo_jax compare`."""

import pathlib
from collections.abc import Sequence

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

FLAGS = Flags(
  "compare",
  """
Runs or tables beside each other: python -m gippo_jax compare DIR DIR ... [--out=DIR]

Each DIR is the folder of a run, or one with a table.json. Prints a table with means, inter-quartile means (IQM), 95 %
bootstrap intervals and the probability that a run of one beats a run of another; --out also receives it as
compare.md and compare.json, and the learning curves of all runs as compare.png.""",
  words=(),
)
_SCORE = FLAGS.choice(
  "score",
  "best_return",
  ["best_return", "final_return", "evaluation_return", "best_evaluation_return"],
  "What is compared, one number per seed.",
)
_OUT = FLAGS.text("out", None, "Folder for compare.md, compare.json and compare.png.")


def main(words: Sequence[str]) -> int:
  """Reads, prints, writes."""
  if not words:
    raise UserError("compare: nothing to compare; allowed: two folders of runs or tables, or more")
  from gippo_jax.runs.comparison import compare, draw, markdown, read_contenders
  from gippo_jax.runs.files import write_json, write_text

  contenders = read_contenders(list(words), _SCORE.value)
  rows = compare(contenders)
  text = markdown(rows, _SCORE.value)
  print(text, end="")
  if _OUT.value is not None:
    out = pathlib.Path(_OUT.value).expanduser()
    try:
      out.mkdir(parents=True, exist_ok=True)
      write_json(out / "compare.json", {"score": _SCORE.value, "rows": rows})
      write_text(out / "compare.md", text)
      if any(each.curve is not None for each in contenders):
        draw(contenders, out / "compare.png")
    except OSError as error:
      raise UserError(
        f"--out: {out} cannot be written ({error.strerror}); allowed: a folder you may write to"
      ) from None
    print(f"files in {out}")
  return 0
