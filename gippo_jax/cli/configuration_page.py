"""Prints docs/configuration.md: `python -m gippo_jax.cli.configuration_page > docs/configuration.md`."""

import dataclasses

from gippo_jax.config import Config, RunConfig

_INTRODUCTION = """\
# Configuration

Every field can be changed on the command line: `--config.horizon=32`, `--config.ppo.learning_rate=3e-4`. The defaults
below are those of `gippo_jax/config.py`; a configuration file (`experiments/configs/`) sets what its problem needs.
*Traced* numbers are arguments of the compiled program: changing one needs no new compilation, and a sweep may `vmap`
over it. The others are part of the program. The fields below `env` are the environment's own.

This page is written by `python -m gippo_jax.cli.configuration_page > docs/configuration.md`.
"""


def page() -> str:
  """The whole page."""
  sections = [_INTRODUCTION, _table("Training", "", Config)]
  for field in dataclasses.fields(Config):
    if "allowed" not in field.metadata:
      cls = field.default_factory
      sections.append(_table(f"`{field.name}`: {cls.__doc__.splitlines()[0]}", f"{field.name}.", cls))
  sections.append(_table("The run itself (nothing of it is compiled in)", "", RunConfig))
  return "\n".join(sections)


def _table(title: str, prefix: str, cls: type) -> str:
  lines = [f"## {title}", "", "| field | default | allowed | traced | meaning |", "|---|---|---|---|---|"]
  for field in dataclasses.fields(cls):
    allowed = field.metadata.get("allowed")
    if allowed:
      traced = "yes" if allowed.kind == "real" and cls is not RunConfig else ""
      default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
      lines.append(f"| `{prefix}{field.name}` | {default} | {allowed.describe()} | {traced} | {allowed.doc} |")
  return "\n".join(lines) + "\n"


if __name__ == "__main__":
  print(page(), end="")
