"""The scheduler: what is executed and in which order, what is reused, and what is left behind when something fails."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from tests.execution.toy_steps import add, diamond, divide_by_zero, give_nan, interrupt, scheduler, total, toy

from mlproject.errors import MachineError, NotFiniteError, UserError
from mlproject.execution.assignment import Assignment, OnProgress, Outcome
from mlproject.execution.executors import InProcessExecutor
from mlproject.execution.scheduler import Scheduler
from mlproject.execution.worker import WorkerLostError
from mlproject.pipeline.step import RunRef, Step
from mlproject.tracking.closing import execute
from mlproject.tracking.runs import StepRun
from mlproject.tracking.store import Store


class RecordingExecutor(InProcessExecutor):
    """Executes in this process and remembers the assignments."""

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []

    def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        self.assignments.append(assignment)
        return super().submit(assignment, on_progress)

    @property
    def names(self) -> list[str]:
        return [assignment.step.name for assignment in self.assignments]


def recorded(store: Store) -> tuple[Scheduler, RecordingExecutor]:
    executor = RecordingExecutor()
    return scheduler(store, executor), executor


def runs(store: Store, step: Step) -> list:
    query = f"tags.`mlproject.fingerprint` = '{step.fingerprint}'"
    return store.client().search_runs(store.experiments, query, order_by=["attributes.start_time"])


def test_inputs_are_executed_first_and_every_step_once(store: Store) -> None:
    steps, executor = recorded(store)
    last = diamond(version=1)
    outcomes = steps.run([last, last.inputs["left"]])
    assert executor.names == ["source", "left", "right", "sum"]
    assert total(store, outcomes[last].run_id) == 132
    assert [outcome.reused for outcome in outcomes.values()] == [False] * 4
    assert executor.assignments[-1].inputs == {role: outcomes[last.inputs[role]].run_id for role in ("left", "right")}


def test_steps_that_could_start_do_so_in_the_order_in_which_they_are_listed(store: Store) -> None:
    steps, executor = recorded(store)
    listed = [toy(f"step {value}", value, version=2) for value in (303, 301, 302)]
    steps.run(listed)
    assert executor.names == ["step 303", "step 301", "step 302"]


def test_a_finished_study_is_reused_and_a_changed_option_executes_what_depends_on_it(store: Store) -> None:
    scheduler(store, InProcessExecutor()).run([diamond(version=3)])
    steps, executor = recorded(store)
    outcomes = steps.run([diamond(version=3)])
    assert executor.names == []
    assert all(outcome.reused and outcome.seconds == 0 for outcome in outcomes.values())

    source, left = diamond(version=3).inputs["left"].inputs["source"], toy("left", 11, version=3)
    changed = toy("sum", 100, {"left": left, "source": source}, version=3)
    outcomes = steps.run([changed])
    assert executor.names == ["left", "sum"]
    assert total(store, outcomes[changed].run_id) == 112


def test_a_run_that_is_named_as_an_input_is_read_and_not_executed(store: Store) -> None:
    source = toy("source", 5, version=4)
    run_id = scheduler(store, InProcessExecutor()).run([source])[source].run_id
    steps, executor = recorded(store)
    reader = toy("reader", 1, {"source": RunRef(run_id, source.fingerprint)}, version=4)
    assert total(store, steps.run([reader])[reader].run_id) == 6
    assert executor.names == ["reader"]


@pytest.mark.parametrize(
    ("fn", "error", "status"), [(divide_by_zero, ZeroDivisionError, "FAILED"), (interrupt, KeyboardInterrupt, "KILLED")]
)
def test_a_step_that_ends_early_closes_its_run_and_the_next_command_resumes_it(store: Store, fn, error, status) -> None:
    version = 5 if fn is divide_by_zero else 6
    step = toy("fragile", 1, {"source": toy("source", version=version)}, fn, version)
    steps = scheduler(store, InProcessExecutor())
    with pytest.raises(error):
        steps.run([step])
    steps.close(interrupt=True)
    assert steps.failed == (step if fn is divide_by_zero else None)
    [run] = runs(store, step)
    assert run.info.status == status

    again, executor = recorded(store)
    mended = toy("fragile", 1, step.inputs, add, version)
    outcome = again.run([mended])[mended]
    assert executor.names == ["fragile"]
    assert outcome.run_id == run.info.run_id
    assert total(store, outcome.run_id) == 2
    assert [run.info.status for run in runs(store, step)] == ["FINISHED"]


def test_a_step_that_another_process_executes_is_waited_for_while_others_go_on(store: Store) -> None:
    shared, other = toy("shared", 1, version=7), toy("other", 2, version=7)
    run = StepRun(store, shared, {}, made_by="another study")
    steps, executor = recorded(store)
    finishing = threading.Timer(0.6, lambda: execute(run, shared.execute))
    finishing.start()
    outcomes = steps.run([shared, other])
    finishing.join()
    assert executor.names == ["other"]
    assert outcomes[shared] == Outcome(run.run_id, reused=True)
    assert len(runs(store, shared)) == 1


def test_a_step_that_another_process_finished_in_the_meantime_leaves_no_second_run(store: Store) -> None:
    step = toy("raced", 1, version=8)
    steps = scheduler(store, executor := RecordingExecutor())
    rival = StepRun(store, step, {}, made_by="another study")
    rival_id = rival.run_id
    steps._index.is_running = lambda fingerprint: False  # the look before the submission came too early
    ordinary_submit = executor.submit

    def submit(assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
        if not executor.assignments:
            execute(rival, step.execute)
        else:
            del steps._index.is_running  # from now on the scheduler sees the store as it is
        return ordinary_submit(assignment, on_progress)

    executor.submit = submit  # type: ignore[method-assign]
    outcome = steps.run([step])[step]
    assert outcome.run_id == rival_id
    assert [run.info.run_id for run in runs(store, step)] == [rival_id]


def test_a_forgotten_step_is_executed_anew(store: Store) -> None:
    step = toy("forgotten", version=9)
    steps, executor = recorded(store)
    first = steps.run([step])[step].run_id
    assert steps.find(step) == first
    steps.forget(step)
    assert steps.find(step) is None
    second = steps.run([step])[step].run_id
    assert second != first
    assert executor.assignments[-1].ignored_run_ids == {first}


def test_the_caller_may_fill_a_run_whose_inputs_are_executed_first(store: Store) -> None:
    step = Step("filled", "law", 10, {}, inputs={"source": toy("source", 4, version=10)})
    steps, executor = recorded(store)
    run = steps.start(step)
    assert run is not None and executor.names == ["source"]
    execute(run, lambda run: (run.folder / "number.txt").write_text("7"))
    steps.finish(step, run)
    assert steps.outcomes[step].run_id == run.run_id
    assert total(store, run.run_id) == 7

    again = scheduler(store, InProcessExecutor())
    assert again.start(step) is None
    assert again.outcomes[step] == Outcome(run.run_id, reused=True)


def test_a_run_may_answer_a_step_of_another_fingerprint(store: Store) -> None:
    step = toy("answered", version=11)
    steps, executor = recorded(store)
    steps.reuse(step, "another run")
    assert steps.run([step])[step] == Outcome("another run", reused=True)
    assert executor.names == []


def test_a_step_that_the_executor_refuses_is_refused_before_anything_is_executed(store: Store) -> None:
    class Choosy(RecordingExecutor):
        def check(self, step: Step) -> None:
            if step.name == "sum":
                raise UserError("sum: too large for this executor")

    steps = scheduler(store, executor := Choosy())
    with pytest.raises(UserError, match="too large"):
        steps.run([diamond(version=12)])
    assert executor.names == []


def test_stop_rules_and_the_one_who_asks_reach_the_run(store: Store) -> None:
    ruled, free = toy("ruled", 313, version=13), toy("free", 314, version=13)
    rule = lambda point: None  # noqa: E731
    steps, executor = recorded(store)
    outcomes = steps.run([ruled, free], made_by="a search", stop_rules={ruled: rule})
    assert [assignment.stop_rule for assignment in executor.assignments] == [rule, None]
    assert store.client().get_run(outcomes[free].run_id).data.tags["mlproject.made_by"] == "a search"


def test_a_lost_worker_is_one_line_that_names_all_steps_that_were_running(store: Store) -> None:
    class Losing(InProcessExecutor):
        slots = 2

        def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
            future: Future[Outcome | None] = Future()
            if assignment.step.name == "lost":
                future.set_exception(WorkerLostError("exit code -9", -9))
            return future

    steps = scheduler(store, Losing())
    with pytest.raises(
        MachineError, match=r"^lost: its process was ended from outside by SIGKILL \(beside it ran beside it\).* memory"
    ) as error:
        steps.run([toy("lost", 1, version=14), toy("beside it", 2, version=14)])
    assert "\n" not in str(error.value)


def test_no_more_than_the_slots_of_an_executor_are_submitted_at_a_time(store: Store) -> None:
    class Counting(InProcessExecutor):
        slots = 2
        running = 0

        def submit(self, assignment: Assignment, on_progress: OnProgress) -> Future[Outcome | None]:
            future: Future[Outcome | None] = Future()
            self.running += 1
            assert self.running <= self.slots

            def end() -> None:
                self.running -= 1
                future.set_result(Outcome(assignment.step.name, False))

            threading.Timer(0.05, end).start()
            return future

    listed = [toy(f"step {value}", value, version=15) for value in range(5)]
    outcomes = scheduler(store, Counting()).run(listed)
    assert [outcome.run_id for outcome in outcomes.values()] == [f"step {value}" for value in range(5)]


def test_a_step_that_meets_what_is_no_number_is_named_in_one_line(store: Store) -> None:
    steps, _ = recorded(store)
    with pytest.raises(NotFiniteError) as error:
        steps.run([toy("ppo against my-rm", fn=give_nan, version=31)])
    assert str(error.value) == (
        "proxy my-rm: gives nan to 1 of 8 responses, in the step 'ppo against my-rm'. Check it."
    )
