"""`python -m contracts.vectors` writes the vectors; a test fails when they are stale."""

from contracts.vectors import FOLDER
from contracts.vectors.generate import documents

for name, text in documents().items():
    (FOLDER / name).write_text(text, encoding="utf-8")
