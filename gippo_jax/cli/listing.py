"""`python -m gippo_jax list`."""

from collections.abc import Sequence

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

_KINDS = ("environments", "algorithms", "presets")

FLAGS = Flags(
  "list",
  """
What there is to train: python -m gippo_jax list [environments|algorithms|presets]""",
  takes_config=True,
  words=_KINDS,
)


def main(words: Sequence[str]) -> int:
  """Prints a line for each."""
  unknown = [word for word in words if word not in _KINDS]
  if unknown:
    raise UserError(f"list: {unknown[0]!r} is not allowed; allowed: {', '.join(_KINDS)}")
  kinds = words or _KINDS
  if FLAGS.config.source is not None or FLAGS.config.overrides:
    raise UserError("list: --config is not allowed; allowed: --plugin, whose algorithms are then listed too")
  for kind in _KINDS:
    if kind in kinds:
      entries = {"environments": _environments, "algorithms": _algorithms, "presets": _presets}[kind]()
      width = max(map(len, entries))
      print(f"{kind} ({_HOW[kind]}):")
      print("\n".join(f"  {name:{width}}  {text}" for name, text in entries.items()), end="\n\n")
  return 0


_HOW = {
  "environments": "--config.env.name=NAME, or my_package.my_module:MyEnvironment",
  "algorithms": "--config.algorithm=NAME",
  "presets": "--config=NAME:ARGUMENT",
}


def _environments() -> dict[str, str]:
  from gippo_jax import envs

  return envs.descriptions()


def _algorithms() -> dict[str, str]:
  from gippo_jax import registry

  registry.load(FLAGS.config.plugins)
  return {name: f"{spec.label}: {spec.summary}" for name, spec in registry.algorithms().items()}


def _presets() -> dict[str, str]:
  from gippo_jax.cli.configuration import presets

  return presets()
