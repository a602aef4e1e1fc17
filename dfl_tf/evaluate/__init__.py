"""How good a model is: metrics on faces that it was not trained on, results, sheets.

`metrics` are functions on arrays, `evaluator` runs them over what a model made of faces, `results`
is what comes out and when two of them may be compared. `job` does all of it for a workspace.
"""

from dfl_tf._callable import make_callable

make_callable(__name__)
