"""The page *Reproducing the talk*, from result stores: each of the talk's tables, published beside ours.

uv run python docs/talk.py results ... > docs/reproducing-the-talk.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import raysurf as rs
from raysurf.cli.examples import examples, question
from raysurf.errors import RaysurfError
from raysurf.results.comparison.tables import LAYOUTS, Layout

HEAD = """# Reproducing the talk

raysurf comes from a talk on variance networks, mode connectivity and SWA. Every table and figure of it is a file in
`sweeps/talk/`. Most of them want GPUs, and have a small twin in `sweeps/small/` that runs on two cores. This page is
written by `docs/talk.py` from result stores: what stands as *ours* was measured by the commands that it names, and a
dash was not run, or not published.
"""
FILES = {
    "budgets": ("swa_budgets_cifar10", "swa_budgets_cifar100", "swa_imagenet", "swa_budgets_cifar10_short"),
    "parameterizations": ("parameterizations_lenet5_mnist", "noise_lenet5_mnist_short"),
    "schemes": (
        "variance_lenet5_mnist",
        "variance_vgglike_cifar10",
        "variance_vgglike_cifar100_coarse",
        "noise_lenet5_mnist_short",
    ),
}
FIGURES = {
    "Planes through three networks, a Bezier and a polygonal curve": (
        "planes_vgg16_cifar10",
        "planes_preresnet164_cifar100",
        "map_lenet5_mnist",
        "planes_digits",
    ),
    "The toy problem of variance layers": ("variance_toy",),
    "Searches": ("search_swa_schedule", "search_variance_init"),
}
PICTURES = {
    "planes_digits": ("plane", "Planes of a small network on digits"),
    "variance_toy": ("toy", "A variance layer and an ordinary one on the toy problem"),
}


def page(stores: list[str]) -> Iterator[str]:
    """The page, part by part."""
    yield HEAD
    for name, files in FILES.items():
        for layout in LAYOUTS[name]:
            yield f"## {layout.title.partition(':')[0]}\n\nPublished by {layout.published.source}.\n"
            yield "\n".join(_table(name, layout, stores)) + "\n"
        yield from _commands(files, f"raysurf compare {name}")
    for title, files in FIGURES.items():
        yield f"## {title}\n"
        yield from _commands(files, "")
        for file, (picture, text) in PICTURES.items():
            if file in files:
                yield f"![{text}](pictures/{picture}.png)\n"
    yield from _machines(stores)


def _table(name: str, layout: Layout, stores: list[str]) -> Iterator[str]:
    """Published metrics, and ours as mean ± standard deviation over n seeds."""
    rows: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for (model, data), methods in layout.published.metrics.items():
        for method, metrics in methods.items():
            rows[model, data, method, "published"] = {key: _number(value, layout) for key, value in metrics.items()}
    for store in stores:
        try:
            comparisons = rs.results.open(store).compare(name).to_pylist()
        except RaysurfError:
            continue
        known = {column.name for column in layout.columns}
        for row in comparisons:
            if row["mean"] is not None and row["figure"] in known:
                spread = "" if row["std"] is None else f" ± {_number(row['std'], layout)}"
                text = f"{_number(row['mean'], layout)}{spread} (n = {row['num_seeds']})"
                ours = (row["model"], row["data"], row["method"], " ".join(["ours", row["setting"]]).strip())
                rows.setdefault(ours, {})[row["figure"]] = text
    yield f"| network | data | {layout.method_heading} | | {' | '.join(column.heading for column in layout.columns)} |"
    yield f"|---|---|---|---|{'---:|' * len(layout.columns)}"
    for labels, metrics in rows.items():
        yield f"| {' | '.join(labels)} | {' | '.join(metrics.get(column.name, '–') for column in layout.columns)} |"


def _number(value: float, layout: Layout) -> str:
    return f"{value:.3g}" if abs(value) > 1 else f"{100 * value:.{layout.decimals}f}"


def _commands(files: tuple[str, ...], compare: str) -> Iterator[str]:
    shipped = examples()
    yield "| file | question |\n|---|---|"
    for file in files:
        yield f"| `{shipped[file].relative_to(shipped['quickstart'].parent.parent)}` | {question(shipped[file])} |"
    lines = [f"raysurf run {file}" for file in files] + ([compare] if compare else [])
    yield "\n% not run: hours of training\n```shell\n" + "\n".join(lines) + "\n```\n"


def _machines(stores: list[str]) -> Iterator[str]:
    """What our values were measured on: sweeps, runs, epochs, wall time, hardware and versions."""
    if not stores:
        yield "## Ours\n\nNone of these files has been run at full size yet; the small twins' pictures are above."
        return
    yield "## What ours were measured on\n"
    yield "| sweep | runs | epochs | wall time | hardware | torch | commit |"
    yield "|---|---:|---:|---:|---|---|---|"
    for store in stores:
        rows = rs.results.open(store).sql("""
            select sweep, count(*) as runs, sum(epochs) as epochs, sum(wall_s) as wall_s, any_value(device) as device,
                any_value(versions::json->>'torch') as torch, any_value(git_commit) as commit
            from runs where status = 'done' group by sweep order by sweep
        """)
        for row in rows.to_pylist():
            yield (
                f"| {row['sweep']} | {row['runs']} | {row['epochs'] or 0:g} | {(row['wall_s'] or 0) / 60:.1f} min |"
                f" {row['device']} | {row['torch']} | {(row['commit'] or '')[:7]} |"
            )


if __name__ == "__main__":
    print("\n".join(page(sys.argv[1:])))
