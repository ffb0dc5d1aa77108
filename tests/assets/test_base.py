"""The embedded language models, and the scripts that make them, run on a corpus made here."""

import json
import lzma
import math
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "assets"
OWN_TEXT = Path(__file__).with_name("own_text.txt").read_text(encoding="utf-8")
sys.path.append(str(ASSETS))  # the scripts import each other by bare name

import measure  # noqa: E402
import pretrain  # noqa: E402
import rows  # noqa: E402
import settings  # noqa: E402
import shards  # noqa: E402
import tokenizer  # noqa: E402
import tokens  # noqa: E402

# --- the models as they are shipped


@pytest.fixture(scope="module", params=["base", "base-tiny"])
def shipped(request):
    folder = ASSETS / request.param
    return folder, AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def test_a_shipped_model_is_small_and_loads_as_fp32(shipped):
    folder, model, words = shipped
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 30e6
    assert isinstance(model, GPT2LMHeadModel)
    assert model.dtype == torch.float32
    assert model.config.n_positions >= 512
    assert model.config.vocab_size == len(words)
    assert {"README.md", "card.json", "config.json", "model.safetensors"} <= {p.name for p in folder.iterdir()}


def test_the_tokenizer_is_like_gpt2s(shipped):
    words = shipped[2]
    assert type(words).__name__.startswith("GPT2Tokenizer")
    assert words.is_fast
    assert words.bos_token == words.eos_token == words.unk_token == "<|endoftext|>"
    text = "It 's naïve , well-made … 😀"
    encoded = words(text, return_offsets_mapping=True)
    assert words.decode(encoded["input_ids"]) == text
    assert encoded["offset_mapping"][0] == (0, 2)
    assert encoded.word_ids()[:2] == [0, 1]
    assert words("<|endoftext|>")["input_ids"] == [words.eos_token_id]


def test_the_model_beats_xz_and_a_unigram_model_on_a_text_of_our_own(shipped):
    _, model, words = shipped
    ids = np.array(words(OWN_TEXT)["input_ids"])
    size = len(OWN_TEXT.encode())
    bits = measure.model_bits(model, measure.Text([ids], OWN_TEXT.encode())) / size
    # The strongest unigram model there is: fitted to the very text it is measured on.
    unigram = sum(-count * math.log2(count / len(ids)) for count in Counter(ids.tolist()).values()) / size
    xz = 8 * len(lzma.compress(OWN_TEXT.encode(), preset=9)) / size
    print(bits, unigram, xz)
    assert bits < 0.75 * xz
    assert bits < unigram


def test_the_card_gives_measured_figures(shipped):
    card = json.loads((shipped[0] / "card.json").read_text())
    assert card["parameters"] == shipped[1].num_parameters()
    assert card["tokens_seen"] > 0
    assert len(card["tokenizer_table"]) >= 3
    readme = (shipped[0] / "README.md").read_text()
    for source, bits in card["bits_per_byte"].items():
        assert bits["model"] < bits["unigram"] < 8, source
        assert bits["model"] < bits["xz"], source
        assert f"| {bits['model']:.3f} | {bits['trigram_alike']:.3f} | {bits['trigram']:.3f} |" in readme


# --- the scripts, on a corpus made here

WORDS = {
    "who": ["the old painter", "a quiet girl", "my brother", "the captain", "nobody", "an honest thief"],
    "does": ["finds", "leaves", "remembers", "paints", "sells", "forgets"],
    "what": ["the house", "a red boat", "her letters", "the last train", "a summer", "his own name"],
    "end": [".", " again.", " at night!", " and doesn't say why.", ", but it's too late."],
}


def write_corpus(folder: Path) -> None:
    chance = random.Random(0)

    def document(sentences: int) -> str:
        parts = ([chance.choice(WORDS[kind]) for kind in ("who", "does", "what")] for _ in range(sentences))
        return " ".join(" ".join(part).capitalize() + chance.choice(WORDS["end"]) for part in parts)

    folder.mkdir()
    plots = "\n<|endoftext|>\n".join(document(8) for _ in range(120))
    verses = "\n<|endoftext|>\n".join(document(3).replace(" ", "\n", 4) for _ in range(200))
    (folder / "plots-1.txt").write_text(plots)
    with lzma.open(folder / "verses.txt.xz", "wb") as file:
        file.write(verses.encode())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a corpus and small settings; returns a way to run a script there."""
    plan = {
        "context": 64, "layers": 2, "width": 32, "heads": 2,
        "mixture": {"plots": 0.7, "verses": 0.3}, "tokens": 7680, "max_minutes": None,
        "phases": [{"length": 32, "share": 0.5}, {"length": 64, "share": 0.5}],
        "batch_tokens": 256, "micro_tokens": 128, "learning_rate": 0.01, "weight_decay": 0.05,
        "warmup": 0.1, "precision": None, "log_every": 10, "checkpoint_minutes": 99,
    }  # fmt: skip
    values = {
        "corpus": "corpus", "work": "work", "seed": 1, "base": plan,
        "tokenizer": {"vocab_size": 400, "compare": [300], "sample_megabytes": 1},
        "tokens": {"held_out_megabytes": 0.005, "max_megabytes": None, "spaced": {"plots": 0.5}},
        "measure": {"megabytes": 0.004, "ngram_tokens": 2000},
        "card": {
            "sources": {"plots": "a test", "verses": "a test"},
            "decontamination": "none", "vocabulary": "small", "limits": "everything",
        },
    }  # fmt: skip
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    write_corpus(tmp_path / "corpus")

    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", ["script", *arguments, "--params", str(tmp_path / "params.yaml")])
        script.main()

    call.folder = tmp_path
    return call


def test_rebuilding_from_a_tiny_corpus(place, monkeypatch):
    place(tokenizer)
    place(tokens)
    place(pretrain, "base")
    place(measure, "base")
    folder = place.folder
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    words = AutoTokenizer.from_pretrained(folder / "base")
    assert (model.config.vocab_size, model.config.n_layer, model.dtype) == (len(words), 2, torch.float32)
    card = json.loads((folder / "base/card.json").read_text())
    assert card["finished"]
    assert card["tokens_seen"] >= 7680
    for bits in card["bits_per_byte"].values():
        assert bits["trigram"] < bits["unigram"]
        assert bits["model"] < 0.8 * math.log2(len(words))  # it has learnt something
        assert bits["trigram_alike"] != bits["trigram"]  # the model saw more of the one source than of the other
    assert card["name"] in (folder / "base/README.md").read_text()

    # Had it seen what the trigram model was counted on, the two of them would be one.
    again = settings.Settings(folder / "params.yaml", [])
    equal = measure.measure(folder / "base", again, dict.fromkeys(card["bits_per_byte"], 2000))
    assert all(bits["trigram_alike"] == bits["trigram"] for bits in equal["bits_per_byte"].values())

    # Stopped in the second phase and started again: the same weights.
    whole = (folder / "base/model.safetensors").read_bytes()
    for work in (folder / "work").glob("base-*"):
        work.rename(folder / "first")
    step = pretrain.Run.step

    def stop(self, phase, factor):
        if self.progress.step == 20:
            raise KeyboardInterrupt
        return step(self, phase, factor)

    monkeypatch.setattr(pretrain.Run, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        place(pretrain, "base", "--set", "base.checkpoint_minutes=0")
    monkeypatch.setattr(pretrain.Run, "step", step)
    steps = []
    monkeypatch.setattr(pretrain.Run, "step", lambda self, *args: steps.append(0) or step(self, *args))
    place(pretrain, "base")
    assert len(steps) == card["steps"] - 20
    assert (folder / "base/model.safetensors").read_bytes() == whole

    # Other settings do not take up that checkpoint.
    steps.clear()
    place(pretrain, "base", "--set", "base.learning_rate=0.02")
    assert len(steps) == card["steps"]


def test_a_run_ends_at_its_time_limit(place):
    place(tokenizer)
    place(tokens)
    place(pretrain, "base", "--set", "base.max_minutes=1.0e-9")
    card = json.loads((place.folder / "base/card.json").read_text())
    assert card["steps"] == 1
    assert card["finished"]


def test_the_held_out_part_is_not_trained_on_and_nothing_is_lost(place):
    place(tokenizer)
    place(tokens, "--set", "tokens.spaced={}")
    folder = place.folder
    words = AutoTokenizer.from_pretrained(folder / "work/tokenizer")
    index = rows.read_index(folder / "work/tokens")
    parts = {
        part: words.decode(rows.open_tokens(folder / "work/tokens", "plots", part).astype(int))
        for part in ("held_out", "train")
    }
    assert index["plots"]["held_out"]["bytes"] >= 5000
    documents = list(shards.read_documents(folder / "corpus/plots-1.txt", Counter()))
    assert (parts["held_out"] + parts["train"]).split("<|endoftext|>")[1:] == documents


def test_invalid_utf8_is_replaced_and_counted(place, capsys):
    path = place.folder / "corpus/plots-1.txt"
    path.write_bytes(path.read_bytes() + b"\n<|endoftext|>\nA caf\xe9 in France.\n")
    place(tokenizer)
    place(tokens, "--set", "tokens.spaced={}")
    assert "plots: 1 documents" in capsys.readouterr().out
    index = rows.read_index(place.folder / "work/tokens")
    assert (index["plots"]["replaced"], index["verses"]["replaced"]) == (1, 0)
    words = AutoTokenizer.from_pretrained(place.folder / "work/tokenizer")
    ids = rows.open_tokens(place.folder / "work/tokens", "plots", "train")
    assert words.decode(ids.astype(int)).endswith("A caf\N{REPLACEMENT CHARACTER} in France.")


def test_documents_are_cut_at_separator_lines_only(tmp_path):
    shard = tmp_path / "a.txt"
    shard.write_bytes(b"<|endoftext|>\r\none\r\n<|endoftext|>\n\n<|endoftext|>\ntwo <|endoftext|> three")
    assert list(shards.read_documents(shard, Counter())) == ["one", "two   three"]


def damage(folder: Path) -> None:
    path = folder / "corpus/verses.txt.xz"
    path.write_bytes(path.read_bytes()[:-40])


def empty(folder: Path) -> None:
    for path in (folder / "corpus").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "script", "arguments", "message"),
    [
        (empty, tokenizer, [], "corpus: no text shards"),
        (damage, tokenizer, [], "verses.txt.xz: cannot be read"),
        (None, tokens, [], "run tokenizer.py first"),
        (None, pretrain, ["base"], "no token files"),
        (None, pretrain, ["large"], "large: no such group"),
        (None, pretrain, ["base", "--set", "base.wide=3"], "params.yaml has no such key"),
        (None, pretrain, ["base", "--set", "base.precision=fp8"], "base.precision: 'fp8'"),
        (None, pretrain, ["base", "--set", "base.heads=5"], "base.heads: width 32"),
        (
            None,
            pretrain,
            ["base", "--set", "base.learning_rate=3e-3"],
            "base.learning_rate: '3e-3' is of the wrong type",
        ),
        (None, pretrain, ["base", "--set", "base.phases=2"], "base.phases: 2 is of the wrong type"),
        (None, pretrain, ["base", "--set", "base.context=48"], "base.phases: length 64"),
        (None, measure, ["base"], "no finished model"),
    ],
)
def test_a_mistake_gives_one_line(place, capsys, spoil, script, arguments, message):
    if spoil:
        spoil(place.folder)
    with pytest.raises(SystemExit) as stopped:
        settings.run(lambda: place(script, *arguments))
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "base.mixture={poems: 1}"], "base.mixture: no source"),
        (["--set", "base.context=9999", "--set", "base.phases=[{length: 9000, share: 1}]"], "fewer tokens"),
    ],
)
def test_settings_that_do_not_fit_the_text_give_one_line(place, arguments, message):
    place(tokenizer)
    place(tokens)
    with pytest.raises(settings.Mistake, match=message):
        place(pretrain, "base", *arguments)


def test_too_little_text_gives_one_line(place):
    place(tokenizer)
    with pytest.raises(settings.Mistake, match="too little text"):
        place(tokens, "--set", "tokens.held_out_megabytes=1")


# --- the parts


def test_positions_start_again_at_every_document():
    inputs = np.array([[5, 6, 0, 7, 8, 0], [0, 1, 2, 3, 4, 5]])
    assert rows.positions(inputs, separator=0).tolist() == [[0, 1, 0, 1, 2, 0], [0, 1, 2, 3, 4, 5]]


def test_attention_stops_at_document_boundaries():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2)).eval()
    batch = np.array([[5, 6, 7, 0, 8, 9], [15, 16, 17, 0, 8, 9]])
    with torch.inference_mode():
        logits = model(
            input_ids=torch.from_numpy(batch),
            position_ids=torch.from_numpy(rows.positions(batch, 0)),
            use_cache=False,
        ).logits
        alone = model(input_ids=torch.tensor([[0, 8, 9]])).logits
    assert not torch.allclose(logits[0, :3], logits[1, :3])
    assert torch.allclose(logits[0, 3:], logits[1, 3:], atol=1e-6)
    assert torch.allclose(logits[:1, 3:], alone, atol=1e-5)


def test_a_mixture_uses_every_window_once_an_epoch_and_can_skip():
    files = {"a": np.arange(41, dtype=np.uint16), "b": np.arange(100, 181, dtype=np.uint16)}
    mixture = rows.Mixture(files, {"a": 1, "b": 2}, length=4, seed=3)
    drawn = mixture.rows(300)
    assert drawn.shape == (300, 5)
    first = [row[0] for row in drawn if row[0] < 100]
    assert sorted(first[:10]) == list(range(0, 40, 4))
    assert sorted(first[10:20]) == list(range(0, 40, 4))
    assert first[:10] != first[10:20]
    assert 70 <= len(first) <= 130
    later = rows.Mixture(files, {"a": 1, "b": 2}, length=4, seed=3)
    later.skip(120)
    assert (later.rows(180) == drawn[120:]).all()


def test_ngram_probabilities_sum_to_one():
    ngrams = measure.NGrams(np.array([0, 1, 2, 1, 2, 3, 1, 2, 1, 0, 3, 2]), vocab_size=5)
    for order in (1, 3):
        for history in ([1, 2], [4, 4], [0, 3]):
            total = sum(ngrams.probabilities(np.array([*history, word]), order)[0] for word in range(5))
            assert total == pytest.approx(1)
    assert ngrams.probabilities(np.array([1, 2, 1]), 3) > ngrams.probabilities(np.array([1, 2, 1]), 1)


def test_windows_of_a_long_document_score_every_token_once():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=16, n_layer=1, n_head=2, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()  # every token costs log2(20) bits, whatever stands before it
    for length in (1, 6, 7, 8, 9, 12, 30):
        bits = measure.model_bits(model, measure.Text([np.ones(length, dtype=np.int64)], b""))
        assert bits == pytest.approx(length * math.log2(20), rel=1e-4)


def test_learning_rate_warms_up_and_falls_to_zero():
    factors = [pretrain.rate_factor(step / 100, 0.1) for step in range(101)]
    assert factors[0] < 0.05
    assert max(factors) == factors[10] == 1
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0)


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("It's good, isn't it?", "It 's good , is n't it ?"),
        ('"No," he said (twice).', '" No , " he said ( twice ) .'),
        ("You've 1,000.50 well-made 'plans'...", "You 've 1,000.50 well-made ' plans ' ..."),
    ],
)
def test_space_out(text, spaced):
    assert tokens.space_out(text) == spaced
