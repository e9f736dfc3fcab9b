"""Free checks on a model's answer: what its text alone, held against the question, says about whether it can be right.

Nothing here runs code of anybody, asks anybody, or takes longer than the text's length allows.
"""
