"""A share of a list of tasks: every `count`-th one. `--shard=i/n` on the command line, i from 0."""

import re
from collections.abc import Sequence
from typing import TypeVar

from gippo_jax.errors import UserError

T = TypeVar("T")


def shard_of(items: Sequence[T], index: int, count: int) -> list[T]:
  """Every `count`-th item, from `index` on: shards differ by at most one item, and neighbours go to different shards.

  Args:
    items: all tasks, in an order that is the same in every process.
    index: which shard, from 0.
    count: number of shards.

  Raises:
    ValueError: when `index` is no shard of `count`.
  """
  if not 0 <= index < count:
    raise ValueError(f"shard {index} of {count}")
  return list(items[index::count])


def format_shard(index: int, count: int) -> str:
  """The text that `parse_shard` reads."""
  return f"{index}/{count}"


def parse_shard(text: str) -> tuple[int, int]:
  """Index and count of `i/n`.

  Raises:
    UserError: for anything else.
  """
  match = re.fullmatch(r"(\d+)/(\d+)", text)
  if not match or int(match[1]) >= int(match[2]):
    raise UserError(f"--shard: {text!r} is not allowed; allowed: i/n with 0 <= i < n")
  return int(match[1]), int(match[2])
