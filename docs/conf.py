"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "typednn"
author = "The typednn developers"
copyright = author
version = release = version_of("typednn")
language = "en-GB"

extensions = [
    "myst_parser",
    "mathml",
    "outside",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["extensions", "gallery/*.ipynb", "gallery/*.py", "gallery/*.zip"]
html_math_renderer = "mathml"
nitpicky = True

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "typednn"
html_static_path = ["static"]
html_css_files = ["typednn.css"]
html_copy_source = False
html_show_sphinx = False
