"""``regions``: what a network with two inputs answers over the plane, and what a layer of it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from raysurf.errors import DataError, UnknownNameError
from raysurf.jobs.job import OfWeights, WeightsJob

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.context import Context, Row
    from raysurf.jobs.network import Network


class Regions(OfWeights):
    """Rows of ``inputs``: answers at every example and over a grid, with the moments of a layer's outputs.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), toy problem: in a variance network the deviations of the bottleneck
        carry the classes, since its means are the same for all inputs.
    """

    kind: ClassVar[str] = "regions"

    weights: WeightsJob = Field(description="a network on data of two numbers, such as toy_gaussians")
    layer: str = Field("bottleneck", description="the layer whose outputs are described")
    grid: int = Field(101, ge=2, description="nodes a side of the grid")
    margin: float = Field(0.1, ge=0, description="how far the grid goes beyond the examples, as a share of their range")
    num_samples: int = Field(50, ge=1, description="samples of the ensemble")
    sample_seed: int = Field(0, ge=0, description="decides every sample")

    def metric_names(self) -> tuple[str, ...]:
        return ("test/accuracy", "test/deterministic_accuracy")

    def run(self, context: Context) -> dict[str, float]:
        import math

        import torch

        from raysurf.jobs.network import Network

        net = Network(self, context)
        if math.prod(net.data.image_shape) != 2:
            raise DataError(net.data.name, f"inputs of shape {net.data.image_shape}", "inputs of two numbers")
        net.place(*context.weights(self.weights))
        every = torch.cat([net.data.train.images, net.data.test.images]).flatten(1)
        low, high = every.amin(0), every.amax(0)
        reach = self.margin * (high - low)
        axes = [torch.linspace(float(a), float(b), self.grid) for a, b in zip(low - reach, high + reach, strict=True)]
        nodes = torch.cartesian_prod(*axes).to(every.device)
        origins: dict[str, tuple[Tensor, Tensor | None]] = {
            "train": (net.splits["train"].images, net.splits["train"].labels),
            "test": (net.data.test.images, net.data.test.labels),
            "grid": (nodes.view(-1, *net.data.image_shape), None),
        }
        figures: dict[str, float] = {}
        for origin, (inputs, labels) in origins.items():
            rows = self._rows(net, origin, inputs, labels)
            context.report("inputs", *rows)
            if origin == "test":
                for name, column in (("accuracy", "answer"), ("deterministic_accuracy", "deterministic_answer")):
                    figures[f"test/{name}"] = sum(row[column] == row["label"] for row in rows) / len(rows)
        return figures

    def _rows(self, net: Network, origin: str, inputs: Tensor, labels: Tensor | None) -> list[Row]:
        import torch

        from raysurf.stochastic.layers import NoisyLayer, noise_mode
        from raysurf.stochastic.sampling import samples
        from raysurf.training.logits import logits_of
        from raysurf.training.schemes import Ensemble

        modules = dict(net.model.named_modules())
        if self.layer not in modules:
            raise UnknownNameError("layer", self.layer, [name for name in modules if name])
        layer, ensemble = modules[self.layer], Ensemble()
        moments: list[tuple[Tensor, Tensor]] = []

        def keep(module: object, given: tuple[Tensor, ...], out: Tensor) -> None:
            with noise_mode(net.model, "sample"):
                found = layer.moments(given[0]) if isinstance(layer, NoisyLayer) else (out, torch.zeros_like(out))
            moments.append((found[0].flatten(1), found[1].flatten(1)))

        given = net.data.normalise(inputs)
        net.model.eval()
        with torch.no_grad(), noise_mode(net.model, "mean"):
            handle = layer.register_forward_hook(keep)
            deterministic = logits_of(net.model(given)).argmax(1).tolist()
            handle.remove()
        for _, output in samples(net.model, given, 0, self.num_samples, "sample", self.sample_seed):
            ensemble.add(logits_of(output).log_softmax(1))
        confidence, answer = (each.tolist() for each in ensemble.log_probabilities.exp().max(1))
        means, deviations = (torch.cat(list(each)).tolist() for each in zip(*moments, strict=True))
        points = inputs.flatten(1).tolist()
        return [
            {
                "origin": origin,
                "point": i,
                "x": points[i][0],
                "y": points[i][1],
                "label": None if labels is None else int(labels[i]),
                "answer": answer[i],
                "confidence": confidence[i],
                "deterministic_answer": deterministic[i],
                "layer": self.layer,
                "output_mean": means[i],
                "output_std": deviations[i],
            }
            for i in range(len(points))
        ]
