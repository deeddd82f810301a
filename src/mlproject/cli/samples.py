"""What the entry points do that read a table of scored samples."""

from __future__ import annotations

from dataclasses import replace

from mlproject.cli.console import show_curve_links
from mlproject.cli.entry_points import RM, SAMPLES
from mlproject.cli.parser import Command
from mlproject.cli.promotions import close_promotion, refuse_failed
from mlproject.errors import RefusedError, UserError
from mlproject.execution.invocation import Invocation
from mlproject.options.columns import hint, listed
from mlproject.registry.from_samples import SamplesCandidates, evaluate_samples
from mlproject.registry.gates import Gates
from mlproject.registry.promote import decide
from mlproject.report.samples import keep_table, make_comparison
from mlproject.report.study_report import write_report
from mlproject.samples.model_of_column import parse_models
from mlproject.samples.pool import Choice
from mlproject.samples.steps import SamplesRequest, plan_comparison


def compare(command: Command) -> None:
    """Compare the reward models of a table of scored samples."""
    request = _samples_request(command)
    config = command.config.replace(methods=("best-of-n",))
    with Invocation(replace(command, config=config)) as invocation:
        make_comparison(invocation, request)
        write_report(invocation)
        show_curve_links(invocation)


def promote_from_samples(command: Command, gates: Gates, dry_run: bool) -> None:
    """Evaluate a reward model of a table of scored samples by the gates that such a table can answer."""
    request = _samples_request(command)
    rms = list(request.pool.scores)  # the file is read before a store is opened
    column, models = command.arguments["proxy"], parse_models(command.arguments["rm"], rms)
    if column and column not in rms:
        raise UserError(
            f"proxy={column}: must be a reward model of the table{hint(column, rms)}; these are {listed(rms)}. "
            "Give one of them, or leave it out."
        )
    plan = plan_comparison(command.config, request)
    with Invocation(replace(command, config=command.config.replace(methods=("best-of-n",)))) as invocation:
        keep_table(invocation, plan, request)
        candidates = SamplesCandidates(plan, column, models)
        decision = decide(invocation, lambda: evaluate_samples(invocation, gates, candidates), dry_run)
        close_promotion(invocation, decision)
    refuse_failed(decision)
    if decision.dry_run and not dry_run:
        name = decision.candidate.name
        raise RefusedError(
            f"nothing was promoted: {name} passed, but a column of scores is no model that could be registered. Give "
            f"its checkpoint, rm={name}=FOLDER, or dry_run=true for a rehearsal; run {decision.run_id}"
        )


def refuse_without_samples(command: Command) -> None:
    """Parameters that choose in a table of samples mean nothing without one."""
    for parameter in (*SAMPLES, RM):
        if command.arguments[parameter.name] != parameter.default:
            raise UserError(
                f"{parameter.name}={command.arguments[parameter.name]}: goes with samples=FILE alone. Give it, or "
                f"leave {parameter.name} out."
            )


def _samples_request(command: Command) -> SamplesRequest:
    """The table that a command names, with what the user chose about it."""
    arguments = command.arguments
    request = SamplesRequest(
        arguments["samples"],
        arguments["columns"],
        Choice(arguments["rms"], command.whole_number("min_samples"), arguments["duplicates"]),
        command.whole_number("n_max"),
        command.config.bad_lines == "skip",
    )
    assert request.pool  # the file is read before a store is opened
    return request
