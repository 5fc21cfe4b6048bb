"""The tutorial as a notebook: ``python docs/notebook.py`` writes docs/tutorial.ipynb from docs/tutorial.md.

Text becomes text, the examples cells of code, with the outputs that doctest holds them to.
"""

import re
from doctest import DocTestParser
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

TUTORIAL = Path(__file__).parent / "tutorial.md"
EXAMPLES = re.compile(r"```python\n(>>> .*?)```\n", re.DOTALL)


def code_cells(examples):
    """Return a cell for each run of examples that ends with an output, or with the block."""
    sources = []
    for example in DocTestParser().get_examples(examples):
        sources.append(example.source)
        if example.want:
            yield new_code_cell("".join(sources).rstrip(), outputs=[output_of(example)])
            sources = []
    if sources:
        yield new_code_cell("".join(sources).rstrip())


def output_of(example):
    """Return an output as Jupyter stores it."""
    if example.exc_msg:
        name, _, message = example.exc_msg.strip().partition(": ")
        traceback = example.want.splitlines()
        return new_output("error", ename=name, evalue=message, traceback=traceback)
    return new_output("execute_result", data={"text/plain": example.want.rstrip()})


def notebook(text):
    """Return the notebook of a page."""
    cells = []
    for number, part in enumerate(EXAMPLES.split(text)):
        if number % 2:
            cells.extend(code_cells(part))
        elif part.strip():
            cells.append(new_markdown_cell(part.strip()))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # drawn at random otherwise
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


if __name__ == "__main__":
    made = notebook(TUTORIAL.read_text(encoding="utf-8"))
    nbformat.write(made, TUTORIAL.with_suffix(".ipynb"))
