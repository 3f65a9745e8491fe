"""Settings of the site that ``make docs`` builds; ``site_pages.py`` beside this file makes the generated pages."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "bundle")]  # site_pages, and scripts.<package>.<module>

project = "Pathology tumor detection"
author = "the authors of pathology-tumor-detection"
project_copyright = f"{author}; Apache License 2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_pages"]
root_doc = "index"
exclude_patterns = ["_build", "generated/first_screen.md"]  # the home page includes that one

# Every link must lead somewhere: `make docs` turns warnings into errors. Links to other sites are not checked, since
# the build has to work without a network.
nitpicky = True
myst_heading_anchors = 4
myst_enable_extensions = ["linkify"]  # addresses without brackets become links, as on GitHub
myst_linkify_fuzzy_links = False
suppress_warnings = ["myst.header"]  # the model zoo wants headings of level 4 below level 2

# Docstrings: single backticks name code of this package; site_pages makes links of them.
default_role = "py:obj"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
python_maximum_signature_line_length = 140
toc_object_entries_show_parents = "hide"

highlight_language = "none"
html_theme = "furo"  # its style, fonts and scripts come with it: pages load nothing from elsewhere
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = project
html_copy_source = False
html_show_sphinx = False
