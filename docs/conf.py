"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

logging.getLogger("typednn").setLevel(logging.WARNING)  # an extension of the theme shows what INFO says

project = "typednn"
author = "The typednn developers"
copyright = author
version = release = version_of("typednn")
language = "en-GB"

extensions = [
    "myst_parser",
    "examples",
    "mathml",
    "outside",
    "signatures",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["extensions", "gallery/*.ipynb", "gallery/*.py", "gallery/*.zip"]
html_math_renderer = "mathml"
nitpicky = True
default_role = "code"

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "typednn"
html_static_path = ["static"]
html_css_files = ["typednn.css"]
html_copy_source = False
html_show_sphinx = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$" if find_spec("torch") else r"/(?!beside_pytorch)\w+\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "image_srcset": ["2x"],  # pictures are sharp on screens with two pixels for one, too
    "min_reported_time": 1e6,
    "write_computation_times": False,
    "show_signature": False,
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
}

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
intersphinx_mapping = {"python": ("https://docs.python.org/3.11", "inventories/python.inv")}
python_maximum_signature_line_length = 88
nitpick_ignore_regex = [
    ("py:(class|obj)", r"ArrayLike|NDArray|dict\[.*|typednn_kernels\.arrays\.F|typednn\.data\..*"),
    (
        "py:class",
        "[A-Z]|Axes|Communicator|Executor|Model|Processes|Storage|Workspace",
    ),  # not in the reference
    ("py:class", r"(nn|keras)\..*|NoneType"),
    ("py:class", "Activation|Build|ClassWeight|ClassifierLoss|DtypeLike|LearningRate|Normalizations"),
    # kinds of settings, which the docstrings describe
    ("py:class", "Metrics|OptimizerLike|OutputActivation|RegressorLoss|Solver"),
    ("py:.*", r"(np|numpy)\..*"),  # NumPy's documentation has no package that an inventory could come from
]
