"""One adapter for several tasks: trained, resumed, saved, used, evaluated and compared."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

import knotwork
from knotwork import adapters, models
from knotwork.adapters.adapter import Setup
from knotwork.answers import losses
from knotwork.compare import Output, compare
from knotwork.errors import UserError
from knotwork.evaluation import evaluate_task
from knotwork.files import read_json, write_json
from knotwork.graphs import write_marker
from knotwork.params import ADAPTERS
from knotwork.report.build import build
from knotwork.report.read import read_results
from knotwork.training import run as training
from knotwork.training.parts import answer_of, read_part, setup_batches
from knotwork.training.run import joint_figures, selection_figures, train_run
from knotwork.training.trainer import KnotTrainer

MEMBERS = ["sst", "quora", "sonnet"]
SMALL = {
    "multitask.members": MEMBERS,
    "train.epochs.multitask": 2,
    "train.epochs.sst": 1,
    "evaluate.bootstrap": 100,
    "evaluate.generation.max_new_tokens": 20,
}
WEIGHTS = {"head": "head", "full": "model"}  # the other adapters' are PEFT's
TEXTS = ["A warm, quiet film.", "Not one joke lands."]
BASELINES = {
    **{name: {"largest_class": 0.3, "tfidf": 0.4, "tfidf_all_rows": 0.5} for name in ("sst", "quora")},
    "sonnet": {"random_sonnet_chrf_whole": 30.0, "random_sonnet_chrf_generated": 20.0, "verse": {}},
}
ZERO_SHOT = {"sst": {"zero_shot": 0.2}, "quora": {"zero_shot": 0.5}, "sonnet": {"verse": {}}}


@pytest.fixture(scope="module")
def joint(with_graphs, tmp_path_factory):
    """A function that gives the folder of data, the members' files below multitask's; with graphs for graph."""
    plain, graphs = tmp_path_factory.mktemp("joint"), tmp_path_factory.mktemp("joint-graphs")
    for folder in (plain, graphs):
        shutil.copytree(with_graphs / "identity", folder / "identity")
        for name in MEMBERS:
            shutil.copytree(with_graphs / "raw" / name, folder / "raw/multitask" / name)
        write_json(folder / "baselines/multitask.json", BASELINES)
        write_json(folder / "zero_shot/multitask.json", ZERO_SHOT)
    write_marker(plain / "graphs/multitask")
    for name in ("sst", "sonnet"):
        shutil.copytree(with_graphs / "graphs" / name, graphs / "graphs/multitask" / name)
    return lambda adapter: graphs if adapter == "graph" else plain


@pytest.fixture(scope="module")
def settings(parameters):
    """A function that gives the parameters of an adapter; the tests' graphs are of two members."""

    def work(adapter="lora", **overrides):
        members = ["sst", "sonnet"] if adapter == "graph" else MEMBERS
        given = {key.replace("__", "."): value for key, value in overrides.items()}
        return parameters({**SMALL, "adapter": adapter, "multitask.members": members, **given})

    return work


@pytest.fixture(scope="module")
def trained(joint, settings, tmp_path_factory):
    """A function that gives an adapter's run, trained once for the module."""
    home = tmp_path_factory.mktemp("runs")

    def work(adapter):
        place = home / adapter / "models/multitask/seed-1"
        if not place.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(home)
                train_run(settings(adapter), "multitask", 1, joint(adapter), place)
        return place

    return work


class Work:
    """A prepared model of several tasks, and the parts that it is trained on."""

    def __init__(self, params, data, base):
        self.adapter, tokenizer = adapters.get(params.adapter), models.load_tokenizer(base)
        members = params.members("multitask")
        self.parts = [read_part(params, member, data, tokenizer, self.adapter) for member in members]
        self.answer = answer_of(params, "multitask", self.parts, tokenizer)
        self.fresh = models.fresh_base(base, self.answer, params.base.max_length, 1)
        graphs = data / "graphs" / members[0].place
        setup = Setup(None, 1, lambda: setup_batches(self.parts, self.answer, 1), graphs)
        self.model = self.adapter.prepare(self.fresh(), params.chosen, self.answer, setup)

    def batch(self, part):
        batch = self.answer.collate(part.examples[:4])
        return batch, batch.pop("labels")

    @torch.no_grad()
    def logits(self, model):
        model.requires_grad_(False).eval()
        return [self.answer.logits(model, self.batch(part)[0]) for part in self.parts]

    def step(self):
        """A step on every task; gives the names of the tensors that got a gradient."""
        trainable = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        optimizer = torch.optim.AdamW(trainable.values(), lr=1e-2)
        for _ in range(2):
            for part in self.parts:
                batch, labels = self.batch(part)
                loss = losses(self.answer.logits(self.model, batch), labels).mean()
                if loss.requires_grad:
                    loss.backward()
            seen = {name for name, value in trainable.items() if value.grad is not None and value.grad.any()}
            optimizer.step()
            optimizer.zero_grad()
        return trainable.keys() - seen


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_learns_every_head_and_reloads_bit_identically(adapter, joint, settings, tiny_base, tmp_path):
    work = Work(settings(adapter), joint(adapter), tiny_base)
    before = work.logits(work.fresh())
    if adapter not in ("head", "full"):
        with torch.no_grad():
            started = [work.answer.logits(work.model.eval(), work.batch(part)[0]) for part in work.parts]
        # At step 0 the heads, and the language model, see the base.
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(started, before, strict=True))
    assert work.step() == set()
    work.adapter.save(work.model, tmp_path, work.answer)
    after = work.logits(work.model)
    assert all(
        torch.equal(a, b)
        for a, b in zip(work.logits(work.adapter.load(tmp_path, work.fresh, work.answer)), after, strict=True)
    )
    changed = [not torch.allclose(a, b, atol=1e-3) for a, b in zip(after, before, strict=True)]
    assert changed == [adapter != "head" or part.task.name != "sonnet" for part in work.parts]


@pytest.mark.parametrize("adapter", ["lora", "kan", "graph"])
def test_the_format_is_pefts(trained, adapter):
    place = trained(adapter)
    assert read_json(place / "adapter_config.json")["modules_to_save"] == ["score"]
    tensors = load_file(place / "adapter_model.safetensors")
    heads = {name: value.shape[0] for name, value in tensors.items() if ".score." in name}
    assert heads == {
        f"base_model.model.score.tasks.{task}.weight": count
        for task, count in {"sst": 5, "quora": 2}.items()
        if task == "sst" or adapter != "graph"
    }
    run = knotwork.load_run(place)
    assert isinstance(run.model, PeftModel)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_loaded_model_is_the_trained_one(trained, joint, settings, adapter):
    """Loaded weights give each member's selection figures of the chosen epoch, as training wrote them down."""
    place, params = trained(adapter), settings(adapter)
    run = knotwork.load_run(place)
    history = pd.read_csv(place / "history.csv").set_index("epoch").loc[run.card["training"]["best_epoch"]]
    for member in params.members("multitask"):
        if adapter == "head" and member.task == "sonnet":
            assert np.isnan(history["sonnet_selection_loss"])
            continue
        part = read_part(params, member, joint(adapter), run.tokenizer, adapters.get(adapter))
        own = run.member(member.task)
        figures = selection_figures(own.model, own.answer, part.selection)
        assert figures["loss"] == pytest.approx(history[f"{member.task}_selection_loss"], rel=1e-4)
        metric = own.card["training"]["selection_metric"]
        assert metric == pytest.approx(history[f"{member.task}_selection_metric"], rel=1e-6)


def test_the_card_tells_what_decided_the_run(trained):
    card = read_json(trained("lora") / "run.json")
    assert (card["task"], card["answer"]) == ("multitask", "members")
    assert {key for key in card["decisive"] if key.startswith(("multitask.", "answer.", "corpus.max_rows."))} == {
        "multitask.members",
        "multitask.temperature",
        *(f"multitask.loss_weights.{name}" for name in MEMBERS),
        *(f"{group}.{name}" for group in ("answer", "corpus.max_rows") for name in [*MEMBERS, "multitask"]),
    }
    assert card["rows"]["train"] == sum(member["rows"]["train"] for member in card["members"].values())
    assert card["trainable"]["head"] == 128 * (5 + 2)
    page = (trained("lora") / "README.md").read_text()
    assert all(f"{name}: " in page for name in MEMBERS)


def test_predict_and_generate(trained):
    run = knotwork.load_run(trained("lora").parent)
    predictions = run.predict(TEXTS, task="sst")
    assert [len(prediction.probabilities) for prediction in predictions] == [5, 5]
    assert len(run.predict([("How old is the sea?", "What is the sea's age?")], task="quora")[0].probabilities) == 2
    assert run.member("sst").predict(TEXTS[1:])[0].probabilities == pytest.approx(
        predictions[1].probabilities, abs=1e-5
    )
    assert run.generate(["One line"], max_new_tokens=8) == run.member("sonnet").generate(
        ["One line"], max_new_tokens=8
    )
    assert run.logits("One line").shape[1] == run.model.config.vocab_size


def test_what_it_cannot_do(trained):
    run = knotwork.load_run(trained("lora"))
    with pytest.raises(UserError, match="cfimdb: no member; this run has sst, quora, sonnet"):
        run.predict(TEXTS, task="cfimdb")
    with pytest.raises(UserError, match="name the task; this run has"):
        run.member()
    with pytest.raises(UserError, match="sonnet: has no classes to predict; use generate"):
        run.predict(TEXTS, task="sonnet")
    with pytest.raises(UserError, match="sst: this run classifies"):
        run.member("sst").generate(["One line"])
    with pytest.raises(UserError, match="quora: this is a run of sst"):
        run.member("sst").member("quora")


def test_a_run_without_texts(joint, settings, folder):
    params = settings(multitask__members=["sst", "quora"], answer__quora="words", train__epochs__multitask=1)
    train_run(params, "multitask", 1, joint("lora"), folder / "run")
    run = knotwork.load_run("run")
    assert len(run.predict([("How old is it?", "What is its age?")], task="quora")[0].probabilities) == 2
    assert run.card["trainable"]["head"] == 128 * 5
    with pytest.raises(UserError, match="no member of this run writes texts; it has sst, quora"):
        run.generate(["One line"])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_weights(joint, settings, folder, monkeypatch, accumulation):
    params = settings(lora__dropout=0.2, train__checkpoint_steps=3, train__batch__accumulation=accumulation)
    train_run(params, "multitask", 1, joint("lora"), folder / "whole")
    step = KnotTrainer.training_step
    taken = []

    def stops(trainer, *arguments, **options):
        if trainer.state.global_step == 14 // accumulation and not taken.append(0) and len(taken) == 1:
            raise KeyboardInterrupt
        return step(trainer, *arguments, **options)

    monkeypatch.setattr(KnotTrainer, "training_step", stops)
    with pytest.raises(KeyboardInterrupt):
        train_run(params, "multitask", 1, joint("lora"), folder / "resumed")
    assert list(folder.glob("checkpoints/*/checkpoint-*"))
    train_run(params, "multitask", 1, joint("lora"), folder / "resumed")
    whole, resumed = (load_file(folder / name / "adapter_model.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(whole[name], value) for name, value in resumed.items())
    curves = [pd.read_csv(folder / name / "history.csv") for name in ("whole", "resumed")]
    for column in set(curves[0]) - {"seconds", "tokens_per_second"}:
        assert curves[0][column].tolist() == pytest.approx(curves[1][column].tolist(), rel=1e-6), column


def test_loss_weights_scale_what_is_trained_and_not_what_is_shown(joint, settings, folder, monkeypatch):
    seen = []
    step = KnotTrainer.training_step

    def watched(trainer, model, inputs, num_items_in_batch=None):
        task = trainer.answer.task(inputs)
        before = trainer.meter.losses.get(task, 0.0)
        loss = step(trainer, model, inputs, num_items_in_batch).item()
        seen.append((task, loss / (trainer.meter.losses[task] - before)))
        return torch.tensor(loss)

    monkeypatch.setattr(KnotTrainer, "training_step", watched)
    weights = {"sst": 1.0, "quora": 0.5, "sonnet": 0.25}
    params = settings(
        train__epochs__multitask=1, **{f"multitask__loss_weights__{name}": weights[name] for name in MEMBERS}
    )
    train_run(params, "multitask", 1, joint("lora"), folder / "run")
    assert {task for task, _ in seen} == set(MEMBERS)
    for task, factor in seen:
        assert factor == pytest.approx(weights[task], rel=1e-4)
    row = pd.read_csv("run/history.csv").iloc[0]
    steps = pd.Series([task for task, _ in seen]).value_counts()
    total = sum(weights[name] * row[f"{name}_train_loss"] * steps[name] for name in MEMBERS) / len(seen)
    assert row["train_loss"] == pytest.approx(total, rel=1e-5)


def test_the_epoch_is_chosen_by_the_geometric_mean(joint, settings, folder, monkeypatch):
    """A member that improves by a factor outweighs one that gets worse by a smaller one."""
    figures = iter(
        [
            *({"loss": 1.0, "metric": metric, "largest_share": 0.5} for metric in (0.2, 0.8, 100.0)),
            *({"loss": 2.0, "metric": metric, "largest_share": 0.5} for metric in (0.5, 0.5, 110.0)),
            *({"loss": 3.0, "metric": metric, "largest_share": 0.5} for metric in (0.3, 0.8, 100.0)),
        ]
    )
    monkeypatch.setattr(training, "selection_figures", lambda *_: next(figures))
    train_run(settings(train__epochs__multitask=3), "multitask", 1, joint("lora"), folder / "run")
    card = read_json(folder / "run/run.json")
    assert card["training"]["best_epoch"] == 3
    assert card["training"]["selection_metric"] == pytest.approx((0.3 * 0.8 / 100) ** (1 / 3))
    assert {name: member["training"]["selection_metric"] for name, member in card["members"].items()} == {
        "sst": 0.3,
        "quora": 0.8,
        "sonnet": 100.0,
    }
    # Failure signatures are each member's own; sst fell by twenty points.
    assert {name: member["training"]["collapse"] for name, member in card["members"].items()} == {
        "sst": "yes",
        "quora": "no",
        "sonnet": "no",
    }
    assert card["training"]["collapse"] == "yes"
    assert card["training"]["reasons"] == ["sst: selection accuracy ended 20.0 points below its best"]


def test_joint_loss_is_the_weighted_mean(joint, settings, tiny_base):
    params = settings(multitask__loss_weights__sst=3.0)
    answer = Work(params, joint("lora"), tiny_base).answer
    figures = {name: {"loss": loss, "metric": 0.5} for name, loss in (("sst", 1.0), ("quora", 2.0))}
    assert joint_figures(answer, figures)["loss"] == pytest.approx((3 * 1 + 2) / 4)


def test_a_members_limit_and_multitasks_own_both_hold(parameters):
    limits = {"corpus.max_rows.sst": 40, "corpus.max_rows.multitask": 30, "corpus.max_rows.quora": 20}
    members = parameters({**SMALL, **limits}).members("multitask")
    assert {member.task: member.max_rows for member in members} == {"sst": 30, "quora": 20, "sonnet": 30}
    assert parameters(limits).members("sst")[0].max_rows == 40


@pytest.fixture(scope="module")
def evaluated(trained, joint, settings, parameters, tmp_path_factory):
    """A folder with the reports of multitask and of sst alone, which has the same rows."""
    home = tmp_path_factory.mktemp("evaluated")
    data = home / "data"
    shutil.copytree(joint("lora"), data)
    shutil.copytree(data / "raw/multitask/sst", data / "raw/sst")
    write_marker(data / "graphs/sst")
    write_json(data / "baselines/sst.json", {"sst": BASELINES["sst"]})
    write_json(data / "zero_shot/sst.json", {"sst": ZERO_SHOT["sst"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        params = settings()
        train_run(params, "sst", 1, data, home / "models/sst/seed-1")
        evaluate_task(params, "sst", data, home / "models/sst", home / "reports/sst")
        evaluate_task(params, "multitask", data, trained("lora").parent, home / "reports/multitask")
    return home


def test_metrics_are_few_and_named_by_member(evaluated):
    metrics = read_json(evaluated / "reports/multitask/metrics.json")
    scores = {"sst_accuracy", "quora_accuracy", "sonnet_chrf_generated", "sonnet_perplexity"}
    costs = {
        "trainable_parameters", "head_parameters", "train_seconds", "evaluate_seconds", "tokens_per_second",
        "peak_memory_mb", "padding_waste", "truncated", "stalled", "collapsed",
    }  # fmt: skip
    assert metrics.keys() == {"schema_version"} | costs | {
        f"{score}{end}" for score in scores for end in ("", "_low", "_high")
    }
    assert metrics["head_parameters"] == 128 * (5 + 2)


def test_reports_hold_for_each_member_what_a_task_alone_has(evaluated):
    (sst,), members = read_results(evaluated / "reports/sst"), read_results(evaluated / "reports/multitask")
    assert [result.task for result in members] == MEMBERS
    for kind in ("card", "metrics"):
        theirs, ours = (getattr(result, kind).model_dump().keys() for result in (sst, members[0]))
        assert ours == theirs - {"schema_version"}
    assert members[0].card.rows == sst.card.rows
    assert set(sst.history) <= set(members[0].history)
    assert sorted(path.name for path in (evaluated / "reports/multitask/predictions").iterdir()) == sorted(MEMBERS)
    table = pd.read_csv(evaluated / "reports/multitask/scores.tsv", sep="\t")
    assert table.groupby("task").size().to_dict() == {"sst": 18, "quora": 18, "sonnet": len(table) - 36}


def test_compare_holds_it_against_the_task_alone(evaluated, capsys, monkeypatch):
    monkeypatch.chdir(evaluated)
    compare(["reports"], Output(data=evaluated / "figures"))
    assert "reports/multitask" in capsys.readouterr().out
    tests = pd.read_csv(evaluated / "figures/differences.csv")
    assert tests[["task", "run"]].to_numpy().tolist() == [["sst", "reports/multitask"]]


def test_the_report_shows_members_beside_tasks(evaluated):
    page = evaluated / "report.html"
    build(evaluated / "reports", evaluated / "none", ["sst", "multitask"], page)
    text = page.read_text()
    assert 'id="task-sst"' in text
    assert all(f'id="task-multitask-{name}"' in text for name in MEMBERS)
    assert "SST (multitask)" in text
