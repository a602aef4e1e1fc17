"""Training: the loop, its files, its logs and its guards."""

from dfl_tf._callable import make_callable

make_callable(__name__)
