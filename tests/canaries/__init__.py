"""Secrets seeded wherever one may stand, and a search for them wherever the gateway writes or speaks.

`seeds` has the canaries, `search` finds them however they are spelled, `provider` quotes whatever it is told,
`world` runs gateways as processes and lets everything happen to them.
"""
