import shutil
from pathlib import Path

import pytest
import torch

import knotwork
from knotwork.corpora import Row
from knotwork.encoding import encode
from knotwork.errors import UserError
from knotwork.files import read_json, write_json
from knotwork.inference import score
from knotwork.training.run import train_run

ADAPTERS = ("head", "full", "lora")


@pytest.fixture(scope="module")
def trained(data, parameters, tmp_path_factory):
    """A function that gives ``models/<task>`` with runs of the seeds 3 and 10, trained once for the module."""
    home = tmp_path_factory.mktemp("runs")
    done = {}

    def work(task, adapter, way=None, seeds=(3,)):
        key = (task, adapter, way, seeds)
        if key not in done:
            changes = {"adapter": adapter, f"train.epochs.{task}": 1} | ({f"answer.{task}": way} if way else {})
            done[key] = home / str(len(done)) / task
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(home)
                for seed in seeds:
                    place = done[key] / f"seed-{seed}"
                    train_run(parameters(changes), task, seed, data, place)
        return done[key]

    return work


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_classification(trained, data, adapter):
    run = knotwork.load_run(trained("sst", adapter))
    assert isinstance(run, knotwork.Run)
    assert run.card["adapter"] == adapter
    assert not run.model.training
    texts = ["A warm, quiet film.", "Not one joke lands."]
    predictions = run.predict(texts)
    for prediction in predictions:
        assert len(prediction.probabilities) == 5
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert prediction.label == max(range(5), key=prediction.probabilities.__getitem__)
        assert prediction.name == run.task.classes[prediction.label]
    assert predictions[1] == pytest_approx(run.predict(texts[1:])[0])
    assert run.predict([]) == []


def pytest_approx(prediction):
    return prediction._replace(probabilities=pytest.approx(prediction.probabilities, abs=1e-5))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_loaded_model_is_the_trained_one(trained, data, parameters, adapter, monkeypatch, tmp_path):
    """Loaded weights give the selection loss that training wrote down for the best epoch."""
    from knotwork.training.parts import split_rows
    from knotwork.training.run import selection_figures

    folder = trained("sst", adapter)
    run = knotwork.load_run(folder)
    params = parameters({"adapter": adapter})
    _, chosen, _ = split_rows(params, *params.members("sst"), data / "raw/sst")
    figures = selection_figures(run.model, run.answer, encode(run.task, chosen, run.tokenizer, 512))
    (row,) = (folder / "seed-3/history.csv").read_text().splitlines()[1:]
    assert figures["loss"] == pytest.approx(float(row.split(",")[4]), rel=1e-4)


def test_texts_are_prompted_as_in_training(trained):
    run = knotwork.load_run(trained("sst", "lora"))
    examples = encode(run.task, [Row("1", ("A warm film -LRB- almost",), None)], run.tokenizer, 512)
    direct = score(run.model, run.answer, examples, 8192).probabilities[0]
    normalised = encode(run.task, [Row("1", ("A warm film (almost",), None)], run.tokenizer, 512)
    wanted = score(run.model, run.answer, normalised, 8192).probabilities[0]
    found = run.predict(["  A warm film -LRB- almost"])[0].probabilities
    assert found == pytest.approx(wanted.tolist(), abs=1e-6)
    assert found != pytest.approx(direct.tolist(), abs=1e-6)


def test_pairs(trained):
    run = knotwork.load_run(trained("quora", "lora"))
    (prediction,) = run.predict([("How old is the sea?", "What is the age of the sea?")])
    assert prediction.name in ("different", "same")
    with pytest.raises(UserError, match=r"text 2: quora takes 2 text\(s\), got 1"):
        run.predict([("One?", "Two?"), "One?"])


def test_seeds(trained):
    folder = trained("sst", "lora", seeds=(3, 10))
    assert knotwork.load_run(folder).card["seed"] == 3
    assert knotwork.load_run(str(folder), seed=10).card["seed"] == 10
    assert knotwork.load_run(folder / "seed-10").card["seed"] == 10
    (folder / "seed-old").mkdir()  # a user's copy is no seed
    (folder / "seed-old/run.json").write_text("{}")
    texts = ["A warm, quiet film."]
    assert knotwork.load_run(folder, 3).predict(texts) != knotwork.load_run(folder, 10).predict(texts)
    with pytest.raises(UserError, match="no run with seed 4; there are 3, 10"):
        knotwork.load_run(folder, seed=4)
    with pytest.raises(UserError, match="seed-10: one run, not that of seed 3; name the folder above it"):
        knotwork.load_run(folder / "seed-10", seed=3)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_logits_are_teacher_forced(trained, adapter):
    """A tensor tokens x vocabulary whose row i sees the tokens up to i alone, from text and from ids alike."""
    run = knotwork.load_run(trained("sonnet", adapter))
    text = "The lamps come up again\nbehind the rain"
    ids = run.tokenizer(text)["input_ids"]
    logits = run.logits(text)
    assert logits.shape == (len(ids), run.model.config.vocab_size)
    assert not logits.requires_grad
    assert torch.equal(run.logits(ids), logits)
    assert torch.equal(run.logits(torch.tensor(ids)), logits)
    with torch.no_grad():
        assert torch.equal(run.model(input_ids=torch.tensor([ids])).logits[0], logits)
    for length in (1, len(ids) - 1):
        torch.testing.assert_close(run.logits(ids[:length]), logits[:length], atol=1e-4, rtol=1e-4)
    # The likelihood that evaluation reports is the one of these logits.
    (example,) = encode(run.task, [Row("1", (text,), None)], run.tokenizer, 512)
    steps = run.logits(example.ids)[:-1].log_softmax(-1)
    nll = -steps[range(len(example.ids) - 1), example.ids[1:]].sum()
    assert score(run.model, run.answer, [example], 8192).nll[0] == pytest.approx(float(nll), rel=1e-5)


def test_words_have_logits_and_classes(trained):
    run = knotwork.load_run(trained("sst", "lora", "words"))
    assert run.logits("A film").shape[1] == run.model.config.vocab_size
    assert len(run.predict(["A film"])[0].probabilities) == 5
    with pytest.raises(UserError, match="this run classifies"):
        run.generate(["A film"])


def test_generate(trained):
    run = knotwork.load_run(trained("sonnet", "lora"))
    texts = run.generate(["One line", "Another"], max_new_tokens=8, seed=1)
    assert [text.split("\n")[0] for text in texts] == ["One line", "Another"]
    assert run.generate(["Another"], max_new_tokens=8, seed=1) == texts[1:]
    assert run.generate([]) == []
    assert run.generate(["Another"], max_new_tokens=8, seed=1, best_of=3)[0].startswith("Another\n")


def test_what_a_run_cannot_do(trained):
    run = knotwork.load_run(trained("sst", "lora"))
    with pytest.raises(UserError, match="sst: this run classifies; generate needs"):
        run.generate(["One line"])
    with pytest.raises(UserError, match="sst: a run with a classification head has no logits"):
        run.logits("One line")
    with pytest.raises(UserError, match="text 2: empty"):
        run.predict(["One line", " "])
    sonnets = knotwork.load_run(trained("sonnet", "lora"))
    with pytest.raises(UserError, match="sonnet: has no classes to predict; use generate"):
        sonnets.predict(["One line"])
    for text in ("", [], [0] * 513):
        with pytest.raises(UserError, match=r"logits: \d+ tokens; the context takes 1 to 512"):
            sonnets.logits(text)
    for setting in ({"temperature": 0}, {"top_p": 1.5}, {"max_new_tokens": 0}, {"seed": -1}, {"best_of": 0}):
        with pytest.raises(UserError, match=f"generate: {next(iter(setting))}: "):
            sonnets.generate(["One line"], **setting)


@pytest.mark.parametrize("ids", [[0, 8192], [-1]])
def test_logits_of_unknown_tokens(trained, ids):
    with pytest.raises(UserError, match="logits: token ids"):
        knotwork.load_run(trained("sonnet", "lora")).logits(ids)


def test_one_text_where_a_list_belongs_and_a_batch_where_a_text_does(trained):
    with pytest.raises(UserError, match="predict: takes a list of texts; put the text in brackets"):
        knotwork.load_run(trained("sst", "lora")).predict("A film")
    sonnets = knotwork.load_run(trained("sonnet", "lora"))
    with pytest.raises(UserError, match="generate: takes a list of texts; put the text in brackets"):
        sonnets.generate("One line")
    with pytest.raises(UserError, match=r"logits: takes the token ids of one text, \(tokens,\), not 1 x 3"):
        sonnets.logits(torch.tensor([[1, 2, 3]]))


def test_no_run(tmp_path):
    with pytest.raises(UserError, match="no trained run there"):
        knotwork.load_run(tmp_path / "sst")


@pytest.fixture
def copied(trained, tmp_path):
    shutil.copytree(trained("sst", "lora"), tmp_path / "sst")
    return tmp_path / "sst"


def change(folder: Path, **values):
    file = folder / "seed-3/run.json"
    write_json(file, read_json(file) | values)


def test_another_version(copied):
    change(copied, schema_version=99)
    with pytest.raises(UserError, match="made by another version"):
        knotwork.load_run(copied)


def test_another_base(copied):
    base = read_json(copied / "seed-3/run.json")["base"]
    change(copied, base=base | {"sha256": "0" * 64})
    with pytest.raises(UserError, match=r"trained on a base with hash 000000000000, but .* now has"):
        knotwork.load_run(copied)
    change(copied, base=base | {"path": "assets/gone"})
    with pytest.raises(UserError, match=r"base\.path: no folder assets/gone"):
        knotwork.load_run(copied)


def test_incomplete_run(copied):
    (copied / "seed-3/adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="incomplete"):
        knotwork.load_run(copied)


def test_broken_card(copied):
    (copied / "seed-3/run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: not valid JSON"):
        knotwork.load_run(copied)
