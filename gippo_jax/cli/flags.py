"""Turns what absl and ml_collections say about wrong flags into one line with field, value and what is allowed."""

import pathlib
import re
from collections.abc import Sequence

from absl import flags

from gippo_jax.errors import UserError
from gippo_jax.parsing import allowed_values


def parse_flags(arguments: Sequence[str]) -> list[str]:
  """Parses the command line.

  Args:
    arguments: as `sys.argv`.

  Returns:
    What is no flag; the program's name first.

  Raises:
    UserError: for anything that cannot be parsed, in words.
  """
  overrides = _overrides(arguments)
  _check_config_file(arguments)
  for name in overrides:
    allowed_values(name)
  try:
    return flags.FLAGS(arguments)
  except UserError:
    raise
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError, ImportError) as error:
    raise UserError(_explain(error, overrides)) from None


def _overrides(arguments: Sequence[str]) -> dict[str, str]:
  """Values of `--config.FIELD=VALUE` by field."""
  matches = (re.fullmatch(r"--?config\.([^=]+)=(.*)", argument, re.DOTALL) for argument in arguments)
  return {match[1]: match[2] for match in matches if match}


def _check_config_file(arguments: Sequence[str]) -> None:
  for argument in arguments:
    match = re.fullmatch(r"--?config=([^:]*)(:.*)?", argument, re.DOTALL)
    if match and not pathlib.Path(match[1]).is_file():
      raise UserError(f"--config: {match[1]!r} is no file; allowed: PATH.py:ARGUMENT, a file with get_config(argument)")


def _explain(error: Exception, overrides: dict[str, str]) -> str:
  text = str(error).strip()
  raised = re.search(r"UserError: (.*)", text)
  if raised:  # from a configuration file, wrapped with its traceback
    return raised[1]
  for name, value in overrides.items():
    # ml_collections names the field only where the value is of the wrong type; a missing key names its last part.
    if f"config.{name}=" in text:
      return f"config.{name}: {value!r} is not allowed; allowed: {allowed_values(name)}"
    if isinstance(error, (KeyError, AttributeError)) and re.search(rf"\b{re.escape(name.split('.')[-1])}\b", text):
      return f"config.{name} is no field of this configuration file"
  return text.splitlines()[-1] if text else type(error).__name__
