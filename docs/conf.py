"""How Sphinx builds these pages: ``sphinx-build -W --keep-going docs build/docs``."""

import re

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.utils.math.latex2mathml import tex2mathml

import numba_car
from numba_car.cli.app import app

project = "numba_car"
author = "The numba_car developers"
copyright = author  # noqa: A001 - Sphinx's word
release = version = numba_car.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_gallery.gen_gallery"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"
autodoc_typehints = "none"
numpydoc_show_class_members = False
# What is no page: the description on the package index, and what Sphinx-Gallery makes pages of.
exclude_patterns = ["pypi.md", "gallery"]
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "min_reported_time": 3600,  # or it prints the times of programs
}
html_theme = "furo"
html_title = "numba_car"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_math_renderer = "mathml"


# As in TeX: bars and braces are as large as written, and nothing stands between bars and what is inside
# them, nor between a function's name and its bracket.
SPACING = (
    (r'<mo( stretchy="false")?>([‖|])</mo>', r'<mo stretchy="false" lspace="0" rspace="0">\2</mo>'),
    (r"<mo>([{}])</mo>", r'<mo stretchy="false">\1</mo>'),
    (r"<mo>(max|min)</mo>", r'<mo lspace="0.17em" rspace="0">\1</mo>'),
)


TAG = re.compile(r"\s*\\tag\{(\d+)\}")  # the number of an equation, which docutils does not know


def write_mathml(translator, node):
    """Write a formula as MathML, which browsers lay out by themselves: no script, no fonts."""
    block, source = isinstance(node, nodes.math_block), node.astext()
    formula = tex2mathml(TAG.sub("", source), as_block=block)
    for sign, spaced in SPACING:
        formula = re.sub(sign, spaced, formula)
    if block:
        numbers = [f'<span id="eq-{n}" class="number">({n})</span>' for n in TAG.findall(source)]
        formula = f'<div class="formula">{formula}{"".join(numbers)}</div>'
    translator.body.append(formula)
    raise nodes.SkipNode


def trim_blocks(_app, tree):
    """Take off the blank line that doctest wants at the end of an output."""
    for block in tree.findall(nodes.literal_block):
        block.rawsource = block.rawsource.rstrip()
        block[:] = [nodes.Text(block.astext().rstrip())]


class CommandHelp(Directive):
    """Write what `numba-car COMMAND --help` prints, a section for every command."""

    def run(self):
        """Return the sections."""
        group = app.make_context("numba-car", [], resilient_parsing=True, terminal_width=88)
        sections = []
        for name, command in app.commands.items():
            text = click.Context(command, parent=group, info_name=name).get_help()
            section = nodes.section(ids=[name])
            section += nodes.title(text=f"numba-car {name}")
            section += nodes.literal_block(text, text, language="text")
            sections.append(section)
        return sections


def setup(sphinx):
    """Tell Sphinx what of the above is for when."""
    sphinx.add_directive("command-help", CommandHelp)
    renderers = (write_mathml, None)
    sphinx.add_html_math_renderer("mathml", inline_renderers=renderers, block_renderers=renderers)
    sphinx.connect("doctree-read", trim_blocks)
