"""One simulated request: what `afterbay.engine.pipeline` and `afterbay.engine.attempt` do, in simulated time.

The same calls of the same policies in the same order, with courses in the place of connections. An alarm goes into the
queue only if it would ring before anything else happens to the request, since what happens next is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from afterbay.core.chance import draw
from afterbay.core.checkpoint import Checkpoint, Form
from afterbay.core.decision import Attempt, Decision, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.core.event import TextDelta, ToolCallStarted
from afterbay.engine.credential import judge, place_of
from afterbay.policy.attempts import Action, Attempts, Cancel, Deliver, Fail, Finish, SetAlarm, Start
from afterbay.policy.condition import Trial
from afterbay.policy.hedge import Hedge
from afterbay.policy.outlier import evidence_of
from afterbay.policy.plan import Limits
from afterbay.policy.resume import Forms, Wish
from afterbay.policy.route import decide
from afterbay.policy.throttle import attempts_left, narrowed
from afterbay.sim.course import NEVER, Asked, Course, Ending, Place
from afterbay.sim.draws import ATTEMPT
from afterbay.sim.invariants import InvariantBroken, check
from afterbay.sim.keys import Lease
from afterbay.sim.scenario import Traffic

if TYPE_CHECKING:
    from afterbay.sim.world import Simulation


class Client:
    """What one client sends, and what it would get from a provider without faults."""

    __slots__ = ("is_cursed", "is_json", "is_tool", "leaves_s", "stream", "tokens")

    def __init__(self, traffic: Traffic, tokens: int, chances: list[float], shared: float) -> None:
        self.tokens = tokens
        self.stream = chances[1] < traffic.streams
        self.is_cursed = chances[4] < shared
        self.leaves_s = traffic.leaves_in_s * chances[5] / traffic.leaves if chances[5] < traffic.leaves else NEVER
        self.is_tool = chances[7] < traffic.tools
        self.is_json = not self.is_tool and chances[7] < traffic.tools + traffic.json


class Run:
    """One attempt under way."""

    __slots__ = ("began_s", "course", "is_over", "is_shown", "lease", "noted", "number", "place", "target", "trial")

    def __init__(
        self, number: int, target: Target, place: Place, course: Course, began_s: float, trial: Trial, lease: Lease
    ) -> None:
        self.number, self.target, self.place, self.course = number, target, place, course
        self.began_s, self.trial, self.lease = began_s, trial, lease
        self.is_shown = self.is_over = self.noted = False

    @property
    def next_s(self) -> float:
        """When something happens to it."""
        course = self.course
        return self.began_s + (course.end_s if self.is_shown or course.first_s > course.end_s else course.first_s)


class SimulatedRequest:
    """One request on its way. `ending` is None until it ended; `attempts` is the machine's log.

    What ended lets go of its machine: the two hold each other, and a million such pairs are much for the collector.
    """

    __slots__ = (
        "_alarm_s",
        "_armed_s",
        "_deadline_s",
        "_first",
        "_forms",
        "_hedge",
        "_machine",
        "_runs",
        "_sent",
        "_share",
        "_world",
        "arrived_s",
        "attempts",
        "client",
        "commits",
        "decision",
        "ending",
        "error",
        "id",
        "limits",
        "number",
        "took_s",
    )

    def __init__(self, world: Simulation, number: int, name: str, arrived_s: float, client: Client) -> None:
        self.number, self.id, self.arrived_s, self.client = number, name, arrived_s, client
        self.attempts: list[Attempt] = []
        self.decision: Decision | None = None
        self.limits: Limits = world.route.limits
        self.ending: Ending | None = None
        self.error = ""
        self.took_s = 0.0
        self.commits = 0
        self._world = world
        self._deadline_s = arrived_s + self.limits.total_s
        self._alarm_s = self._armed_s = NEVER
        self._runs: list[Run] = []
        self._sent = 0
        self._first: Target | None = None
        self._forms: Forms | None = None
        self._hedge: Hedge | None = None
        self._machine: Attempts | None = None
        self._share = world.retries.share()

    def draw(self, purpose: str) -> float:
        """As `afterbay.engine.context.Turn.draw`."""
        return draw(self._world.seed, purpose, self.id)

    # What `engine.routing` does

    def begin(self, now: float) -> None:
        """It arrives: it is routed, admitted and tried."""
        world = self._world
        try:
            decision = decide(world.ask, world.plan, world.route, world.cannot, world.known, now, self.draw)
        except (ClientMistake, PolicyRefusal) as error:
            self._end(now, "refused", error.code or error.kind)
            return
        if not world.falls_back:
            decision = world.only_first(decision)
        health = world.health
        attempts = attempts_left(decision.targets, health.conditions, now, self.draw)
        if attempts == 0:
            health.refused(decision.targets[0].id, now)
            self._end(now, "refused", "all_targets_down")
            return
        if attempts is not None:
            decision, self.limits = narrowed(decision, self.limits, attempts)
        self.decision = decision
        self._try(now, decision)

    def _try(self, now: float, decision: Decision) -> None:
        world, limits = self._world, self.limits
        resumes = self.client.stream and world.resume != "off"
        self._forms = Forms(world.resume) if resumes else None
        machine = self._machine = Attempts(
            decision.targets,
            limits,
            world.route.fallback_on,
            self.arrived_s,
            self._deadline_s,
            min(world.longest_wait_s, limits.first_token_s),
            self.draw,
            self._share,
            self._can if resumes else lambda _: False,
            self._hedge_of(now, decision),
        )
        self.attempts = machine.attempts
        self._share.__enter__()
        if self.client.leaves_s != NEVER:
            world.at(now + self.client.leaves_s, self.leave, None)
        self._act(now, machine.begin(now))

    def _hedge_of(self, now: float, decision: Decision) -> Hedge | None:
        world = self._world
        rules = world.route.hedge
        if rules is None:
            return None
        ledger = world.hedges.ledger(world.route.name)
        ledger.began(now)
        if len(decision.targets) > 1:
            self._hedge = Hedge(rules, ledger, world.hedges, self.client.stream, self._is_well)
        return self._hedge

    def _is_well(self, target: Target) -> bool:
        return self._world.known.is_well(target.id, self._world.now_s)

    # What `engine.attempt.Driver` does

    def _act(self, now: float, actions: list[Action]) -> None:
        for action in actions:
            if type(action) is SetAlarm:
                self._alarm_s = action.at_s
            elif type(action) is Start:
                self._start(now, action)
            elif type(action) is Cancel:
                self._cancel(now, action.number)
            elif type(action) is Finish:
                self._end(now, "resumed" if self.commits > 1 else "ok", "")
            elif type(action) is Deliver:
                self._end(now, "spare", "spare")
            elif type(action) is Fail:
                error = "deadline" if action.deadline else action.last.kind if action.last is not None else "none"
                self._end(now, "broken" if self.commits else "failed", error)
        if self.ending is None:
            self._arm()

    def _arm(self) -> None:
        """Puts the alarm into the queue, if it rings before anything else happens."""
        due_s = self._alarm_s
        if due_s != self._armed_s and (not self._runs or due_s < min(run.next_s for run in self._runs)):
            self._armed_s = due_s
            self._world.at(due_s, self._ring, due_s)

    def _start(self, now: float, start: Start) -> None:
        world, client, target = self._world, self.client, start.target
        machine = self._running
        place = world.place_of(target)
        lease = world.keys[place.number].choose(now)
        form = None
        if machine.attempts[start.number].why == "resume":
            form = self._form(target)
            if form is None or self._forms is None:
                raise InvariantBroken(f"{target.id} goes on with an answer, and nobody knows how")
            self._forms.asked(target, form)
        nth = sum(run.target == target.id for run in machine.attempts) - 1
        chances = world.draws.eight(self.number, place.number, nth, ATTEMPT)
        course = place.course(
            Asked(
                now,
                chances,
                client.tokens,
                client.stream,
                start.connect_s,
                client.is_cursed,
                form,
                self._sent,
                lease.number,
            )
        )
        if course.fault:
            world.report.faults[course.fault] = world.report.faults.get(course.fault, 0) + 1
        if world.trace is not None:
            world.trace.add(
                f"{now:.6f} {self.number} start {start.number} {target.id} {machine.attempts[start.number].why} "
                f"{course.fault or '-'}"
            )
        if len(self._runs) >= (self._hedge.width if self._hedge is not None else 1):
            raise InvariantBroken(f"attempt {start.number} is one too many at once")
        run = Run(start.number, target, place, course, now, world.health.began(target.id, now), lease)
        self._runs.append(run)
        next_s = run.next_s
        if next_s != NEVER:
            world.at(next_s, self._go_on, run)
        if course.headers_s != NEVER and lease.of > 1:
            world.at(now + course.headers_s, self._hear, run)

    def _go_on(self, now: float, run: Run) -> None:
        """Something happens to an attempt."""
        if run.is_over:
            return
        if not run.is_shown and run.course.first_s <= run.course.end_s:
            self._show(now, run)
            if not self.client.stream:
                self._finish(now, run)
        else:
            self._finish(now, run)

    def _hear(self, now: float, run: Run) -> None:
        """The headers come: they say that the key is taken, which matters where there are several."""
        if not run.is_over:
            self._note_headers(now, run)

    def _show(self, now: float, run: Run) -> None:
        """The first output goes to the client: for a whole answer, all of it."""
        machine, course = self._running, run.course
        self._note_headers(now, run)
        run.is_shown = True
        self.commits += 1
        if self._first is None:
            self._first = run.target
        if self._forms is not None:
            self._forms.begin()
        run.trial.answered(now, whole=not self.client.stream)
        self._world.look(run.target.id, now)
        actions = machine.first_output(now, run.number)
        if not self.client.stream:
            self._act(now, actions)
            return
        if self._world.trace is not None:
            self._world.trace.add(f"{now:.6f} {self.number} output {run.number}")
        if course.end_s != NEVER:
            self._world.at(run.began_s + course.end_s, self._go_on, run)
        self._act(now, actions)
        if self.ending is None:
            late_s = run.began_s + course.late_s(self.limits.between_tokens_s)
            self._alarm_s = min(late_s, self._deadline_s)
            self._arm()

    def _finish(self, now: float, run: Run) -> None:
        """An attempt ended by itself."""
        machine, course, world = self._running, run.course, self._world
        self._close(now, run)
        error = course.error
        if course.is_empty:
            run.trial.ended(now, "nothing")
            self._act(now, machine.unusable(now, "empty", "the stream ended without any output", run.number))
            return
        if error is None:
            run.trial.ended(now, "ok")
            self._act(now, machine.ended(now))
            return
        run.trial.ended(now, evidence_of(error))
        world.look(run.target.id, now)
        judged = judge(error, run.lease if course.headers_s != NEVER else None, world.longest_wait_s)
        if judged.cools_s is not None:
            world.cool(run.target.id, now + judged.cools_s)
        self._act(now, machine.failed(now, judged.error, another_key=judged.another_key, number=run.number))

    def _ring(self, now: float, due_s: float) -> None:
        """The alarm, if it is still the one that was set."""
        if self.ending is not None or due_s != self._alarm_s:
            return
        self._armed_s = NEVER
        last = None
        for run in self._runs:
            self._note_headers(now, run)
            if run.is_shown:
                last = run.began_s + run.course.last_output_s(now - run.began_s)
        self._act(now, self._running.alarm(now, last))

    def _cancel(self, now: float, number: int) -> None:
        """An attempt is called off: it was too late, or another one was quicker."""
        for run in self._runs:
            if run.number == number:
                self._close(now, run)
                is_late = self.attempts[number].outcome == "timeout" and now < self._deadline_s
                run.trial.ended(now, "failed" if is_late else "left")
                self._world.look(run.target.id, now)
                return

    def leave(self, now: float, _: None) -> None:
        """The client hangs up."""
        if self.ending is None and self._machine is not None:
            self._machine.client_left(now)
            for run in list(self._runs):
                self._close(now, run)
                run.trial.ended(now, "left")
            self._end(now, "left", "")

    def _note_headers(self, now: float, run: Run) -> None:
        came_s = run.began_s + run.course.headers_s
        if came_s <= now and not run.noted:
            run.noted = True
            self._running.headers(came_s, run.course.status, place_of(run.lease), run.number)
            if run.course.status not in (401, 403):
                self._world.keys[run.place.number].served(run.lease)

    def _close(self, now: float, run: Run) -> None:
        """An attempt is over, in whatever way: what it used is counted."""
        self._note_headers(now, run)
        run.is_over = True
        self._runs.remove(run)
        shown = run.course.shown_at(now - run.began_s)
        if run.is_shown:
            self._sent += shown
        cost = self._world.used(run.target, shown if run.course.is_billed else None)
        if self._hedge is not None:
            self.attempts[run.number].cost_picousd = cost

    @property
    def _running(self) -> Attempts:
        if self._machine is None:
            raise InvariantBroken("it was not routed")
        return self._machine

    # What `engine.resume.Resumption` does

    def _can(self, target: Target) -> bool:
        return self._form(target) is not None

    def _form(self, target: Target) -> Form | None:
        first = self._first
        if first is None or self._forms is None:
            return None
        checkpoint = Checkpoint()
        if self.client.is_tool:
            checkpoint.see([ToolCallStarted(0, "call", "tool")])
        else:
            checkpoint.see([TextDelta("word " * self._sent)])
        return self._forms.of(checkpoint, Wish(wants_json=self.client.is_json), target, first)

    # The end

    def _end(self, now: float, ending: Ending, error: str) -> None:
        self.ending, self.error, self.took_s = ending, error, now - self.arrived_s
        machine, decision = self._machine, self.decision
        if machine is not None:
            self._share.__exit__()
            if self._hedge is not None:
                self._hedge.learn(now, self.attempts)
            self._machine = self._hedge = self._forms = None
        if machine is not None and decision is not None:
            check(
                self.attempts,
                decision.targets,
                self.limits,
                self.took_s,
                self.commits,
                len(self._runs),
                ending in ("ok", "resumed"),
            )
        self._world.ended(now, self)


Observe = Callable[[SimulatedRequest], None]
"""Gets every request when it has ended."""
