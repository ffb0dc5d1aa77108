import pytest

from knotwork.report import formats, summary
from knotwork.report.read import TaskResult, read_task

from .conftest import Results, verse

S = formats.SPACE


def read(results: Results, *tasks: str) -> list[TaskResult]:
    return [read_task(results.reports / task) for task in tasks]


def test_a_score_above_its_baseline(four_tasks: Results) -> None:
    (sst,) = read(four_tasks, "sst")
    assert summary.task_sentence(sst) == (
        f"LoRA reaches 48.3{S}% on SST (95{S}% interval 41.5–55.0), above the bag of words (40.5{S}%). "
        f"Trained on all rows, the bag of words reaches 45.5{S}%, within the interval."
    )


def test_an_interval_that_includes_its_baselines(four_tasks: Results) -> None:
    (quora,) = read(four_tasks, "quora")
    text = summary.task_sentence(quora)
    assert f"the interval includes the bag of words (69.0{S}%), so this run does not tell the two apart" in text
    assert f"reaches 73.5{S}%, above the interval" in text
    assert f"largest class gives 61.0{S}%, which is not beaten" in text


def test_a_score_below_its_baseline(four_tasks: Results) -> None:
    four_tasks.change("cfimdb", "metrics.json", baseline_tfidf=0.99, baseline_tfidf_all_rows=0.99)
    (cfimdb,) = read(four_tasks, "cfimdb")
    assert summary.task_sentence(cfimdb).endswith(f", below the bag of words (99.0{S}%).")


def test_sonnets_are_judged_by_the_generated_lines(four_tasks: Results) -> None:
    (sonnet,) = read(four_tasks, "sonnet")
    text = summary.task_sentence(sonnet)
    assert f"reach a chrF of 26.6 (95{S}% interval 25.1–28.0); the interval includes the lines of a random" in text
    assert text.endswith("perplexity of the true sonnets is 48.2 (44.0–53.1).")
    four_tasks.change("sonnet", "card.json", verse={"run": verse(0.2, 0.01), "true": verse(0.95, 0.93)})
    text = summary.task_sentence(read(four_tasks, "sonnet")[0])
    ours, true = f"20{S}% have ten syllables and 1{S}% of the pairs", f"of the true ones 95{S}% and 93{S}%."
    assert ours in text
    assert text.endswith(true)


def test_a_choice_among_samples_is_remarked(four_tasks: Results) -> None:
    four_tasks.change("sst", "card.json", parameters={"evaluate.generation.best_of": 4})
    found = read(four_tasks, "sst", "sonnet")
    assert not [remark for remark in summary.remarks(found, []) if "samples" in remark]
    four_tasks.change("sonnet", "card.json", parameters={"evaluate.generation.best_of": 4})
    (remark,) = [text for text in summary.remarks(read(four_tasks, "sst", "sonnet"), []) if "samples" in text]
    assert remark.startswith("On the sonnets each generated text is the one of 4 samples")


@pytest.mark.parametrize(
    "changed, expected",
    [
        (
            {},
            "LoRA beats a simple baseline on SST and CFIMDB, "
            "and cannot be told apart from it on Quora and the sonnets.",
        ),
        (
            {"sst": 0.9},
            "LoRA beats a simple baseline on CFIMDB, cannot be told apart from it on Quora and the sonnets, "
            "and falls short of it on SST.",
        ),
    ],
)
def test_the_overview_sorts_the_tasks(four_tasks: Results, changed: dict[str, float], expected: str) -> None:
    for task, baseline in changed.items():
        four_tasks.change(task, "metrics.json", baseline_tfidf=baseline)
    text = summary.overview(read(four_tasks, "sst", "cfimdb", "quora", "sonnet"))
    assert text.startswith(expected)


def test_the_explanation_speaks_of_the_tasks_that_are_there(four_tasks: Results) -> None:
    assert "sonnet" not in summary.explanation(read(four_tasks, "sst"))
    assert "bag of words" not in summary.explanation(read(four_tasks, "sonnet"))
    both = summary.explanation(read(four_tasks, "sst", "sonnet"))
    assert "bag of words" in both
    assert "random training sonnet" in both


def remarks(results: Results, *tasks: str) -> str:
    return " ".join(summary.remarks(read(results, *tasks), missing=[]))


def test_one_seed_is_remarked(results: Results) -> None:
    results.add("sst", seeds=(1, 2))
    results.add("quora")
    assert "With one seed" not in remarks(results, "sst")
    assert "With one seed" in remarks(results, "quora")


def test_selection_on_dev_is_remarked(four_tasks: Results) -> None:
    assert "on dev" not in remarks(four_tasks, "sst")
    four_tasks.change("sst", "card.json", selection="dev")
    assert "chosen on dev (the paper’s protocol) on SST" in remarks(four_tasks, "sst", "quora")


@pytest.mark.parametrize(
    "stalled, collapsed, expected",
    [
        (0, 0, ["No training collapsed or stalled."]),
        (-1, 0, ["No training collapsed.", "not assessed on SST"]),
        (1, 0, ["stalled on SST"]),
        (0, 1, ["collapsed on SST"]),
        (-1, 1, ["collapsed on SST", "not assessed on SST"]),
    ],
)
def test_failures_are_remarked(four_tasks: Results, stalled: int, collapsed: int, expected: list[str]) -> None:
    four_tasks.change("sst", "metrics.json", stalled=stalled, collapsed=collapsed)
    text = remarks(four_tasks, "sst")
    for part in expected:
        assert part in text
    assert ("No training" in text) == (collapsed != 1 and stalled != 1)


@pytest.mark.parametrize(
    "manifest, base, present, absent",
    [
        ("sample", "knotwork-base", ["other texts (SST and Quora)", "knotwork-base instead of GPT-2"], []),
        ("cs224n-quora-mini", "openai-community/gpt2", ["other texts (Quora)"], ["another base"]),
        ("cs224n", "knotwork-base", ["another base"], ["other texts"]),
        ("cs224n", "gpt2", [], ["The paper"]),
    ],
)
def test_differences_from_the_paper_are_named(
    four_tasks: Results, manifest: str, base: str, present: list[str], absent: list[str]
) -> None:
    for task in ("sst", "quora"):
        four_tasks.change(
            task, "card.json", corpus={"manifest": manifest, "files": {}}, base={"name": base, "sha256": "aa"}
        )
    text = remarks(four_tasks, "sst", "quora")
    for part in present:
        assert part in text
    for part in absent:
        assert part not in text


def test_results_of_one_run_get_no_notice(four_tasks: Results) -> None:
    assert summary.notice(read(four_tasks, "sst", "quora", "sonnet")) is None


def test_a_stale_mix_gets_a_notice(results: Results) -> None:
    results.add("sst", "sonnet")
    results.add("quora", adapter="full", seeds=(1, 2))
    found = summary.notice(read(results, "sst", "quora", "sonnet"))
    assert found.points == [
        "Adapter: LoRA on SST and the sonnets; full fine-tuning on Quora.",
        "Seeds: 1 on SST and the sonnets; 1, 2 on Quora.",
    ]


def test_two_bases_of_one_name_get_a_notice(four_tasks: Results) -> None:
    four_tasks.change("sst", "card.json", base={"name": "knotwork-base", "sha256": "77" * 32})
    (point,) = summary.notice(read(four_tasks, "sst", "quora")).points
    assert "knotwork-base (777777777777) on SST" in point


def test_tasks_without_results_are_named(four_tasks: Results) -> None:
    found = summary.not_run(read(four_tasks, "sst", "sonnet"), ["sst", "sonnet", "symbolic"])
    assert found == ["equal formulas", "CFIMDB", "Quora"]
