import pytest
from peft import PeftConfig

from knotwork import KanLoraConfig, UserError

REFUSED = {
    "grid size": ({"grid_size": 0}, r"kan\.grid_size: 0 is not allowed; it is a whole number from 1"),
    "order": ({"order": -1}, r"kan\.order: -1 is not allowed; it is a whole number from 0"),
    "fraction": ({"order": 2.5}, r"kan\.order: 2\.5"),
    "basis": ({"basis": "fourier"}, r"kan\.basis: 'fourier' is not allowed; it is one of bspline, rbf, chebyshev"),
    "spline": ({"spline": "half"}, r"kan\.spline: 'half' .* full, factored, latent"),
    "activation": ({"activation": "relu"}, r"kan\.activation: 'relu' .* pretrained, silu"),
    "reversed": ({"range": (1.0, -1.0)}, r"kan\.range: \(1\.0, -1\.0\) .* first number must be the smaller"),
    "empty": ({"range": (1.0, 1.0)}, r"kan\.range: .* first number must be the smaller"),
    "endless": ({"range": (0.0, float("inf"))}, r"kan\.range: "),
    "one number": ({"range": (1.0,)}, r"kan\.range: .* two numbers"),
    "word": ({"range": "wide"}, r"kan\.range: 'wide' .* `fitted` or two numbers"),
    "rank": ({"r": 0}, r"kan\.r: 0 is not allowed; a rank is a whole number from 1"),
    "no rank": ({"r": None}, r"kan\.r: None is not allowed"),
    "no ranks": ({"r": []}, r"kan\.r: \[\] is not allowed"),
    "one of the ranks": ({"spline_r": [4, 0]}, r"kan\.spline_r: \[4, 0\] is not allowed"),
    "rank of full": ({"spline": "full", "spline_r": 4}, r"kan\.spline_r: 4 .* full splines have no rank"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_value_is_one_line(case):
    values, line = REFUSED[case]
    with pytest.raises(UserError, match=line) as caught:
        KanLoraConfig(**values)
    assert "\n" not in str(caught.value)


def test_comes_back_from_its_file(tmp_path):
    config = KanLoraConfig(r=[2, 3], spline="factored", spline_r=[4, 5], range=(-2, 2.5), blocks=[0, 1], l1=0.1)
    config.save_pretrained(tmp_path)
    again = PeftConfig.from_pretrained(tmp_path)
    assert isinstance(again, KanLoraConfig)
    assert again.range == (-2.0, 2.5)
    assert {**vars(again), "range": None} == {**vars(config), "range": None}
