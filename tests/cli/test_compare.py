"""``raysurf compare``, as a user types it."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raysurf.cli import main
from raysurf.cli.compare import TABLES
from raysurf.results.layouts import LAYOUTS
from tests.results.noisy_runs import DROPOUT, LAYER, VARIANCE, NoisyStore, schemes

Compare = Callable[..., tuple[int, str, str]]
TABLE = """
network      data                   method    seeds  stochastic         deterministic      ensemble
-----------  ---------------------  --------  -----  -----------------  -----------------  -----------------
LeNet-5      MNIST                  dropout       3  98.3 ± 0.2 | 99.1  99.0 ± 0.0 | 99.4  99.3 ± 0.2 | 99.4
LeNet-5      MNIST                  variance      –           – | 95.9           – | 10.1           – | 99.3
VGG-like     CIFAR-100 (20 coarse)  dropout       –           – | 77.5           – | 79.8           – | 81.7
VGG-like     CIFAR-100 (20 coarse)  variance      1        77.0 | 76.9           – | 5.0            – | 82.2
digits_conv  digits                 variance      1        90.0 | –           10.0 | –           95.0 | –
"""


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NoisyStore:
    """The store ``results`` of the folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return NoisyStore(Path("results"))


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    """The command; it gives exit code, stdout and stderr."""

    def typed(*arguments: str, columns: int = 200) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raysurf", "compare", *arguments])
        monkeypatch.setenv("COLUMNS", str(columns))
        code = main._run()
        return code, *capsys.readouterr()

    return typed


def test_schemes_in_the_talks_layout(noisy: NoisyStore, compare: Compare) -> None:
    """Percent with one decimal, ours | published, dashes for what is missing, and what one must know below."""
    for seed, more in enumerate((0.0, 0.002, 0.004)):
        noisy.run(DROPOUT, schemes(0.981 + more, 0.99, 0.991 + more), seed=seed)
    noisy.run(VARIANCE, {"stochastic": 0.77}, model="vgg_like", data="cifar100_coarse")
    noisy.run(VARIANCE, schemes(0.9, 0.1, 0.95), model="digits_conv", data="digits")
    code, out, err = compare("schemes")
    assert (code, err) == (0, "")
    title, table, notes = out.split("\n\n")
    assert title == "Prediction schemes: test accuracy, %; mean ± std over seeds, ours | published"
    assert table.splitlines() == TABLE.strip().splitlines()
    assert "variational dropout, one alpha a layer\nCIFAR-100 (20 coarse): the talk's CIFAR-100 are" in notes


def test_parameterizations_with_settings(noisy: NoisyStore, compare: Compare) -> None:
    """ELBO as in print; settings have a column of their own; a figure of fewer seeds says so; failed runs are told."""
    for seed, ensemble in enumerate((0.99, 0.98, None)):
        accuracies = {"deterministic": 0.113} | ({} if ensemble is None else {"ensemble": ensemble})
        columns = {"seed": seed, "params": '{"lr": 0.1}'}
        noisy.run(LAYER, accuracies, elbo=-600.0 - 10 * seed, setting={"lr": 0.1}, **columns)
    noisy.run(LAYER, elbo=-72345.0, setting={"lr": 1.0}, params='{"lr": 1.0}')
    noisy.run(LAYER, status="failed")
    noisy.run(LAYER, status="failed")
    code, out, err = compare("parameterizations")
    assert (code, err) == (0, "2 runs left out: 2 failed\n")
    title, table, notes = out.split("\n\n")
    assert title.startswith("Parameterizations of variational dropout: ELBO on train, nats; test accuracy, %; mean ±")
    assert table.splitlines()[2:4] == [
        "LeNet-5  MNIST  layer             lr = 1        1          -7.2e4 | -5.9e2           – | 11.3"
        "                   – | 99.2",
        "LeNet-5  MNIST  layer             lr = 0.1      3  -6.1e2 ± 1.0e1 | -5.9e2  11.3 ± 0.0 | 11.3"
        "  98.5 ± 0.7 (n = 2) | 99.2",
    ]
    assert notes == "published: the talk, after Neklyudov et al. 2018 (arXiv:1803.03764)\n"


def test_markdown(noisy: NoisyStore, compare: Compare) -> None:
    """Two columns a figure; networks that print calls alike have our names too; bars in cells are escaped."""
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.991), model="lenet5")
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.99), arm="a|b", setting={"lr": 1})
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.992), arm="b", setting={"lr": 2})
    code, out, _ = compare("schemes", "--format", "markdown")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "Prediction schemes: test accuracy, %; ours, mean ± std over seeds, beside the published figure"
    assert lines[2:6] == [
        "| network | data | method | setting | seeds | stochastic | published | deterministic | published | ensemble"
        " | published |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| LeNet-5 (lenet5) | MNIST | dropout |  | 1 | 98.1 | 99.1 | 99.0 | 99.4 | 99.1 | 99.4 |",
        "| LeNet-5 (lenet5) | MNIST | variance |  | – | – | 95.9 | – | 10.1 | – | 99.3 |",
    ]
    assert lines[6].startswith(r"| LeNet-5 (lenet5_bn) | MNIST | dropout | a\|b | 1 | 98.1 |")


def test_csv_and_json_are_the_table_itself(noisy: NoisyStore, compare: Compare) -> None:
    """A row a figure, with fractions, of the sweeps asked for, as the program gets it."""
    noisy.run(VARIANCE, schemes(0.9, 0.1, 0.95), sweep="one", model="digits_conv", data="digits")
    noisy.run(VARIANCE, schemes(0.8, 0.1, 0.85), sweep="two")
    expected = noisy.open().compare("schemes", ["one"]).to_pylist()
    code, out, _ = compare("schemes", "--sweep", "one", "--format", "json")
    assert code == 0
    assert json.loads(out) == expected
    assert [row["mean"] for row in expected] == [0.9, 0.1, 0.95]
    (header, *lines) = csv.reader(io.StringIO(compare("schemes", "--sweep", "one", "--format", "csv")[1]))
    assert header == list(expected[0])
    assert [line[header.index("mean")] for line in lines] == ["0.9", "0.1", "0.95"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scheme",), "'scheme' is not one of 'parameterizations', 'schemes', 'budgets'"),
        (
            (),
            "got no table; expected one of parameterizations, schemes, budgets, or --by parameterization, --by scheme",
        ),
        (("schemes", "--by", "budget"), "got both schemes and --by budget; give one of them"),
        (("schemes", "--sweep", "nosy"), "unknown sweep: got 'nosy'; expected one of noisy (did you mean 'noisy'?)"),
        (("parameterizations",), "got no finished variational run for parameterizations; expected a sweep of"),
        (("schemes", "--results", "nowhere"), "expected a store that a sweep has written"),
    ],
)
def test_mistakes_exit_with_2(noisy: NoisyStore, compare: Compare, arguments: tuple[str, ...], said: str) -> None:
    """A mistake is one error on stderr, with what there is."""
    noisy.run(DROPOUT, schemes(0.9, 0.9, 0.9))
    code, out, err = compare(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_tables_are_those_of_the_registry() -> None:
    """The command, which imports nothing for its help, offers every table that there is."""
    assert tuple(LAYOUTS) == TABLES
