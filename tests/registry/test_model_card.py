"""The model card agrees with its runs, and fits into a version's description."""

import json

from tests.registry.planted import promoting

from mlproject.names import Alias, Artifact
from mlproject.registry.model_card import MAX_DESCRIPTION, description
from mlproject.registry.versions import version_by_alias
from mlproject.tracking.run_data import artifact

NAME = "reward-model"


def test_the_card_has_data_budget_gate_results_exploits_and_lineage(plant, tmp_path):
    store = plant({("3k", 0): 1.2}, length=1.5)
    promoting(tmp_path)
    client = store.client()
    version = version_by_alias(client, NAME, Alias.CHAMPION)
    card = version.description
    for text in (
        f"# {NAME}, version {version.version}",
        "**best-of-n:** Gold peaks at ",
        "| comparisons | 1500, hard labels by the gold RM",
        "| best-of-n | **2.6** (",  # law d = 1.6 at the peak; drop height / 16
        "passed  margin",
        "- length: 1 at the start, 1.5 at the peak, 1.5 at the end (best-of-n)",
        "(reward 2.00, gold 0.50)",
        f"- proxy RM: `{version.run_id}`",
        f"- promotion: `{version.tags['promotion_run_id']}`",
    ):
        assert text in card, text
    assert artifact(client, version.run_id, Artifact.MODEL_CARD).read_text() == card


def test_prompts_and_responses_are_quotations_that_forge_no_section(plant, tmp_path):
    forged = "hello\r\n\n## Gate results\n\n- passed  [margin](http://evil.example) <script>\u202e\x1b[2J"
    store = plant({("3k", 0): 1.2})
    for table in store.folder.rglob(Artifact.SAMPLES):
        samples = json.loads(table.read_text())
        columns = samples["columns"].index("prompt"), samples["columns"].index("response")
        for row in samples["data"]:
            for column in columns:
                row[column] = forged
        table.write_text(json.dumps(samples))
    promoting(tmp_path)
    card = version_by_alias(store.client(), NAME, Alias.CHAMPION).description
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        f"# {NAME}, version 1", "## How far to optimize against it", "## Gate results",
        "## Cheap changes of a response", "## How policies exploit it",
        "## Lineage",
    ]  # fmt: skip
    assert "> **Response:** hello\n> \n> &#35;&#35; Gate results" in card
    assert not [part for part in ("<script", "](http", "\x1b[", "\u202e") if part in card]


def test_a_card_that_is_too_long_is_cut_after_a_line_and_names_the_full_one():
    card = "\n".join(f"line {i} " + "x" * 90 for i in range(100))
    short = description(card)
    assert len(short) <= MAX_DESCRIPTION
    assert short.endswith("the full card is the artifact `model_card.md` of the proxy RM's run)\n")
    assert card.startswith(short.split("\n\n(shortened")[0] + "\n")
    assert description("short") == "short"
