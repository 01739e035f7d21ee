"""Small networks built as those that Keras users have, one a file: `build()` and what is in it.

Each file says in `LAYERS` three layers of which a unit can be maximized: near the input, in the
middle and near the output. `TARGET` is what an objective for the output is, None for the logit of
a class; `REFUSED` says of a use why it can't be.
"""
