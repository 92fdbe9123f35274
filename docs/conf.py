"""The documentation site: ``python -m sphinx -W --keep-going docs SITE``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from sphinx.application import Sphinx  # noqa: E402

from morl import __version__  # noqa: E402

project = "morl"
author = "the authors of morl"
release = version = __version__
language = "en"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "tables"]
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_links_external_new_tab = False
nb_execution_mode = "off"  # tests execute the notebooks; the site shows what they hold

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "morl"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}


def _as_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape bars and lone stars of a docstring, which are markup in reStructuredText."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        for j in range(0, len(parts), 2):
            parts[j] = parts[j].replace("|", r"\|")
            if parts[j].count("*") == 1 and not line.lstrip().startswith("*"):
                parts[j] = parts[j].replace("*", r"\*")
        lines[i] = "``".join(parts)


def setup(app: Sphinx) -> None:
    """Connect the docstring processor; Sphinx calls this."""
    app.connect("autodoc-process-docstring", _as_text)
