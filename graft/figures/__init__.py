"""What a study shows: one file per figure, and the look that they share in :mod:`graft.figures.style`.

Each function takes values and returns the figure and a table of the data that it shows; nothing here reads a file.
"""
