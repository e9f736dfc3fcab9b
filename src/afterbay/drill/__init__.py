"""Drills: a failure scenario against a configuration, in simulated time or with real sockets, and what came of it.

`reach` finds who may serve the model, `scenes` says who is hit when and how (as `afterbay.sim` has it), `simulated` and
`live` run it, `report` compares. No provider of the configuration is ever asked: `stage` takes them out.
"""
