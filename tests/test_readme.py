"""What the documentation shows must work."""

import pathlib
import re

from gippo_jax.cli.configuration_page import page

ROOT = pathlib.Path(__file__).parents[1]


def test_the_environment_of_the_readme_trains(capsys):
  (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
  namespace = {"__name__": "readme"}
  exec(code, namespace)
  metrics = namespace["metrics"]
  assert metrics["return"].shape == (20,)
  assert float(metrics["sample_gradient_norm"][-1]) > 0
  assert capsys.readouterr().out
  # About 30 lines for the class, as promised.
  assert len(code[code.index("@dataclasses") : code.index("config = ")].strip().splitlines()) <= 32


def test_the_configuration_page_is_current():
  assert (ROOT / "docs" / "configuration.md").read_text() == page()


def test_links_of_the_documentation_lead_somewhere():
  for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", document.read_text()):
      assert (document.parent / link).exists(), f"{document.name}: {link}"
