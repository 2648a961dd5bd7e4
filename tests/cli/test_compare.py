"""``raysurf compare``, as a user types it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cli.tables import TABLES
from raysurf.jobs.execute import execute
from raysurf.jobs.job import Job
from raysurf.jobs.provenance import Labels
from raysurf.results.comparison.tables import LAYOUTS
from raysurf.store.store import Store
from raysurf.training.workers import Workers
from tests.support.budget_runs import PROVENANCE, BudgetStore, fge, sgd, swa, weights
from tests.support.cases import tiny_sgd
from tests.support.command import raysurf
from tests.support.noisy_runs import DROPOUT, LAYER, VARIANCE, NoisyStore, schemes

TABLE = """
network      data                   method    seeds  stochastic  published  deterministic  published  ensemble    published
-----------  ---------------------  --------  -----  ----------  ---------  -------------  ---------  ----------  ---------
LeNet-5      MNIST                  dropout       3  98.3 ± 0.2  99.1       99.0 ± 0.0     99.4       99.3 ± 0.2  99.4
LeNet-5      MNIST                  variance      –  –           95.9       –              10.1       –           99.3
VGG-like     CIFAR-100 (20 coarse)  dropout       –  –           77.5       –              79.8       –           81.7
VGG-like     CIFAR-100 (20 coarse)  variance      1  77.0        76.9       –              5.0        –           82.2
digits_conv  digits                 variance      1  90.0        –          10.0           –          95.0        –
"""  # noqa: E501  # as it is printed
BUDGETS = """
Budgets: test accuracy, %; ours, mean ± std over seeds, published figures below

network (epochs)      data       figures    seeds  SGD           FGE            SWA 1  SWA 1.25  SWA 1.5
--------------------  ---------  ---------  -----  ------------  -------------  -----  --------  ------------
VGG-16 (200)          CIFAR-100  ours           2  72.55 ± 0.10  74.30 (n = 1)         –
VGG-16 (200)          CIFAR-100  lr = 0.05      1                               73.00
VGG-16 (200)          CIFAR-100  lr = 0.01      2                                                74.40 ± 0.14
VGG-16 (200)          CIFAR-100  published         72.55         74.26          73.91  74.17     74.27
PyramidNet-272 (300)  CIFAR-100  ours           1  83.00         –              –      –         –
PyramidNet-272 (300)  CIFAR-100  published         83.41         –              –      83.93     84.16
digits_conv (20)      digits     ours           1  97.50         –              –      –         –

published: the talk, after Izmailov et al. 2018 (arXiv:1803.05407); PreResNet-110: its code's README (timgaripov/swa)

SWA of pretrained weights: test accuracy, %; ours, mean ± std over seeds, published figures below

network    data      figures    seeds  SGD    SWA 5 epochs  SWA 10 epochs
---------  --------  ---------  -----  -----  ------------  -------------
ResNet-50  ImageNet  ours           1  76.13  76.80         –
ResNet-50  ImageNet  published         76.15  76.83         76.97

published: the talk, after Izmailov et al. 2018 (arXiv:1803.05407)
"""
NARROW = """
Budgets: test accuracy, %; mean ± std over seeds

network (epochs)  data       figure    seeds  ours          published
----------------  ---------  --------  -----  ------------  ---------
VGG-16 (200)      CIFAR-100  SGD           2  72.55 ± 0.07  72.55
VGG-16 (200)      CIFAR-100  FGE           –  –             74.26
VGG-16 (200)      CIFAR-100  SWA 1         1  73.00         73.91
VGG-16 (200)      CIFAR-100  SWA 1.25      –  –             74.17
VGG-16 (200)      CIFAR-100  SWA 1.5       –  –             74.27
"""


@pytest.fixture
def budgets() -> BudgetStore:
    """The working folder's store."""
    return BudgetStore(Path("results"))


@pytest.fixture
def noisy() -> NoisyStore:
    """The same, for runs of noisy networks."""
    return NoisyStore(Path("results"))


def compare(arguments: str) -> str:
    """What the command prints, which is all that it says."""
    done = raysurf(f"compare {arguments}")
    assert (done.code, done.err) == (0, "")
    return done.out


def test_schemes_in_the_talks_layout(noisy: NoisyStore) -> None:
    """Percent with one decimal, published beside ours, dashes for what is missing, and what one must know below."""
    for seed, more in enumerate((0.0, 0.002, 0.004)):
        noisy.run(DROPOUT, schemes(0.981 + more, 0.99, 0.991 + more), seed=seed)
    noisy.run(VARIANCE, {"stochastic": 0.77}, model="vgg_like", data="cifar100_coarse")
    noisy.run(VARIANCE, schemes(0.9, 0.1, 0.95), model="digits_conv", data="digits")
    title, table, notes = compare("schemes").split("\n\n")
    assert title == "Prediction schemes: test accuracy, %; ours, mean ± std over seeds, beside the published figure"
    assert table.splitlines() == TABLE.strip().splitlines()
    assert "variational dropout, one alpha a layer\nCIFAR-100 (20 coarse): the talk's CIFAR-100 are" in notes


def test_parameterizations_with_settings(noisy: NoisyStore) -> None:
    """ELBO as in print; settings have a column of their own; a figure of fewer seeds says so; failed runs are told."""
    for seed, ensemble in enumerate((0.99, 0.98, None)):
        accuracies = {"deterministic": 0.113} | ({} if ensemble is None else {"ensemble": ensemble})
        columns = {"seed": seed, "params": '{"lr": 0.1}'}
        noisy.run(LAYER, accuracies, elbo=-600.0 - 10 * seed, setting={"lr": 0.1}, **columns)
    noisy.run(LAYER, elbo=-72345.0, setting={"lr": 1.0}, params='{"lr": 1.0}')
    noisy.run(LAYER, status="failed")
    noisy.run(LAYER, status="failed")
    done = raysurf("compare parameterizations")
    assert (done.code, done.err) == (0, "2 runs left out: 2 failed\n")
    title, table, notes = done.out.split("\n\n")
    assert title.startswith("Parameterizations of variational dropout: ELBO on train, nats; test accuracy, %; ours")
    rows = [re.split("  +", row) for row in table.splitlines()[2:4]]
    same = ["LeNet-5", "MNIST", "layer"]
    assert rows == [
        [*same, "lr = 1", "1", "-7.2e4", "-5.9e2", "–", "11.3", "–", "99.2"],
        [*same, "lr = 0.1", "3", "-6.1e2 ± 1.0e1", "-5.9e2", "11.3 ± 0.0", "11.3", "98.5 ± 0.7 (n = 2)", "99.2"],
    ]
    assert notes == "published: the talk, after Neklyudov et al. 2018 (arXiv:1803.03764)\n"


def test_markdown(noisy: NoisyStore) -> None:
    """Two columns a figure; networks that print calls alike have our names too; bars in cells are escaped."""
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.991), model="lenet5")
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.99), arm="a|b", setting={"lr": 1})
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.992), arm="b", setting={"lr": 2})
    lines = compare("schemes --format markdown").splitlines()
    assert lines[0] == "Prediction schemes: test accuracy, %; ours, mean ± std over seeds, beside the published figure"
    assert lines[2:6] == [
        "| network | data | method | setting | seeds | stochastic | published | deterministic | published | ensemble"
        " | published |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| LeNet-5 (lenet5) | MNIST | dropout |  | 1 | 98.1 | 99.1 | 99.0 | 99.4 | 99.1 | 99.4 |",
        "| LeNet-5 (lenet5) | MNIST | variance |  | – | – | 95.9 | – | 10.1 | – | 99.3 |",
    ]
    assert lines[6].startswith(r"| LeNet-5 (lenet5_bn) | MNIST | dropout | a\|b | 1 | 98.1 |")


def test_budgets_in_the_talks_layout(budgets: BudgetStore) -> None:
    """Two tables, a column a budget, published figures below ours; each figure stands once, at its setting."""
    half = sgd(until=160)
    budgets.run(sgd(), 0.7248, 0.7262)
    budgets.run(fge(half, 40), 0.743)
    budgets.run(swa(half, 40, lr=0.05), 0.73)
    budgets.run(swa(half, 140), 0.743, 0.745)
    budgets.run(sgd("pyramidnet272", epochs=300), 0.83)
    budgets.run(sgd("digits_conv", "digits", 20), 0.975)
    budgets.run(weights(), 0.7613)
    budgets.run(swa(weights(), 5), 0.768)
    assert compare("--by budget").splitlines() == BUDGETS.strip().splitlines()


def test_a_narrow_terminal_gets_a_line_a_figure(budgets: BudgetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that the terminal would break is turned; no line of it is longer than the terminal is wide."""
    budgets.run(sgd(), 0.725, 0.726)
    budgets.run(swa(sgd(until=160), 40), 0.73)
    table = compare("budgets").split("\n\n")[1]
    widest = max(map(len, table.splitlines()))
    for columns in (80, widest - 1, widest):
        monkeypatch.setenv("COLUMNS", str(columns))
        printed = compare("budgets")
        assert table in printed if columns == widest else printed.startswith(NARROW.lstrip())


def test_budgets_in_markdown(budgets: BudgetStore) -> None:
    """It is stacked too."""
    budgets.run(sgd(), 0.725)
    assert compare("budgets --format markdown").splitlines()[2:6] == [
        "| network (epochs) | data | figures | seeds | SGD | FGE | SWA 1 | SWA 1.25 | SWA 1.5 |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| VGG-16 (200) | CIFAR-100 | ours | 1 | 72.50 | – | – | – | – |",
        "| VGG-16 (200) | CIFAR-100 | published |  | 72.55 | 74.26 | 73.91 | 74.17 | 74.27 |",
    ]


def test_comparisons_in_latex(noisy: NoisyStore) -> None:
    """A tabular of the comparison, whose title and notes are comments."""
    noisy.run(DROPOUT, schemes(0.981, 0.99, 0.991), model="lenet5")
    lines = compare("schemes --format latex").splitlines()
    assert lines[0].startswith("% Prediction schemes: test accuracy, %; ours, mean ± std over seeds")
    assert lines[2] == r"\begin{tabular}{lllrrrrrrr}"
    assert lines[6] == r"LeNet-5 & MNIST & dropout & 1 & 98.1 & 99.1 & 99.0 & 99.4 & 99.1 & 99.4 \\"
    after = lines[lines.index(r"\end{tabular}") + 1 :]
    assert after
    assert all(line.startswith("% ") for line in after)


def test_both_spellings_are_one(noisy: NoisyStore) -> None:
    """``--by scheme`` is the table ``schemes``, and both together are no mistake if they agree."""
    noisy.run(DROPOUT, schemes(0.9, 0.9, 0.9))
    assert compare("schemes") == compare("--by scheme") == compare("schemes --by scheme")


def test_budgets_of_jobs_that_were_run() -> None:
    """Real jobs on digits at three budgets fill their columns with what they themselves said was their accuracy."""
    half, store = tiny_sgd(epochs=4, until=3), Store("results")
    jobs: dict[str, Job] = {
        "sgd accuracy": tiny_sgd(epochs=4),
        "fge accuracy": rs.FGE(start=half, epochs=1, cycle_epochs=0.5, schedule=rs.Triangle(high=0.05, low=0.005)),
        "swa 1 accuracy": rs.SWA(start=half, epochs=1, lr=0.05),
        "swa 1.25 accuracy": rs.SWA(start=half, epochs=2, lr=0.05),
        "swa 1.5 accuracy": rs.SWA(start=half, epochs=3, lr=0.05),
    }
    said = {}
    for name, job in jobs.items():
        labels = Labels("budgets", "trial", job.kind, PROVENANCE)
        seeded = [job.with_seed(seed) for seed in (0, 1)]
        said[name] = [execute(job, store, Workers(), lambda _: None, labels)["test/accuracy"] for job in seeded]
    assert len({accuracy for accuracies in said.values() for accuracy in accuracies}) > 5
    rows = json.loads(compare("budgets --format json"))
    assert [(row["model"], row["data"], row["method"]) for row in rows] == [("digits_conv", "digits", "4")] * 5
    assert {row["figure"]: (row["mean"], row["std"]) for row in rows} == {
        name: pytest.approx(((a + b) / 2, abs(a - b) / 2**0.5)) for name, (a, b) in said.items()
    }


def test_csv_and_json_are_the_table_itself(noisy: NoisyStore, budgets: BudgetStore) -> None:
    """A row a figure, with fractions, of the sweeps asked for, as the program gets it; budgets are of both tables."""
    noisy.run(VARIANCE, schemes(0.9, 0.1, 0.95), sweep="one", model="digits_conv", data="digits")
    noisy.run(VARIANCE, schemes(0.8, 0.1, 0.85), sweep="two")
    budgets.run(sgd(), 0.725)
    budgets.run(swa(weights(), 5), 0.768)
    ours = noisy.open().compare("schemes", ["one"]).to_pylist()
    assert [row["mean"] for row in ours] == [0.9, 0.1, 0.95]
    both = noisy.open().compare("budgets").to_pylist()
    assert len(both) == 5 + 3
    for asked, expected in (("schemes --sweep one", ours), ("budgets", both)):
        assert json.loads(compare(f"{asked} --format json")) == expected
        rows = list(csv.DictReader(io.StringIO(compare(f"{asked} --format csv"))))
        assert list(rows[0]) == list(expected[0])
        assert [(row["figure"], row["mean"]) for row in rows] == [
            (row["figure"], "" if row["mean"] is None else str(row["mean"])) for row in expected
        ]


def test_tables_are_those_of_the_registry() -> None:
    """The command, which imports nothing for its help, offers every table that there is."""
    assert tuple(LAYOUTS) == TABLES
