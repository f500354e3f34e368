"""`python -m docs.tables`: rewrite the tables of every page, and the figure of costs over clip length."""

from . import costs_figure, write

write()
costs_figure.write()
