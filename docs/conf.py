"""The documentation site, built by `make site`: plain Markdown pages, and the reference from the docstrings."""

import re
from typing import Any

from docutils import nodes

import gippo_jax

project = "gippo_jax"
author = "the gippo_jax authors"
copyright = "the gippo_jax authors, Apache 2.0"
version = release = gippo_jax.__version__

extensions = [
  "myst_parser",
  "sphinx.ext.autodoc",
  "sphinx.ext.autosummary",
  "sphinx.ext.napoleon",
  "sphinx.ext.viewcode",
]
templates_path = ["templates"]
# Types in signatures go by their short names, of which two modules may have the same.
suppress_warnings = ["ref.python"]

# Links between pages are those of the repository, file.md#a-heading.
myst_heading_anchors = 4

# Docstrings are plain text in Google's style, in which `name` is code.
default_role = "literal"
highlight_language = "none"  # their equations are not Python
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_ignore_module_all = True

html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"gippo_jax {version}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
  "show_navbar_depth": 1,
  "home_page_in_toc": True,
  "use_download_button": False,
  "navbar_persistent": [],
}


def setup(app: Any) -> None:
  """Called by Sphinx."""
  app.connect("autodoc-process-docstring", keep_equations, priority=400)  # before napoleon, whose priority is 500
  app.connect("autodoc-process-signature", shorten_arrays)
  app.connect("autodoc-skip-member", skip_tuple_fields)
  app.connect("doctree-read", keep_numbers_whole)


def keep_equations(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
  """Equations and code, which docstrings indent below an empty line, are shown as they stand."""
  del app, what, name, obj, options
  shown, outer, literal = [], 0, False
  for line in lines:
    if line.strip():
      begins = bool(shown) and not shown[-1].strip() and _indent(line) > outer
      if begins and not literal:
        shown += [f"{' ' * outer}::", ""]
      literal = begins or (literal and _indent(line) > outer)
      outer = outer if literal else _indent(line)
    shown.append(line)
  lines[:] = shown


def shorten_arrays(
  app: Any, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
  """`Array`, not where jaxlib keeps it."""
  del app, what, name, obj, options
  return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))


def keep_numbers_whole(app: Any, doctree: nodes.document) -> None:
  """No line ends within a number of a table: a word joiner follows its minus signs."""
  del app
  for table in doctree.findall(nodes.table):
    for text in [text for text in table.findall(nodes.Text) if not isinstance(text.parent, nodes.literal)]:
      text.parent.replace(text, nodes.Text(re.sub(r"-(?=\d)", "-\u2060", text)))


def skip_tuple_fields(app: Any, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
  """Fields of named tuples are told in the class's docstring; Python's own text says nothing of them."""
  del app, what, name, skip, options
  return True if re.match(r"Alias for field number \d", getattr(obj, "__doc__", None) or "") else None


def _indent(line: str) -> int:
  return len(line) - len(line.lstrip())
