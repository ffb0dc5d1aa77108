import subprocess
import sys

import pytest

ORDERS = {
    "knotwork first": "import knotwork\nimport peft",
    "peft first": "import peft\nimport knotwork",
    "part of peft first": "from peft import PeftModel\nimport knotwork",
    "looked for first": "import knotwork, importlib.util\nassert importlib.util.find_spec('peft')\nimport peft",
    "twice": "import knotwork, importlib\nimport peft\nimportlib.reload(knotwork)",
}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("order", ORDERS)
def test_peft_knows_our_methods_in_either_order(order):
    known = python(
        f"{ORDERS[order]}\n"
        "from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as configs, PEFT_TYPE_TO_TUNER_MAPPING as tuners\n"
        "from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING as prefixes\n"
        "for name in ('KAN_LORA', 'GRAPH_LORA'):\n"
        "    print(configs[name].__name__, tuners[name].__name__, prefixes[name])"
    )
    assert known.splitlines() == [
        "KanLoraConfig KanLoraModel kan_lora_",
        "GraphLoraConfig GraphLoraModel graph_lora_",
    ]


def test_import_is_light():
    loaded = python(
        "import knotwork, sys\nprint([name for name in ('torch', 'peft', 'spacy') if name in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_public_names_are_there():
    python("import knotwork\nassert all(getattr(knotwork, name) for name in knotwork.__all__)")


def test_unknown_name_is_an_attribute_error():
    python(
        "import knotwork, pytest\nwith pytest.raises(AttributeError, match='no attribute'):\n    knotwork.nothing"
    )
