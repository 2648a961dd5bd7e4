"""How Sphinx builds these pages: nothing is fetched, neither while they are built nor while they are read."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "raysurf"
version = release = version_of("raysurf")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "mathml", "reference"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_custom_sections = ["Source", "Attributes"]
napoleon_use_rtype = False

# Dashes stay as they are: options begin with two.
smartquotes_action = "qe"

html_theme = "furo"
html_title = "raysurf"
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["raysurf.css"]
# A prompt and what a command prints are not copied.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
