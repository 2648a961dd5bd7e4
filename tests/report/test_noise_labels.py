"""What noisy networks are called in pictures."""

from __future__ import annotations

from typing import Any

import pytest

from raysurf.report.labels import noise_name


@pytest.mark.parametrize(
    ("noise", "name"),
    [
        ([{"kind": "variance", "layers": "dense1"}], "variance network"),
        ([{"kind": "variance", "family": "bernoulli"}], "variance network, bernoulli"),
        ([{"kind": "dropout", "layers": "all"}], "dropout"),
        ([{"kind": "gaussian_dropout"}], "Gaussian dropout"),
        ([{"kind": "variational_dropout", "sharing": "layer"}], "variational dropout, layer"),
        ([{"kind": "variational_dropout"}], "variational dropout, weight"),
        ([{"kind": "dropout", "layers": "dense1"}, {"kind": "dropout", "layers": "dense2"}], "dropout"),
        ([{"kind": "dropout"}, {"kind": "variance"}], "dropout + variance network"),
        ([{"kind": "white_noise"}], "white noise"),
        ([], "variational"),
        (None, "variational"),
    ],
)
def test_noise_is_named_as_in_papers(noise: Any, name: str) -> None:
    """Defaults that the JSON leaves out are known, a kind of several layers is said once, an unknown one as written."""
    assert noise_name({"kind": "variational", "noise": noise}) == name
