"""Runs a command: errors of the user end in one line and exit code 2."""

import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import flags

from gippo_jax.errors import UserCodeError, UserError

_PACKAGE = str(pathlib.Path(__file__).resolve().parents[1])
HELP = ("--help", "-h", "-help", "--helpfull", "--helpshort")

Main = Callable[[Sequence[str]], int]


def console(run: Main) -> None:
  """Runs a command whose flags are absl's global ones, and ends the process.

  absl's own `app.run` is not used: its errors are pages long, and it turns on the logs of other packages.

  Args:
    run: takes the words that are no flags, the program's name first; returns the exit code.
  """
  arguments = sys.argv
  if any(argument in HELP for argument in arguments[1:]):
    module = sys.modules[run.__module__]
    print(f"{(module.__doc__ or '').strip()}\n\n{flags.FLAGS.main_module_help()}")
    sys.exit(0)

  def parse_and_run() -> int:
    try:
      words = flags.FLAGS(arguments)
    except flags.Error as error:
      raise UserError(str(error).strip().splitlines()[0]) from None
    return run(words)

  finish(parse_and_run)


def finish(command: Callable[[], int]) -> None:
  """Ends the process with what a command returns; a `UserError` is printed as one line."""
  if os.getcwd() not in sys.path and "" not in sys.path:
    sys.path.append(os.getcwd())  # so that import paths of the user's own lead somewhere, however this was started
  try:
    code = command()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    if isinstance(error, UserCodeError) and error.__cause__ is not None:
      print(_user_traceback(error.__cause__), file=sys.stderr, end="")
    code = 2
  except KeyboardInterrupt:
    code = 130
  except BrokenPipeError:  # whoever read the output has enough of it
    code = 0
  except OSError as error:  # the machine's: a full disk, a path that is too long
    where = f"{error.filename}: " if error.filename else ""
    print(f"error: {where}{error.strerror or error}", file=sys.stderr)
    code = 2
  except (MemoryError, RuntimeError) as error:
    if not _is_out_of_memory(error):
      raise
    print("error: memory: there is not enough for this; allowed: smaller numbers", file=sys.stderr)
    code = 2
  try:
    sys.stdout.flush()
  except OSError:  # nobody can read what is left, and Python would try again at its end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  sys.exit(code)


def _is_out_of_memory(error: BaseException) -> bool:
  return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _user_traceback(error: BaseException) -> str:
  """The traceback, without the frames that led from here to the user's code."""
  frame = error.__traceback__
  while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
    frame = frame.tb_next
  shown = error.with_traceback(frame) if frame is not None else error
  return "".join(traceback.format_exception(shown))


def _is_ours(file: str) -> bool:
  return file.startswith((_PACKAGE, "<frozen importlib")) or f"{os.sep}importlib{os.sep}" in file


def chosen(names: list[str] | None, known: list[str], flag: str) -> list[str]:
  """The names that a flag gives, all known ones where it gives none.

  Raises:
    UserError: for an unknown name.
  """
  for name in names or []:
    if name not in known:
      raise UserError(f"--{flag}: {name!r} is unknown; allowed: {', '.join(known)}")
  return names or known
