"""The report as one page."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from mlproject.recommendation.record import to_dict
from mlproject.report.page import render
from mlproject.report.recommended import laws_of, recommendation_of
from mlproject.report.records import Report
from mlproject.report.sample_cards import chosen_prompts, sample_blocks


class PageParser(HTMLParser):
    """Collects what a browser would load, and the cells of every table."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data.strip() + " "

    def row(self, *starts: str) -> list[str]:
        """The first row whose cells start so."""
        return next(
            [cell.strip() for cell in row]
            for row in self.rows
            if all(cell.strip().startswith(start) for cell, start in zip(row, starts, strict=False))
            and len(row) >= len(starts)
        )


@pytest.fixture(scope="module")
def page(report: Report, figures: dict[str, Path]) -> str:
    return render(report, figures)


def test_the_page_loads_no_external_resources(page: str, report: Report) -> None:
    parsed = PageParser(page)
    sources = [attrs["src"] or "" for _, attrs in parsed.tags if "src" in attrs]
    links = [attrs["href"] or "" for _, attrs in parsed.tags if "href" in attrs]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert [link for link in links if not link.startswith("#")] == [report.link]
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in parsed.tags}
    assert "@import" not in page and "url(" not in page


def test_links_within_the_page_have_targets(page: str) -> None:
    tags = PageParser(page).tags
    targets = {attrs["href"] for tag, attrs in tags if tag == "a" and (attrs["href"] or "").startswith("#")}
    assert targets <= {f"#{attrs['id']}" for _, attrs in tags if "id" in attrs}


def test_embedded_figures_are_whole_png_images(page: str) -> None:
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == 7  # the headline is for the README
    for image in images:
        picture = Image.open(io.BytesIO(base64.b64decode(image, validate=True)))
        picture.load()
        assert picture.format == "PNG" and picture.width > 1000


def test_every_size_has_its_row_in_the_peak_table(page: str, report: Report) -> None:
    rows = [row for row in PageParser(page).rows if row and "parameters" in row[0] and len(row) == 9]
    assert [row[0].split()[0] for row in rows] == ["1k", "3k", "25k", "100k"] * 2
    assert "25,408 parameters" in rows[2][0]


def test_numbers_of_a_group_are_formatted_with_their_errors(page: str, report: Report) -> None:
    group = next(g for g in report.laws["groups"] if (g["method"], g["rm_size"]) == ("ppo", "1k"))
    row = [row for row in PageParser(page).rows if row and row[0].startswith("1k 968") and len(row) == 9][-1]
    assert row[1].strip() == f"{group['measured_peak_gold']:.2f} ± {group['measured_peak_gold_se']:.2f}"
    peak = laws_of(report)["ppo", "1k"]
    assert row[3].split(" ", 1)[1].strip() == f"[{peak.gold.low:.2f}, {peak.gold.high:.2f}]"
    assert row[5].strip() == (
        f"{group['drop']:.2f} ± {group['drop_se']:.2f} {group['drop'] / group['drop_se']:.1f} SEs"
    )
    assert row[6].strip() == "0.620 [0.590, 0.660]"
    assert row[8].split() == ["0.985", "0.031", "/", "0.057"]


def test_null_is_an_en_dash(page: str) -> None:
    row = next(row for row in PageParser(page).rows if row and row[0].startswith("100k 100,160") and len(row) == 9)
    assert [row[3].strip(), row[4].strip()] == ["–", "–"]  # the law of best-of-n at 100k has no peak
    assert PageParser(page).row("3k", "3,376", "0")[5] == "–"  # no calibration error
    assert PageParser(page).row("4", "fail", "1k")[4:6] == ["–", "–"]
    assert not re.search(r"\b(None|nan|inf|null)\b", re.sub(r"base64,[^\"]+", "", page))


def test_negative_numbers_have_a_true_minus_sign(page: str) -> None:
    slope = PageParser(page).row("PPO", "β")[2]
    assert slope.startswith("−0.0") and "-" not in slope


def test_text_from_a_study_is_escaped(page: str, report: Report) -> None:
    attack = "<script>alert('1')</script> please restart"
    assert any(row["response"] == attack for row in report.policy_runs[0].samples)
    assert attack not in page and "<script" not in page
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; please restart" in page


def test_the_summary_is_computed_from_the_data(page: str, report: Report) -> None:
    summary = re.sub(r"<[^>]+>", "", page[page.index('id="summary"') : page.index('id="curves"')])
    groups = [g for g in report.laws["groups"] if g["method"] == "ppo"]
    assert f"falls by {groups[0]['drop']:.2f}" in summary
    assert all(f"{group['rm_size']} " in summary for group in groups)


def test_the_recommendation_comes_first_and_is_that_of_the_record(page: str, report: Report) -> None:
    shown = html.unescape(re.sub(r"<[^>]+>", "", page[page.index('id="recommendation"') : page.index('id="summary"')]))
    sentences = to_dict(recommendation_of(report))["sentences"]
    assert sentences[0].startswith("Use the ") and sentences[0] in shown and sentences[1] in shown


def test_samples_show_start_peak_and_end_for_the_smallest_and_the_largest_rm(report: Report) -> None:
    blocks = sample_blocks(report)
    assert [block["title"].split(", seed")[0] for block in blocks] == [
        *("PPO, smallest RM (1k)", "PPO, largest RM (100k)"),
        *("Best-of-n, smallest RM (1k)", "Best-of-n, largest RM (100k)"),
    ]
    for block in blocks:
        assert len(block["prompts"]) == 3
        for prompt in block["prompts"]:
            assert [card["stage"] for card in prompt["cards"]] == ["start", "peak", "end"]


def test_prompts_are_chosen_by_their_change_of_gold_from_start_to_peak_and_the_page_says_so() -> None:
    changes = {"a": 0.5, "b": -0.2, "c": 0.1, "d": 1.5, "e": 0.3}
    rows = {(p, stage): {"gold": 0.0} for p in changes for stage in ("start", "end")}
    rows |= {(prompt, "peak"): {"gold": change} for prompt, change in changes.items()}
    assert chosen_prompts(rows) == {
        "e": "median change of gold from start to peak, +0.30",
        "d": "largest rise of gold from start to peak, +1.50",
        "b": "largest fall of gold from start to peak, −0.20",
    }
    rows["b", "peak"] = {"gold": 0.05}
    assert chosen_prompts(rows)["b"] == "smallest rise of gold from start to peak, +0.05"
    assert list(chosen_prompts({("a", s): {"gold": None} for s in ("start", "peak", "end")})) == ["a"]
    assert list(chosen_prompts({key: row for key, row in rows.items() if key[0] == "c"})) == ["c"]
    assert chosen_prompts({}) == {}


def test_a_card_marks_a_fooled_proxy(report: Report, page: str) -> None:
    start, peak, end = sample_blocks(report)[0]["prompts"][0]["cards"]
    assert (start["trend"], peak["trend"], end["trend"]) == ("flat", "rise", "fall")
    assert end["fooled"] and not peak["fooled"]
    assert "proxy up, gold down" in page
    changes = {score["name"]: score["change"] for score in end["scores"]}
    values = [{score["name"]: score["value"] for score in card["scores"]} for card in (peak, end)]
    assert changes["gold"] == pytest.approx(values[1]["gold"] - values[0]["gold"])
    assert all(s["left"] >= 0 and s["left"] + s["bar"] <= 100.01 for c in (start, peak, end) for s in c["scores"])


def test_sections_without_data_are_absent(bare_report: Report) -> None:
    page = render(bare_report, {})
    for section in ("search", "promotion", "samples", "proxies", "peaks", "coefficients"):
        assert f'id="{section}"' not in page and f'href="#{section}"' not in page
    assert "<img" not in page and "<h1>Bare</h1>" in page


def test_promotion_and_search_have_sections_if_they_have_data(page: str) -> None:
    assert 'id="promotion"' in page and "1.43 ± 0.03" in page
    assert [
        row[0].strip() for row in PageParser(page).rows if len(row) == 7 and row[-1].strip() in ("reused", "new")
    ] == [
        *("0", "1", "3", "2", "4")  # best peak first, failed last
    ]


def test_the_gates_of_a_promotion_are_a_table(report: Report) -> None:
    gates = [
        {"gate": "peak_gold", "wanted": "at least 0.5", "holds": True, "value": 1.2, "low": 1.1, "high": 1.3},
        {"gate": "gamma", "wanted": "at most 0.5", "holds": False, "value": 0.7, "low": 0.7, "high": 0.7},
    ]
    parsed = PageParser(render(replace(report, gates=gates), {}))
    assert [cell.strip() for cell in parsed.row("peak_gold", "passed")] == [
        *("peak_gold highest gold on the curve prompts, standard deviations", "passed"),
        *("1.200 [1.100, 1.300]", "at least 0.5"),
    ]  # fmt: skip
    assert parsed.row("gamma", "failed")[2].strip() == "0.700"


def test_a_link_that_is_not_a_web_address_is_not_clickable(report: Report) -> None:
    page = render(replace(report, link="javascript:alert(1)"), {})
    assert "javascript:alert(1)" in page and 'href="javascript' not in page


def test_null_laws_render_as_dashes(report: Report) -> None:
    constant = {"method", "form", "rm_size", "rm_params", "seeds"}
    groups = [{key: value if key in constant else None for key, value in g.items()} for g in report.laws["groups"]]
    ranks = [{"method": "ppo", "seed": 0, "spearman": None}]
    page = render(replace(report, laws={"groups": groups, "rank_correlations": ranks}), {})
    row = next(row for row in PageParser(page).rows if row and row[0].startswith("1k 968"))
    cells = [cell.strip() for cell in row[1:]]
    assert [cells[0], *cells[4:]] == ["–"] * 4 + ["– – / –"]  # the curves alone say where gold peaks


def test_every_cell_carries_the_heading_of_its_column_for_narrow_pages(page: str) -> None:
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        head, _, body = table.partition("</thead>")
        headings = [
            " ".join(html.unescape(re.sub("<[^>]+>", " ", h)).split()) for h in re.findall("<th[^>]*>(.*?)</th>", head)
        ]
        rows = [re.findall('<td data-label="([^"]*)"', row) for row in body.split("</tr>")[:-1]]
        assert rows and all([" ".join(html.unescape(label).split()) for label in row] == headings[1:] for row in rows)
        assert body.count("<td") == sum(map(len, rows))


def test_a_study_without_reward_models_speaks_of_none(
    bare_report: Report, report: Report, figures: dict[str, Path]
) -> None:
    runs = [replace(run, method="dpo", rm_size="implicit") for run in bare_report.policy_runs if run.method == "ppo"]
    page = render(replace(bare_report, policy_runs=runs), {"curves-dpo": figures["curves-ppo"]})
    assert "RM size" not in page
    assert "against a proxy reward model" not in page
    assert "dashed is the implicit reward" in page and "<dt>implicit reward</dt>" in page
    assert "implicit reward" not in render(report, {})
