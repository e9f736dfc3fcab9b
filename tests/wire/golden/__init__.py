"""Requests translated between protocols, against expectations that no parser of ours had a hand in."""
