"""Random configurations, keys, requests and failures in simulated time: no attempt where a policy forbids it.

    python -m tests.compliance            1,000,000 requests, in as many processes as there are cores
    python -m tests.compliance 20000 7    as many requests, from another seed

`configurations` makes a configuration, `oracle` says from its text alone who may be asked, `providers` ask the oracle
whenever something reaches them, `world` lets clients come. What a seed shows it shows again.
"""
