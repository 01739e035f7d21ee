"""Small networks built as those that Keras users have, one a file: `build()` and what is in it.

Each file says in `LAYERS` three layers of which a unit can be maximized: near the input, in the
middle and near the output. `objective()` is what stands for the logit of a class where there is
none; `INPUT` names the input that takes the clips where several do, `OUTPUT` an output where there
are several; `REFUSED` says what can't be done, and with which words that is said.
"""
