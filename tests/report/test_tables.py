from knotwork.report import formats, tables
from knotwork.report.elements import Cell, Table
from knotwork.report.read import TaskResult, Timing, read_task

from .conftest import Results, interval, verse

S = formats.SPACE


def read(results: Results, *tasks: str) -> list[TaskResult]:
    return [read_task(results.reports / task) for task in tasks]


def column(table: Table, name: str) -> list[Cell]:
    return [row[table.head.index(name)] for row in table.rows]


def test_accuracies_stand_beside_baselines_and_the_paper(four_tasks: Results) -> None:
    table = tables.accuracies(read(four_tasks, "sst", "cfimdb", "quora"), "LoRA")
    assert column(table, "LoRA")[0] == Cell(f"48.3{S}%", "41.5–55.0")
    assert column(table, "Largest class")[0] == Cell(f"26.5{S}%")
    assert column(table, "Bag of words, same rows")[2] == Cell(f"69.0{S}%")
    assert column(table, "Bag of words, all rows")[2] == Cell(f"73.5{S}%")
    assert column(table, "The paper’s") == [
        Cell(f"55.2{S}%", "test"),
        Cell(f"99.2{S}%", "dev"),
        Cell(f"89.9{S}%", "test"),
    ]
    assert "SD" not in table.head


def test_several_seeds_add_their_deviation(results: Results) -> None:
    results.add("sst", seeds=(1, 2, 3))
    results.add("quora")
    table = tables.accuracies(read(results, "sst", "quora"), "LoRA")
    assert column(table, "SD") == [Cell("1.2", "3 seeds"), Cell("–", "one seed")]
    assert column(tables.seeds(read(results, "sst")[0]), "Run") == [Cell(f"seed {n}") for n in (1, 2, 3)]


def test_a_row_says_what_sets_it_apart(results: Results) -> None:
    results.add("sst")
    results.add("quora", adapter="full")
    results.change("sst", "card.json", selection="dev")
    table = tables.accuracies(read(results, "sst", "quora"), "LoRA")
    assert column(table, "Task") == [Cell("SST", "chosen on dev"), Cell("Quora", "full fine-tuning")]


def test_chrf_has_a_random_sonnet_and_only_the_whole_one_the_papers_figure(four_tasks: Results) -> None:
    table = tables.chrf(read(four_tasks, "sonnet")[0])
    assert column(table, "LoRA") == [
        Cell("26.6", "25.1–28.0"),
        Cell("41.9", "40.6–43.1"),
        Cell("48.2", "44.0–53.1"),
    ]
    assert column(table, "Random sonnet") == [Cell("26.2"), Cell("41.5"), Cell("–")]
    assert column(table, "The paper’s") == [Cell("–"), Cell("42.1"), Cell("–")]


def test_the_untrained_base_stands_where_it_was_measured(four_tasks: Results) -> None:
    assert "Untrained base" not in tables.accuracies(read(four_tasks, "sst", "quora"), "LoRA").head
    four_tasks.change("quora", "metrics.json", baseline_zero_shot=0.51)
    table = tables.accuracies(read(four_tasks, "sst", "quora"), "LoRA")
    assert column(table, "Untrained base") == [Cell("–"), Cell(f"51.0{S}%")]
    assert "the likeliest label word" in table.caption


def test_sonnets_stand_beside_every_baseline(results: Results) -> None:
    results.add("sonnet", seeds=(1, 2))
    chrf = {"baseline_copied_lines_chrf_whole": 38.0, "baseline_copied_lines_chrf_generated": 22.0}
    base = {"baseline_zero_shot_chrf_whole": 35.0, "baseline_zero_shot_chrf_generated": 17.0}
    base |= {"baseline_zero_shot_perplexity": 90.0, "baseline_zero_shot_perplexity_continuation": 95.0}
    own = interval("perplexity_continuation", 50.0, 45.0, 55.0)
    results.change("sonnet", "metrics.json", **chrf, **base, **own)
    table = tables.chrf(read(results, "sonnet")[0])
    labels = ["chrF, generated lines", "chrF, whole sonnet"]
    labels += ["Perplexity, after the given lines", "Perplexity, whole sonnet"]
    assert [cell.text for cell in column(table, "Score")] == labels
    assert column(table, "LoRA")[2] == Cell("50.0", "45.0–55.0")
    assert [cell.text for cell in column(table, "Copied lines")] == ["22.0", "38.0", "–", "–"]
    assert [cell.text for cell in column(table, "Untrained base")] == ["17.0", "35.0", "95.0", "90.0"]
    assert [cell.text for cell in column(table, "SD")] == ["0.4", "0.3", "–", "–"]


def test_the_form_of_sonnets_stands_beside_that_of_true_ones(results: Results) -> None:
    results.add("sonnet")
    assert tables.verse(read(results, "sonnet")[0]) is None
    results.change("sonnet", "card.json", verse={"run": verse(0.232, 0.014), "true": verse(0.95, 0.931)})
    results.change("sonnet", "metrics.json", **interval("ten_syllables", 0.232, 0.178, 0.291))
    table = tables.verse(read(results, "sonnet")[0])
    assert table.head == ("Of the generated lines", "LoRA", "True sonnets")
    assert column(table, "LoRA")[0] == Cell(f"23.2{S}%", "17.8–29.1")
    assert column(table, "True sonnets")[:2] == [Cell(f"95.0{S}%"), Cell(f"93.1{S}%")]
    assert column(table, "True sonnets")[-1] == Cell("3.1", "at most 5")


def test_further_scores(four_tasks: Results) -> None:
    table = tables.measures(read(four_tasks, "sst")[0])
    assert column(table, "NLL, nats") == [Cell("1.213", "1.101–1.334")]
    assert column(table, "Trained on") == [Cell("540 rows", "of 600")]


def test_difficulty_has_levels_and_deeper_formulas(results: Results) -> None:
    results.add("sst")
    assert tables.difficulty(read(results, "sst")[0]) is None
    results.change("sst", "metrics.json", **interval("extrapolation_accuracy", 0.412, 0.37, 0.45))
    assert tables.difficulty(read(results, "sst")[0]).head == ("Task", "Extrapolation")
    results.change("sst", "metrics.json", accuracy_level_1=0.7, accuracy_level_3=0.5)
    results.change("sst", "card.json", levels={"1": 68, "3": 44})
    table = tables.difficulty(read(results, "sst")[0])
    assert table.head == ("Task", "Level 1", "Level 3", "Extrapolation")
    assert table.rows[0][1:] == (
        Cell(f"70.0{S}%", "68 rows"),
        Cell(f"50.0{S}%", "44 rows"),
        Cell(f"41.2{S}%", "37.0–45.0"),
    )


def test_a_run_without_epochs_keeps_none(four_tasks: Results) -> None:
    (sonnet,) = read(four_tasks, "sonnet")
    seed = sonnet.card.per_seed[0].model_dump() | {"best_epoch": None, "epochs": 0}
    four_tasks.change("sonnet", "card.json", per_seed=[seed])
    table = tables.seeds(read(four_tasks, "sonnet")[0])
    assert column(table, "Kept epoch") == [Cell("–")]
    assert column(table, "chrF, generated") == [Cell("26.6")]


def test_failures_name_seeds_and_reasons(results: Results) -> None:
    results.add("sst", seeds=(1, 2))
    (sst,) = read(results, "sst")
    seeds = [seed.model_dump() for seed in sst.card.per_seed]
    seeds[1] |= {"stall": "yes", "reasons": ["train loss improved by 0.4 % over two epochs"]}
    results.change("sst", "card.json", per_seed=seeds)
    table = tables.failures(read(results, "sst"))
    assert column(table, "Stall") == [Cell("no (seed 1); yes (seed 2)")]
    assert column(table, "Collapse") == [Cell("no")]
    assert column(table, "Reasons") == [Cell("seed 2: train loss improved by 0.4 % over two epochs")]


def test_costs_have_units(four_tasks: Results) -> None:
    four_tasks.change("sonnet", "metrics.json", tokens_per_second=0, truncated=3)
    table = tables.costs(read(four_tasks, "sst", "sonnet"))
    assert column(table, "Trained parameters")[0] == Cell("589,824", f"4.2{S}% of the base")
    assert column(table, "Training") == [Cell(f"41.3{S}s", "1,240 tokens/s"), Cell(f"41.3{S}s")]
    assert column(table, "Peak memory")[0] == Cell(f"912{S}MB")
    assert column(table, "Cut texts") == [Cell("0"), Cell("3")]


def test_stage_times_sum_over_tasks_and_seeds() -> None:
    timings = [
        Timing("evaluate", "sst", None, 20.0),
        Timing("train", "sst", 1, 30.0),
        Timing("train", "sst", 2, 30.0),
        Timing("train", "quora", 1, 20.0),
    ]
    table = tables.stage_times(timings)
    assert column(table, "Stage") == [Cell("train"), Cell("evaluate"), Cell("all")]
    assert column(table, "Share")[0] == Cell(f"80.0{S}%", share=0.8)
    assert column(table, "Of which")[0] == Cell(f"sst 1{S}min 00{S}s, quora 20.0{S}s")
    assert column(table, "Time")[2] == Cell(f"1{S}min 40{S}s")


def test_parameters_are_all_there_and_differences_named(four_tasks: Results) -> None:
    (sst,) = read(four_tasks, "sst")
    four_tasks.change("sst", "card.json", parameters=sst.card.parameters | {"train.batch.size": 4})
    both = read(four_tasks, "sst", "quora")
    groups = tables.parameters(both)
    shown = {
        key if group.title == "run" else f"{group.title}.{key}": values
        for group in groups
        for key, values in group.entries
    }
    assert shown.keys() == both[0].card.parameters.keys() | both[1].card.parameters.keys()
    assert shown["train.batch.size"] == ["sst: 4", "quora: 16"]
    assert shown["lora.target_modules"] == ["c_attn, c_fc, c_proj"]
    assert shown["corpus.max_rows.sst"] == ["null"]
    assert shown["lora.faithful"] == ["false"]
