"""Prints docs/configuration.md: `python -m gippo_jax.cli.configuration_page > docs/configuration.md`."""

import dataclasses

from gippo_jax import registry
from gippo_jax.config import Config, RunConfig, common_fields
from gippo_jax.fields import allowed_of, group_of, is_traced

_INTRODUCTION = """\
# Configuration

Every field can be changed on the command line: `--config.horizon=32`, `--config.ppo.learning_rate=3e-4`. The defaults
below are those of `gippo_jax/config.py`; a configuration file (`experiments/configs/`) sets what its problem needs.
*Traced* numbers are arguments of the compiled program: changing one needs no new compilation, and a sweep may `vmap`
over it. The others are part of the program. The fields below `env` are the environment's own. A group in whose title
algorithms are named belongs to these alone: under another one its fields are refused.

This page is written by `python -m gippo_jax.cli.configuration_page > docs/configuration.md`.
"""


def page() -> str:
  """The whole page."""
  sections = [_INTRODUCTION, _table("Training", "", Config)]
  for name, field in common_fields().items():
    if allowed_of(field) is None:
      cls = group_of(field)
      sections.append(_table(f"`{name}`: {_first_line(cls)}", f"{name}.", cls))
  for name, cls in registry.groups().items():
    owners = ", ".join(registry.find(owner).label for owner in registry.owners(name))
    sections.append(_table(f"`{name}` ({owners}): {_first_line(cls)}", f"{name}.", cls))
  sections.append(_table("The run itself (nothing of it is compiled in)", "", RunConfig))
  return "\n".join(sections)


def _first_line(cls: type) -> str:
  return (cls.__doc__ or "").partition("\n")[0]


def _table(title: str, prefix: str, cls: type) -> str:
  lines = [f"## {title}", "", "| field | default | allowed | traced | meaning |", "|---|---|---|---|---|"]
  for field in dataclasses.fields(cls):
    allowed = allowed_of(field)
    if allowed:
      traced = "yes" if is_traced(field) and cls is not RunConfig else ""
      default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
      lines.append(f"| `{prefix}{field.name}` | {default} | {allowed.describe()} | {traced} | {allowed.doc} |")
  return "\n".join(lines) + "\n"


if __name__ == "__main__":
  print(page(), end="")
