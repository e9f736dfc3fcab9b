"""Simulated time: the policies of the gateway against providers, clients and faults that one seed decides.

    report = Simulation(availability(), seed=7).run(200_000)
    assert report.availability > 0.9999

A discrete-event driver, the third beside the asyncio driver and the tests' virtual loop. What decides is production's
own: `policy.route.decide`, `policy.throttle`, `policy.attempts.Attempts`, `policy.retry`, `policy.resume`,
`policy.condition` and `engine.health.Health`. What is simulated is what they decide about: when clients come
(`scenario.Traffic`), how a provider answers (`scenario.Provider`, `course`), what goes wrong (`faults`,
`scenario.Episode`). No socket, no clock, no asyncio, and no tokens one by one: an attempt is three moments at most.

Read `scenario` first, then `world`. `docs/simulation.md` says what is not simulated; that the real engine does the same
with the same script is a test (`tests/sim/test_against_the_engine.py`).
"""
