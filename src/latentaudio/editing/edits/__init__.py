"""One file for each edit: a check against the source, and the plan; `editing.plan.EDITS` has rows.

The options of an edit are a class in `config.edits`.
"""
