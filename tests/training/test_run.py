import errno
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import modeling_utils

from knotwork import adapters, models
from knotwork.answers import IGNORED, answer_for
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.files import read_json
from knotwork.tasks import get
from knotwork.training import outcome, run
from knotwork.training.estimate import bytes_needed, check_memory, seconds_needed
from knotwork.training.trainer import KnotTrainer

MODEL = Path("models/run")
FILES = {"README.md", "history.csv", "run.json"}
WEIGHTS = {
    "head": {"head.safetensors"},
    "full": {"config.json", "model.safetensors"},
    "lora": {"adapter_config.json", "adapter_model.safetensors"},
}


@pytest.fixture
def train(folder, data, parameters):
    """A function that trains in an empty folder and gives the run's card."""

    def work(task="sst", seed=1, **overrides):
        shutil.rmtree(folder / "models", ignore_errors=True)
        params = parameters({key.replace("__", "."): value for key, value in overrides.items()})
        run.train_run(params, task, seed, data, MODEL)
        return read_json(MODEL / "run.json")

    return work


def lora_weights():
    return load_file(MODEL / "adapter_model.safetensors")


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("adapter", WEIGHTS)
def test_run_folder(train, adapter):
    card = train(adapter=adapter)
    assert {path.name for path in MODEL.iterdir()} - {"generation_config.json"} == FILES | WEIGHTS[adapter]
    history = pd.read_csv(MODEL / "history.csv")
    assert list(history.columns) == outcome.HISTORY
    assert history["epoch"].tolist() == [1, 2]
    assert history["step"].tolist() == [9, 18]
    assert history.notna().all(axis=None)
    assert card["rows"] == {"train_all": 48, "train": 36, "selection": 12, "skipped": 0}
    assert card["training"]["steps"] == 18
    assert card["training"]["best_epoch"] in (1, 2)
    metric = history.loc[history["epoch"] == card["training"]["best_epoch"], "selection_metric"].item()
    assert card["training"]["selection_metric"] == pytest.approx(metric, rel=1e-6)
    assert metric == history["selection_metric"].max()
    assert card["training"]["stall"] == "not assessed"
    assert card["prompt"] == get("sst").prompt
    assert card["corpus"]["files"].keys() == {"train", "dev", "test"}
    page = (MODEL / "README.md").read_text()
    assert "library_name: " + ("peft" if adapter == "lora" else "transformers") in page
    assert get("sst").prompt["sha256"][:16] in page
    assert not list(Path("checkpoints").glob("*/*"))


def test_card_says_what_decided_the_run(train):
    decided = train(lora__r=4, train__epochs__sst=1)["decisive"]
    assert decided["adapter"] == "lora"
    assert decided["lora.r"] == 4
    assert decided["train.epochs.sst"] == 1
    # What belongs to other adapters or tasks, or to cadence, decides nothing.
    assert not [key for key in decided if key.startswith(("full.", "head.", "graphs.", "evaluate.", "report."))]
    assert not {"train.epochs.quora", "train.checkpoint_steps", "train.launcher"} & decided.keys()


def test_training_learns(train):
    train(train__epochs__sst=6)
    losses = pd.read_csv(MODEL / "history.csv")["train_loss"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


def test_best_epoch_is_kept(train, monkeypatch):
    """The weights of the first epoch come back where it was the best one."""
    train(train__epochs__sst=1, train__optimizer__schedule="constant", train__optimizer__warmup=0.0)
    first = lora_weights()
    metrics = iter([0.9, 0.1])
    monkeypatch.setattr(
        run, "selection_figures", lambda *_: {"loss": 1.0, "metric": next(metrics), "largest_share": 0.5}
    )
    card = train(train__epochs__sst=2, train__optimizer__schedule="constant", train__optimizer__warmup=0.0)
    assert card["training"]["best_epoch"] == 1
    assert card["training"]["collapse"] == "yes"
    assert same(lora_weights(), first)


def test_patience(train, monkeypatch):
    monkeypatch.setattr(run, "selection_figures", lambda *_: {"loss": 1.0, "metric": 0.5, "largest_share": 0.5})
    assert train(train__epochs__sst=5, train__patience=2)["training"]["epochs"] == 3
    assert train(train__epochs__sst=5, train__patience=None)["training"]["epochs"] == 5


def test_same_seed_same_weights_other_seed_others(train):
    train(lora__dropout=0.2)
    first = lora_weights()
    train(lora__dropout=0.2)
    assert same(lora_weights(), first)
    train(lora__dropout=0.2, seed=2)
    assert not same(lora_weights(), first)


def test_evaluation_and_checkpoints_change_no_weight(train, monkeypatch):
    options = {"lora__dropout": 0.2, "train__checkpoint_steps": 500}
    rising = iter(range(100))
    last_is_best = {"loss": 1.0, "largest_share": 0.5}
    monkeypatch.setattr(run, "selection_figures", lambda *_: {**last_is_best, "metric": next(rising)})
    assert train(**options)["training"]["best_epoch"] == 2
    first = lora_weights()

    def noisy(*arguments):
        torch.rand(17)
        run.score(*arguments, 512)
        return {**last_is_best, "metric": next(rising)}

    monkeypatch.setattr(run, "selection_figures", noisy)
    train(**{**options, "train__checkpoint_steps": 1})
    assert same(lora_weights(), first)


def test_accumulated_batches_weigh_every_prediction_alike(train, monkeypatch):
    """The loss of a step is the mean over its predictions, however they are cut into batches."""
    seen = []
    original = KnotTrainer.training_step

    def watched(self, model, inputs, num_items_in_batch=None):
        loss = original(self, model, {**inputs}, num_items_in_batch)
        seen.append(((inputs["labels"] != IGNORED).sum().item(), int(num_items_in_batch), loss.item()))
        return loss

    monkeypatch.setattr(KnotTrainer, "training_step", watched)
    train(task="sonnet", train__epochs__sonnet=1, train__batch__size=3, train__batch__accumulation=2)
    for (first, all_of_step, _), (second, again, _) in zip(seen[::2], seen[1::2], strict=False):
        assert all_of_step == again == first + second


def test_sonnets_are_selected_by_perplexity(train):
    card = train(task="sonnet")
    history = pd.read_csv(MODEL / "history.csv")
    assert card["training"]["selection_metric"] == pytest.approx(history["selection_metric"].min(), rel=1e-6)
    assert history["selection_metric"].tolist() == pytest.approx(
        np.exp(history["selection_loss"]).tolist(), rel=1e-5
    )
    assert card["trainable"]["head"] == 0


def test_dev_protocol(train):
    card = train(train__selection="dev", train__epochs__sst=1)
    assert card["selection"] == "dev"
    assert card["rows"] == {"train_all": 48, "train": 48, "selection": 12, "skipped": 0}
    assert "dev (the paper's protocol)" in (MODEL / "README.md").read_text()


def test_cap_on_rows(train):
    card = train(corpus__max_rows__sst=20, train__epochs__sst=1)
    assert card["rows"] == {"train_all": 48, "train": 15, "selection": 5, "skipped": 0}


@pytest.mark.parametrize(
    "task, overrides",
    [("sst", {"adapter": "lora", "train__epochs__sst": 0}), ("sonnet", {"adapter": "head"})],
    ids=["no epochs", "nothing trainable"],
)
def test_nothing_to_train(train, task, overrides):
    card = train(task=task, **overrides)
    assert card["training"]["epochs"] == 0
    assert card["training"]["steps"] == 0
    assert card["training"]["best_epoch"] is None
    assert pd.read_csv(MODEL / "history.csv").empty
    assert list(pd.read_csv(MODEL / "history.csv").columns) == outcome.HISTORY


def test_faithful_run_is_marked(train):
    card = train(
        lora__faithful=True, lora__target_modules=["c_fc", "c_proj"], lora__learning_rate=1e-4, train__epochs__sst=1
    )
    assert card["trainable"]["adapter"] > 1_000_000
    assert "full fine-tune" in (MODEL / "README.md").read_text()
    assert (MODEL / "base/model.safetensors").is_file()


def test_non_finite_loss_stops_the_run(train, monkeypatch):
    original = KnotTrainer.compute_loss

    def poisoned(self, model, inputs, *args, **kwargs):
        if self.state.global_step == 3:
            next(model.parameters()).data.fill_(float("nan"))
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(KnotTrainer, "compute_loss", poisoned)
    with pytest.raises(UserError, match=r"training loss is nan at step 4; lower the adapter's learning_rate"):
        train()
    assert not Path("models").exists()


def test_non_finite_weights_after_the_last_step_stop_the_run(train, monkeypatch):
    """No training loss is left to tell of them."""
    original = KnotTrainer.evaluate

    def poisoned(self, *args, **kwargs):
        if self.state.global_step == self.state.max_steps:
            next(self.model.parameters()).data.fill_(float("nan"))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(KnotTrainer, "evaluate", poisoned)
    with pytest.raises(UserError, match=r"selection loss is nan at step \d+; lower the adapter's learning_rate"):
        train()
    assert not Path("models").exists()


def test_gradient_checkpointing_changes_no_weight(train):
    train(lora__dropout=0.2, train__epochs__sst=1)
    plain = lora_weights()
    train(lora__dropout=0.2, train__epochs__sst=1, train__gradient_checkpointing=True)
    for name, value in lora_weights().items():
        torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-5)


def test_gradient_checkpointing_happens(train, monkeypatch):
    calls = []
    original = modeling_utils.checkpoint

    def watched(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(modeling_utils, "checkpoint", watched)
    train(train__epochs__sst=1, train__gradient_checkpointing=True)
    assert calls


def test_bf16_trains_fp32_weights(train):
    train(train__epochs__sst=1)
    exact = lora_weights()
    train(train__epochs__sst=1, train__precision="bf16")
    rounded = lora_weights()
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    assert not same(rounded, exact)


def test_label_words_train_too(train):
    card = train(answer__sst="words", train__epochs__sst=1)
    assert card["answer"] == "words"
    assert card["trainable"]["head"] == 0


@pytest.fixture
def small_disk():
    """No file longer than 64 KiB can be written: the write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("epochs", [1, 0], ids=["checkpoint", "run"])
def test_full_disk_is_one_line_and_leaves_no_run(train, small_disk, epochs):
    small_disk()
    place = "checkpoints/.*" if epochs else "models/run"
    with pytest.raises(UserError, match=rf"^{place}: cannot be written \(.*File too large.*\); free space"):
        train(train__epochs__sst=epochs)
    assert not list(Path().glob("models/*"))


@pytest.mark.parametrize(
    "reason", ["No space left on device", "inline_container.cc:672 . unexpected pos 576 vs 534"]
)
def test_failed_write_of_the_optimizer_is_one_line(train, monkeypatch, reason):
    """torch.save raises an OSError or, from its archive writer, a RuntimeError."""

    def full(*_, **__):
        raise RuntimeError(reason) if "inline" in reason else OSError(errno.ENOSPC, reason)

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(UserError, match=f"cannot be written .*{reason}"):
        train(train__epochs__sst=1)
    assert not list(Path().glob("models/*"))


def test_fault_of_the_code_is_not_called_a_full_disk(train, monkeypatch):
    def faulty(*_):
        raise RuntimeError("tensors share memory")

    monkeypatch.setattr(adapters.get("lora"), "save", faulty)
    with pytest.raises(RuntimeError, match="share memory"):
        train(train__epochs__sst=0)


def test_missing_module(train):
    with pytest.raises(UserError, match=r"lora\.target_modules: the base has no module 'q_proj'"):
        train(lora__target_modules=["q_proj"])


def test_context_too_long_for_the_base(train):
    with pytest.raises(UserError, match=r"base\.max_length: 1024 is longer than the context .*512"):
        train(base__max_length=1024)


def test_run_that_will_not_fit_is_refused(train, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2**20})())
    with pytest.raises(UserError, match=r"training needs about .* GiB more, 0\.0 GiB are free on cpu; lower"):
        train()


def bytes_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(run, "check_memory", lambda needed, place: asked.append(needed))
    return asked


def test_weights_that_are_loaded_are_not_asked_for_again(train, monkeypatch):
    told, asked = [], bytes_asked_for(monkeypatch)
    whole = run.bytes_needed
    monkeypatch.setattr(run, "bytes_needed", lambda *args: told.append((whole(*args), args[2])) or told[-1][0])
    train(train__epochs__sst=1)
    [(needed, parameters)] = told
    assert asked == [needed - 4 * parameters]


def test_checkpointed_gradients_fit_where_others_do_not(train, monkeypatch):
    """What the refusal advises must help."""
    with monkeypatch.context() as watched:
        asked = bytes_asked_for(watched)
        train(train__epochs__sst=1)
        train(train__epochs__sst=1, train__gradient_checkpointing=True)
    plain, checkpointed = asked
    free = (plain + checkpointed) // 2
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": free})())
    train(train__epochs__sst=1, train__gradient_checkpointing=True)
    with pytest.raises(UserError, match=r"set train\.gradient_checkpointing"):
        train(train__epochs__sst=1)


def test_the_measured_pass_is_checkpointed_too(train, monkeypatch):
    """It must not need more memory than the training for which it stands."""
    calls, before = [], []
    original, measure = modeling_utils.checkpoint, run.seconds_needed

    def watched(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    def measured(*args):
        found = measure(*args)
        before.append(len(calls))
        return found

    monkeypatch.setattr(modeling_utils, "checkpoint", watched)
    monkeypatch.setattr(run, "seconds_needed", measured)
    train(train__epochs__sst=1, train__gradient_checkpointing=True)
    assert before[0] > 0


def test_the_measured_pass_has_the_precision_of_the_training(train, monkeypatch):
    """On a processor without it bf16 takes many times as long."""
    found, measure = [], run.seconds_needed

    def measured(*args):
        found.append(torch.is_autocast_enabled("cpu"))
        return measure(*args)

    monkeypatch.setattr(run, "seconds_needed", measured)
    for precision in ("fp32", "bf16"):
        train(train__epochs__sst=1, train__precision=precision)
    assert found == [False, True]


def test_memory_is_counted_from_the_training_on(train, monkeypatch):
    """The measured pass before it may need more."""
    seen = []
    for name in ("seconds_needed", "forget_peak_memory"):
        work = getattr(run, name)
        monkeypatch.setattr(run, name, lambda *args, name=name, work=work: (seen.append(name), work(*args))[1])
    step = KnotTrainer.training_step
    monkeypatch.setattr(KnotTrainer, "training_step", lambda *args: (seen.append("step"), step(*args))[1])
    train(train__epochs__sst=1)
    assert list(dict.fromkeys(seen)) == ["seconds_needed", "forget_peak_memory", "step"]
    forgotten = []
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", forgotten.append)
    outcome.forget_peak_memory(torch.device("cpu"))
    outcome.forget_peak_memory(torch.device("cuda"))
    assert forgotten == [torch.device("cuda")]


def test_a_process_needs_memory_for_its_share_alone(train, monkeypatch):
    asked = bytes_asked_for(monkeypatch)
    train(train__epochs__sst=1)
    monkeypatch.setattr(KnotTrainer, "batches", lambda self: self.sampler(0, 4))
    train(train__epochs__sst=1)
    whole, share = asked
    assert share < whole


def test_memory_estimate_grows_with_what_is_trained():
    from transformers import GPT2Config

    from knotwork.answers import Score, Text

    config = GPT2Config()
    lengths, batches = [100, 200, 50], [[0], [1, 2]]
    small = bytes_needed(config, Score(5, 0), 10**6, 10**3, batches, lengths)
    assert bytes_needed(config, Score(5, 0), 10**6, 10**6, batches, lengths) > small
    assert bytes_needed(config, Score(5, 0), 10**6, 10**3, batches, [100, 400, 50]) > small
    assert bytes_needed(config, Text(0), 10**6, 10**3, batches, lengths) > small
    check_memory(1, torch.device("cpu"))


def test_card_is_json_without_nan(train):
    train(train__epochs__sst=0)
    json.loads((MODEL / "run.json").read_text(), parse_constant=pytest.fail)


def test_time_estimate_grows_with_rows_and_epochs(parameters, data, tiny_base, monkeypatch):
    """One batch is measured; the rest is counted in tokens."""
    task = get("sst")
    tokenizer = models.load_tokenizer(tiny_base)
    answer = answer_for(task, "score", tokenizer)
    model = models.fresh_base(tiny_base, answer, 128, seed=1)()
    examples = encode(task, task.read(data / "raw/sst", "train").rows[:1] * 4, tokenizer, 128)
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    # Every pass takes a second of this clock: four equal rows in batches of two, so two seconds an epoch.
    assert seconds_needed(model, answer, [examples[:2], examples[2:]], 1) == pytest.approx(2.0)
    assert seconds_needed(model, answer, [examples[:2], examples[2:]], 3) == pytest.approx(6.0)
    assert all(parameter.grad is None for parameter in model.parameters())
