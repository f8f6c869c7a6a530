"""A command's flags: each belongs to the command that honours it, and an unknown one is an error."""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from gippo_jax.cli.console import HELP, Main, finish
from gippo_jax.errors import UserError

_CONFIG_HELP = """\
  --config: what to train: a preset, functions:ackley64 (`python -m gippo_jax list` shows all), or a file of your own
    with get_config(argument), PATH.py:ARGUMENT.
  --config.FIELD: changes a field, e.g. --config.ppo.learning_rate=3e-4; docs/configuration.md lists them. The
    environment's parameters are --config.env.NAME; --config.env.name=my_package.my_module:MyEnvironment is your own.
  --plugin: a module that brings an algorithm of your own; may be given several times."""


class ConfigFlags(NamedTuple):
  """What the command line says about the configuration.

  Attributes:
    source: of `--config`; `None` when it is not given.
    overrides: texts by field, of `--config.FIELD=TEXT`.
    plugins: of `--plugin`.
  """

  source: str | None
  overrides: dict[str, str]
  plugins: tuple[str, ...]


class Flags:
  """The flags of one command.

  Args:
    name: of the command.
    text: what it does, and an example.
    takes_config: whether it has `--config`, `--config.FIELD` and `--plugin`.
    words: what it takes besides flags; empty for names of files and folders, `None` for nothing.
    passes_on: whether it parses its arguments itself (`parse_known`), since others' flags are among them.
  """

  def __init__(
    self,
    name: str,
    text: str,
    takes_config: bool = False,
    words: Sequence[str] | None = None,
    passes_on: bool = False,
  ):
    self.passes_on = passes_on
    self.name, self._text, self.takes_config, self.words = name, text.strip(), takes_config, words
    self.values = flags.FlagValues()
    self.config = ConfigFlags(None, {}, ())

  def text(self, name: str, default: str | None, doc: str) -> flags.FlagHolder:
    """A flag that takes a text."""
    return flags.DEFINE_string(name, default, doc, flag_values=self.values)

  def integer(
    self, name: str, default: int | None, doc: str, minimum: int = 0, maximum: int | None = None
  ) -> flags.FlagHolder:
    """A flag that takes an integer."""
    return flags.DEFINE_integer(name, default, doc, minimum, maximum, flag_values=self.values)

  def real(self, name: str, default: float | None, doc: str, low: float, high: float | None = None) -> flags.FlagHolder:
    """A flag that takes a number."""
    return flags.DEFINE_float(name, default, doc, low, high, flag_values=self.values)

  def switch(self, name: str, default: bool, doc: str) -> flags.FlagHolder:
    """A flag that is on or off: `--name`, `--noname`."""
    return flags.DEFINE_bool(name, default, doc, flag_values=self.values)

  def choice(self, name: str, default: str, options: Sequence[str], doc: str) -> flags.FlagHolder:
    """A flag that takes one of a few words."""
    return flags.DEFINE_enum(name, default, list(options), doc, flag_values=self.values)

  def alias(self, name: str, of: str) -> None:
    """Another spelling of a flag."""
    flags.DEFINE_alias(name, of, flag_values=self.values)

  def help(self) -> str:
    """What `--help` prints."""
    own = self.values.get_help(include_special_flags=False).strip("\n")
    own = re.sub(r"^\S.*:\n", "", own, flags=re.MULTILINE)
    parts = [self._text, "flags:", *([_CONFIG_HELP] if self.takes_config else []), own]
    return "\n\n".join(part for part in parts if part.strip())

  def parse(self, arguments: Sequence[str]) -> list[str]:
    """Parses the command line into the flags' values and `config`.

    Args:
      arguments: without the program's name.

    Returns:
      The words that are no flags.

    Raises:
      UserError: for anything that is not a flag of this command, in words.
    """
    rest = list(arguments)
    if self.takes_config:
      self.config, rest = split_config(rest)
    try:
      words = self.values([self.name, *rest])[1:]
    except flags.UnrecognizedFlagError as error:
      raise UserError(self._unknown(error.flagname)) from None
    except flags.Error as error:
      raise UserError(_in_words(str(error))) from None
    if words and self.words is None:
      raise UserError(f"{words[0]!r} is not a flag of {self.name}; allowed: {self._known()}")
    return words

  def parse_known(self, arguments: Sequence[str]) -> list[str]:
    """Parses this command's flags out of a command line.

    Args:
      arguments: without the program's name.

    Returns:
      All other arguments, in their order.

    Raises:
      UserError: for a value that is not allowed.
    """
    self.values.unparse_flags()
    try:
      return self.values([self.name, *arguments], known_only=True)[1:]
    except flags.Error as error:
      raise UserError(_in_words(str(error))) from None

  def _unknown(self, name: str) -> str:
    if name.split(".")[0] in ("config", "plugin"):
      return f"--{name}: {self.name} takes no configuration; allowed: {self._known()}"
    close = difflib.get_close_matches(name, list(self.values), n=1)
    hint = f" (did you mean --{close[0]}?)" if close else ""
    return f"--{name} is not a flag of {self.name}{hint}; allowed: {self._known()}"

  def _known(self) -> str:
    own = [f"--{name}" for name in sorted(self.values)]
    return ", ".join([*(["--config", "--config.FIELD", "--plugin"] if self.takes_config else []), *own, "--help"])


def split_config(arguments: Sequence[str]) -> tuple[ConfigFlags, list[str]]:
  """Takes the configuration's flags out of a command line.

  Args:
    arguments: without the program's name.

  Returns:
    They, and the other arguments.

  Raises:
    UserError: for a flag without its value, or a field that is given twice.
  """
  source, overrides, plugins, rest = None, {}, [], []
  left = list(arguments)
  while left:
    argument = left.pop(0)
    match = re.fullmatch(r"--?(no)?(config|plugin)((?:\.[^=]*)?)(?:=(.*))?", argument, re.DOTALL)
    if match is None:
      rest.append(argument)
      continue
    negated, flag, field, value = match[1], match[2], match[3][1:], match[4]
    if negated:
      value = "False" if field and value is None else None
    elif value is None and left and not left[0].startswith("--"):
      value = left.pop(0)
    elif value is None and field:
      value = "True"  # a switch alone
    if value is None or (flag == "plugin" and field):
      raise UserError(f"{argument}: a value is missing; allowed: --{flag}=VALUE")
    if field:
      if field in overrides:
        raise UserError(f"config.{field} is given twice, {overrides[field]!r} and {value!r}; allowed: once")
      overrides[field] = value
    elif flag == "plugin":
      plugins.append(value)
    else:
      source = value
  return ConfigFlags(source, overrides, tuple(plugins)), rest


def run_command(command: Flags, main: Main, arguments: Sequence[str]) -> None:
  """Parses a command's flags, runs it, and ends the process; `--help` tells of the flags.

  Args:
    command: its flags.
    main: takes the words that are no flags; returns the exit code.
    arguments: without the program's name.
  """
  if any(argument in HELP for argument in arguments):
    print(command.help())
    finish(lambda: 0)
  finish(lambda: main(list(arguments) if command.passes_on else command.parse(arguments)))


def _in_words(text: str) -> str:
  """absl's message with the flag first: `flag --n=x: reason` and `Unknown ...`."""
  line = text.strip().splitlines()[0] if text.strip() else "a flag is wrong"
  match = re.fullmatch(r"flag (--[\w.-]+)=(.*?): (.*)", line)
  return f"{match[1]}: {match[2]!r} is not allowed; allowed: {_allowed(match[3])}" if match else line


def _allowed(reason: str) -> str:
  match = re.search(r"(?:value should be|must be|is not) (an? .*|one of .*|.*)", reason)
  return match[1] if match else reason
