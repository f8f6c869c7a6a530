"""`python -m gippo_jax completion`: the script by which a shell completes commands, flags and their values."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

_SHELLS = ("bash", "zsh")

FLAGS = Flags(
  "completion",
  """
Prints the script by which a shell completes gippo-jax (which is python -m gippo_jax): commands, flags, fields, values.

  echo 'eval "$(gippo-jax completion bash)"' >> ~/.bashrc
  gippo-jax completion zsh > "${fpath[1]}/_gippo-jax" """,
  words=_SHELLS,
)


class Option(NamedTuple):
  """What a shell knows of a flag.

  Attributes:
    name: with its dashes.
    doc: what it does.
    takes_value: whether `=VALUE` follows.
    values: that it takes; empty where they cannot be listed, `None` for files and folders.
  """

  name: str
  doc: str
  takes_value: bool = True
  values: Sequence[str] | None = ()


class Command(NamedTuple):
  """What a shell knows of a command.

  Attributes:
    doc: what it does.
    options: its flags.
    words: what it takes besides; `None` for files and folders.
    takes_config: whether it has the configuration's flags, too.
  """

  doc: str
  options: list[Option]
  words: Sequence[str] | None
  takes_config: bool


def main(words: Sequence[str]) -> int:
  """Prints the script."""
  if len(words) != 1 or words[0] not in _SHELLS:
    given = " ".join(words) or "nothing"
    raise UserError(f"completion: {given!r} is not allowed; allowed: {' or '.join(_SHELLS)}")
  print({"bash": bash_script, "zsh": zsh_script}[words[0]](known_commands(), known_fields()), end="")
  return 0


def known_commands() -> dict[str, Command]:
  """All commands with their own flags, by name."""
  from gippo_jax.cli.commands import COMMANDS, module_of

  known = {}
  for name, doc in COMMANDS.items():
    flags: Flags = module_of(name).FLAGS
    parsed = [flags, module_of("sweep").FLAGS] if flags.passes_on else [flags]
    options = {option.name: option for each in parsed for option in _options(each)}
    words = None if flags.words == () else flags.words or ()
    known[name] = Command(doc, list(options.values()), words, any(each.takes_config for each in parsed))
  return known


def _options(flags: Flags) -> list[Option]:
  options = [Option("--help", "Shows the flags.", takes_value=False)]
  for name in flags.values:
    flag = flags.values[name]
    doc = re.sub(r"^<[^>]*>: ", "", flag.help or "")  # absl puts a choice's words before what it does
    if flag.boolean:
      options += [Option(f"--{name}", doc, takes_value=False), Option(f"--no{name}", doc, takes_value=False)]
    else:
      choices = getattr(flag.parser, "enum_values", None)
      options.append(Option(f"--{name}", doc, values=choices or (None if flag.flag_type() == "string" else ())))
  return options


def known_fields() -> list[Option]:
  """`--config`, `--plugin` and every field of every algorithm."""
  from gippo_jax import registry
  from gippo_jax.cli.configuration import presets
  from gippo_jax.config import RunConfig, common_fields
  from gippo_jax.fields import allowed_of, fields_of, group_of

  options = [
    Option("--config", "What to train: a preset, or a file.", values=[f"{name}:" for name in presets()]),
    Option("--plugin", "A module that brings an algorithm of your own."),
  ]
  known: dict[str, object] = {**common_fields(), **fields_of(RunConfig), **registry.groups()}

  def add(path: str, entries: Mapping[str, object]) -> None:
    for name, entry in entries.items():
      cls = entry if isinstance(entry, type) else None
      allowed = None if cls else allowed_of(entry)  # pyright: ignore[reportArgumentType]
      if allowed is None:
        add(f"{path}.{name}", fields_of(cls or group_of(entry)))  # pyright: ignore[reportArgumentType]
        continue
      values = {"choice": allowed.options, "switch": ("True", "False")}.get(allowed.kind, ())
      if (path, name) == ("--config", "algorithm"):
        values = tuple(registry.algorithms())
      options.append(Option(f"{path}.{name}", allowed.doc, values=values))

  add("--config", known)
  return [*options, Option("--config.env.name", "of the environment")]


_BASH = """\
# Completes gippo-jax in bash; made by: gippo-jax completion bash
_gippo_jax() {{
  local line="${{COMP_LINE:0:COMP_POINT}}"
  local current="${{line##*[[:space:]]}}" option= value= words=
  local fields={fields}
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W {commands} -- "$current"))
    return
  fi
  if [[ $current == --*=* ]]; then
    option="${{current%%=*}}" value="${{current#*=}}"
    case "${{COMP_WORDS[1]}} $option" in
{values}
    esac
    [[ $value == *:* ]] || COMPREPLY=($(compgen -W "$words" -- "$value"))
    [[ ${{COMPREPLY[0]}} == *: ]] && compopt -o nospace 2>/dev/null
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{options}
  esac
  COMPREPLY+=($(compgen -W "$words" -- "$current"))
  [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2>/dev/null
}}
complete -F _gippo_jax gippo-jax
"""


def bash_script(commands: Mapping[str, Command], fields: Sequence[Option]) -> str:
  """The script for bash."""
  values = [_bash_values(f"*' {option.name}'", option) for option in fields]
  options = []
  for name, command in commands.items():
    values += [_bash_values(f"'{name} {option.name}'", option) for option in command.options]
    words = shlex.quote(" ".join([*(command.words or ()), *map(_bash_option, command.options)]))
    words += '" $fields"' * command.takes_config
    files = '[[ $current == -* ]] || COMPREPLY=($(compgen -f -- "$current")); ' * (command.words is None)
    options.append(f"    {name}) {files}words={words} ;;")
  return _BASH.format(
    commands=shlex.quote(" ".join(commands)),
    fields=shlex.quote(" ".join(map(_bash_option, fields))),
    values="\n".join(filter(None, values)),
    options="\n".join(options),
  )


def _bash_option(option: Option) -> str:
  return option.name + "=" * option.takes_value


def _bash_values(pattern: str, option: Option) -> str:
  """The line that completes a flag's value; empty where nothing is known of it."""
  if option.values is None:
    return f'      {pattern}) COMPREPLY=($(compgen -f -- "$value")); return ;;'
  return f"      {pattern}) words={shlex.quote(' '.join(option.values))} ;;" if option.values else ""


_ZSH = """\
#compdef gippo-jax
# Completes gippo-jax in zsh; made by: gippo-jax completion zsh
_gippo_jax() {{
  local -a commands=(
{commands}
  )
  local -a fields=(
{fields}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{options}
  esac
}}
if [[ $funcstack[1] == _gippo-jax ]]; then _gippo_jax "$@"; else compdef _gippo_jax gippo-jax; fi
"""


def zsh_script(commands: Mapping[str, Command], fields: Sequence[Option]) -> str:
  """The script for zsh, which also shows what commands and flags do."""
  options = []
  for name, command in commands.items():
    words = ["*: :_files"] if command.words is None else [f"*: :({' '.join(command.words)})"] if command.words else []
    specifications = [shlex.quote(text) for text in [*map(_zsh_option, command.options), *words]]
    specifications += ['"${fields[@]}"'] * command.takes_config
    options.append(f"    {name}) _arguments {' '.join(specifications)} ;;")
  return _ZSH.format(
    commands="\n".join("    " + shlex.quote(f"{name}:{command.doc}") for name, command in commands.items()),
    fields="\n".join("    " + shlex.quote(_zsh_option(option)) for option in fields),
    options="\n".join(options),
  )


def _zsh_option(option: Option) -> str:
  doc = option.doc.translate({ord(character): f"\\{character}" for character in "[]:\\"})
  if not option.takes_value:
    return f"{option.name}[{doc}]"
  values = "_files" if option.values is None else f"({' '.join(option.values)})".replace(":", "\\:")
  return f"{option.name}=[{doc}]: :{values}"
