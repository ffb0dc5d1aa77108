import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from knotwork import generation, models
from knotwork.errors import UserError
from knotwork.generation import FourteenLines, NoisePerPrompt, _sample, generate
from knotwork.params import Generation

OPENINGS = [
    "The day goes down.\nThe lamps come up again\nbehind the rain.",
    "One line alone",
    "A door,\na much longer second line about the door and all the people who went through it before,\nshut.",
]
SETTINGS = Generation(temperature=1.0, top_p=0.95, max_new_tokens=40, seed=0, best_of=1)


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return models.load_tokenizer(tiny_base)


@pytest.fixture(scope="module")
def model(tiny_base):
    return GPT2LMHeadModel.from_pretrained(tiny_base).eval()


@pytest.fixture(scope="module")
def short_model(tokenizer):
    """Untrained, with a context of 64 tokens."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=16,
        n_layer=1,
        n_head=1,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture
def always(monkeypatch):
    """A function that makes the model say a cycle of tokens, whatever it reads."""

    def work(tokens):
        forward = GPT2LMHeadModel.forward
        said = iter(range(10**6))

        def fixed(self, *args, **kwargs):
            output = forward(self, *args, **kwargs)
            token = tokens[next(said) % len(tokens)]
            output.logits = torch.full_like(output.logits, -1e9)
            output.logits[..., token] = 0.0
            return output

        monkeypatch.setattr(GPT2LMHeadModel, "forward", fixed)

    return work


def test_a_batch_of_twelve_is_twelve_singles(model, tokenizer):
    """Prompts of different lengths: padding on the left and position ids must not show."""
    words = "of light and water under an old and quiet bridge that nobody has crossed"
    prompts = [f"{OPENINGS[i % 3]}\nLine {i} {words[: 5 * i]}" for i in range(12)]
    assert len({len(tokenizer(prompt)["input_ids"]) for prompt in prompts}) > 6
    together = generate(model, tokenizer, prompts, SETTINGS)
    assert together == [generate(model, tokenizer, [prompt], SETTINGS)[0] for prompt in prompts]


def test_a_long_opening_cuts_no_other_text_short(short_model, tokenizer, always):
    """It leaves room for few tokens in the context, which is its own affair."""
    always([tokenizer(" word")["input_ids"][0]])
    settings = SETTINGS.model_copy(update={"max_new_tokens": 40})
    long = "word " * 45
    assert 40 < len(tokenizer(long)["input_ids"]) < 63
    openings = ["One", long, "Two"]
    together = generate(short_model, tokenizer, openings, settings)
    assert together == [generate(short_model, tokenizer, [opening], settings)[0] for opening in openings]
    assert together[0].count("word") == together[2].count("word") == 40


def test_without_noise_it_is_the_likeliest_continuation(model, tokenizer):
    """Greedy decoding step by step with neither cache nor padding, against top-p of almost nothing."""
    settings = SETTINGS.model_copy(update={"top_p": 1e-6, "max_new_tokens": 12})
    texts = generate(model, tokenizer, OPENINGS, settings)
    for opening, text in zip(OPENINGS, texts, strict=True):
        ids = tokenizer(opening + "\n")["input_ids"]
        for _ in range(12):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        wanted = [line.rstrip() for line in tokenizer.decode(ids).split("\n") if line.strip()]
        assert text.split("\n") == wanted[:14]


@pytest.mark.parametrize(
    "temperature, top_p, shares",
    [(1.0, 1.0, [0.5, 0.3, 0.2]), (0.5, 1.0, [0.66, 0.24, 0.11]), (1.0, 0.6, [0.625, 0.375, 0])],
)
def test_noise_draws_from_the_softmax(temperature, top_p, shares):
    """The largest of scores and noise has the probabilities of temperature and top-p sampling."""
    settings = Generation(temperature=temperature, top_p=top_p, max_new_tokens=1, seed=0, best_of=1)
    noise = NoisePerPrompt([[prompt] for prompt in range(4000)], settings)
    scores = torch.tensor([0.5, 0.3, 0.2]).log().expand(4000, 3)
    drawn = noise(torch.zeros(4000, 1, dtype=torch.long), scores).argmax(1)
    assert torch.bincount(drawn, minlength=3).div(4000).tolist() == pytest.approx(shares, abs=0.03)


def test_seed_and_prompt_decide_the_text(model, tokenizer):
    first = generate(model, tokenizer, OPENINGS, SETTINGS)
    assert generate(model, tokenizer, OPENINGS, SETTINGS) == first
    other = generate(model, tokenizer, OPENINGS, SETTINGS.model_copy(update={"seed": 1}))
    assert all(ours != theirs for ours, theirs in zip(first, other, strict=True))


def test_texts_begin_with_their_openings(model, tokenizer):
    for opening, text in zip(OPENINGS, generate(model, tokenizer, OPENINGS, SETTINGS), strict=True):
        assert text.startswith(opening + "\n")


def test_it_stops_at_fourteen_lines(model, tokenizer, always):
    always(tokenizer(" word\n")["input_ids"])
    texts = generate(
        model, tokenizer, OPENINGS, Generation(temperature=1, top_p=1, max_new_tokens=200, seed=0, best_of=1)
    )
    assert [len(text.split("\n")) for text in texts] == [14, 14, 14]


def test_the_fourteenth_line_ends_a_row(tokenizer):
    """Counted with the lines of the prompt; empty lines do not count."""
    ids = [tokenizer(text)["input_ids"] for text in ("a\nb\n", "a\n\n", "a\nb")]
    width = max(map(len, ids))
    rows = torch.tensor([[*row, *[tokenizer.eos_token_id] * (width - len(row))] for row in ids])
    assert FourteenLines(tokenizer, 0, [12, 12, 12])(rows, None).tolist() == [True, False, False]
    assert FourteenLines(tokenizer, 0, [13, 13, 13])(rows, None).tolist() == [True, True, True]
    # The prompt itself is not counted twice.
    assert FourteenLines(tokenizer, width, [12, 12, 12])(rows, None).tolist() == [False, False, False]


def test_end_of_text_ends_it(model, tokenizer, always):
    always([tokenizer.eos_token_id])
    assert generate(model, tokenizer, OPENINGS, SETTINGS) == OPENINGS


def test_max_new_tokens_ends_it(model, tokenizer, always):
    always(tokenizer(" word")["input_ids"])
    settings = SETTINGS.model_copy(update={"max_new_tokens": 3})
    assert generate(model, tokenizer, ["One"], settings) == ["One\n word word word"]


def test_the_context_ends_it(short_model, tokenizer):
    """A prompt that leaves less room than asked for is gone on from as far as the context goes."""
    settings = Generation(temperature=1, top_p=1, max_new_tokens=300, seed=0, best_of=1)
    (text,) = generate(short_model, tokenizer, ["one two three"], settings)
    assert text.startswith("one two three\n")


def test_training_mode_is_kept(model, tokenizer):
    model.train()
    generate(model, tokenizer, ["One"], SETTINGS)
    assert model.training
    model.eval()


@pytest.mark.parametrize("opening", ["", "  \n", "\n\n"])
def test_empty_prompt(model, tokenizer, opening):
    with pytest.raises(UserError, match="prompt 2: empty"):
        generate(model, tokenizer, ["One line", opening], SETTINGS)


def test_a_prompt_that_is_a_whole_sonnet(model, tokenizer):
    with pytest.raises(UserError, match="prompt 1: 14 lines or more are a whole sonnet; give fewer"):
        generate(model, tokenizer, ["One line\n" * 14], SETTINGS)


def test_prompt_longer_than_the_context(short_model, tokenizer):
    with pytest.raises(UserError, match=r"prompt 2: \d+ tokens leave no room in the context of 64"):
        generate(short_model, tokenizer, ["One", "word " * 64], SETTINGS)


class TestBestOf:
    SETTINGS = SETTINGS.model_copy(update={"best_of": 4, "temperature": 1.5, "max_new_tokens": 12})

    def samples(self, model, tokenizer):
        """The four samples of each opening: the first as without a choice, the others with noise of their own."""
        return [_sample(model, tokenizer, OPENINGS, self.SETTINGS, number) for number in range(4)]

    def test_the_first_sample_is_the_only_one_of_one(self, model, tokenizer):
        one = self.SETTINGS.model_copy(update={"best_of": 1})
        samples = self.samples(model, tokenizer)
        assert generate(model, tokenizer, OPENINGS, one) == samples[0]
        assert all(len(set(texts)) == 4 for texts in zip(*samples, strict=True))

    def test_it_is_the_sample_with_the_lowest_nll_per_token(self, model, tokenizer):
        """Recomputed text by text, with neither batch nor padding."""
        kept = generate(model, tokenizer, OPENINGS, self.SETTINGS)
        for opening, text, *samples in zip(OPENINGS, kept, *self.samples(model, tokenizer), strict=True):
            costs = []
            for sample in samples:
                given = len(tokenizer(opening + "\n")["input_ids"])
                ids = torch.tensor([tokenizer(sample)["input_ids"]])
                with torch.no_grad():
                    steps = model(ids).logits[0].log_softmax(-1)[given - 1 : -1]
                costs.append(-float(steps.gather(1, ids[0, given:, None]).mean()))
            assert text == samples[costs.index(min(costs))]

    def test_an_empty_sample_is_never_chosen(self, model, tokenizer, monkeypatch):
        written = {0: ["One"], 1: ["One\ntwo"]}
        monkeypatch.setattr(generation, "_sample", lambda *arguments: written[arguments[-1]])
        settings = self.SETTINGS.model_copy(update={"best_of": 2})
        assert generate(model, tokenizer, ["One"], settings) == ["One\ntwo"]

    def test_the_adapter_completes_the_samples(self, model, tokenizer):
        seen = []
        generate(
            model, tokenizer, OPENINGS, self.SETTINGS, lambda examples: seen.append(examples) or list(examples)
        )
        assert [len(examples) for examples in seen] == [3, 3, 3, 3]
