"""What a shell completes, asked of the shell itself; and `--version`."""

import platform
import shutil
import subprocess

import jax
import pytest

import gippo_jax
from gippo_jax.cli.commands import COMMANDS
from gippo_jax.cli.completion import bash_script, known_commands, known_fields, main, zsh_script
from gippo_jax.errors import UserError

# Splits the line as bash does: `=` and `:` are words of their own.
_ASK = r"""
source "$1"
COMP_LINE="$2" COMP_POINT=${#2}
read -ra COMP_WORDS <<< "$(sed 's/[=:]/ & /g' <<< "$2")"
[[ "$2" == *[\ =:] ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_gippo_jax
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
  file = tmp_path_factory.mktemp("completion") / "gippo-jax.bash"
  file.write_text(bash_script(known_commands(), known_fields()))
  return file


@pytest.fixture
def complete(script, tmp_path):
  (tmp_path / "a run").mkdir()
  (tmp_path / "runs").mkdir()

  def ask(line):
    process = subprocess.run(
      ["bash", "-c", _ASK, "bash", str(script), line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert not process.stderr
    return process.stdout.splitlines()

  return ask


@pytest.mark.parametrize(
  ("line", "replies"),
  [
    ("gippo-jax ", list(COMMANDS)),
    ("gippo-jax e", [name for name in COMMANDS if name.startswith("e")]),
    ("gippo-jax evaluate --epi", ["--episodes=", "--episode_seed="]),
    ("gippo-jax evaluate --policy=", ["best", "final"]),
    ("gippo-jax evaluate --seed=1 --policy=f", ["final"]),
    ("gippo-jax evaluate --workdir=ru", ["runs"]),
    ("gippo-jax evaluate --episodes=", [""]),
    ("gippo-jax render --nox", [""]),
    ("gippo-jax train --config=tr", ["traffic:"]),
    ("gippo-jax train --config=traffic:", [""]),
    ("gippo-jax train --config.algorithm=sha", ["shac", "shac_model"]),
    ("gippo-jax train --config.ppo.rate", ["--config.ppo.rate_schedule="]),
    ("gippo-jax train --config.ppo.rate_schedule=a", ["adaptive_kl"]),
    ("gippo-jax sweep --config.alpha.initi", ["--config.alpha.initial="]),
    ("gippo-jax launch s", ["slurm"]),
    ("gippo-jax launch slurm --grid=ru", ["runs"]),
    ("gippo-jax list pre", ["presets"]),
    ("gippo-jax compare r", ["runs"]),
    ("gippo-jax compare --sc", ["--score="]),
  ],
)
def test_bash_completes(complete, line, replies):
  assert complete(line) == replies


def test_every_flag_that_help_shows_is_completed(complete):
  from gippo_jax.cli.commands import module_of

  for name in COMMANDS:
    replies = complete(f"gippo-jax {name} --")
    flags = {f"--{flag}" for flag in module_of(name).FLAGS.values}
    assert flags <= {reply.rstrip("=") for reply in replies}, name


def test_zsh_takes_its_script(tmp_path):
  file = tmp_path / "_gippo-jax"
  file.write_text(zsh_script(known_commands(), known_fields()))
  text = file.read_text()
  assert "'--policy=[The run'\"'\"'s best policies, or its last.]: :(best final)'" in text
  if shutil.which("zsh"):
    code = f"autoload -U compinit; compinit -D -u; source {file}; whence -w _gippo_jax; print $_comps[gippo-jax]"
    process = subprocess.run(["zsh", "-fc", code], capture_output=True, text=True, check=False)
    assert process.stdout == "_gippo_jax: function\n_gippo_jax\n", process.stderr


def test_another_shell_is_refused():
  with pytest.raises(UserError, match="'fish' is not allowed; allowed: bash or zsh"):
    main(["fish"])
  with pytest.raises(UserError, match="'nothing' is not allowed"):
    main([])


def test_the_version_is_told(run):
  process = run("gippo_jax", "--version")
  assert process.returncode == 0, process.stderr
  wanted = f"gippo_jax {gippo_jax.__version__}, jax {jax.__version__}, Python {platform.python_version()}\n"
  assert process.stdout == wanted
