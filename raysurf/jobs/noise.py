"""``noise`` and ``regions``: noise of layers, activations, and answers over a plane of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from raysurf.errors import DataError, UnknownNameError
from raysurf.jobs.sources import OfWeights, WeightsJob
from raysurf.values import as_tuple

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network
    from raysurf.store import Row


class NoiseOf(OfWeights):
    """A row of ``layers`` for each noisy layer: signal-to-noise ratio, log alpha, share of the divergence, MMD.

    The MMD is that of the layer's N(mu, sigma^2) from N(0, sigma^2); dropout and other noise count as the Gaussian of
    the same moments. With ``neurons``, rows of ``activations`` too: the outputs of these neurons of one layer over the
    test examples and draws of the noise, a histogram a class.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), section 4; bandwidth and estimate of the MMD in
        ``stochastic.divergence.discrepancy``.
    """

    kind: ClassVar[str] = "noise"

    weights: WeightsJob = Field(description="weights that are noise, such as those of a variational job")
    num_draws: int = Field(100, ge=2, description="draws of each distribution that the MMD is estimated with")
    layer: str | None = Field(None, description="the layer whose neurons are looked at")
    neurons: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = Field((), description="its outputs, from 0")
    num_samples: int = Field(10, ge=1, description="draws of the noise for each test example")
    num_bins: int = Field(120, ge=2, description="bins of the histograms")
    sample_seed: int = Field(0, ge=0, description="decides every draw")

    @model_validator(mode="after")
    def _has_noise(self) -> Self:
        if not self.weights.model_spec.noise:
            raise ValueError(f"weights of {self.weights.kind} have no noise; give those of a variational job")
        if (self.layer is None) != (not self.neurons):
            raise ValueError("layer and neurons go together; give both, or neither")
        if any(neuron < 0 for neuron in self.neurons):
            raise ValueError(f"neuron {min(self.neurons)}; they are counted from 0")
        return self

    def metric_names(self) -> tuple[str, ...]:
        return ("snr", "kl", "mmd")

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network

        net = Network(self, context)
        net.place(*context.weights(self.weights))
        rows = self._layers(net)
        context.report("layers", *rows)
        if self.neurons:
            context.report("activations", *self._activations(net))
        weights = sum(row["num_weights"] for row in rows)
        means = {k: sum(row[k] * row["num_weights"] for row in rows) / weights for k in ("snr", "mmd")}
        return means | {"kl": sum(row["kl"] for row in rows)}

    def _layers(self, net: Network) -> list[Row]:
        import torch

        from raysurf.stochastic.divergence import TINY, discrepancy, log_alpha_of, signal_to_noise
        from raysurf.stochastic.layers import noisy_layers

        rows: list[Row] = []
        with torch.no_grad():
            for position, (name, layer) in enumerate(noisy_layers(net.model).items()):
                variance, mean = layer.variance().expand(layer.shape).double(), layer.mean()
                middle = variance.new_zeros(layer.shape) if mean is None else mean.double()
                snr = signal_to_noise(middle, variance.clamp_min(TINY))
                generator = torch.Generator(snr.device).manual_seed(self.sample_seed)
                estimate, closed = discrepancy(snr.flatten(), self.num_draws, generator)
                row: Row = {"layer": name, "position": position, "num_weights": snr.numel()}
                row |= {"sigma": float(variance.mean().sqrt()), "snr": float(snr.mean()), "kl": float(layer.kl())}
                row |= {"mmd": estimate, "mmd_closed": closed, "num_draws": self.num_draws}
                if mean is not None:
                    log_alpha = log_alpha_of(middle, variance)
                    row |= {"log_alpha": float(log_alpha.mean())}
                    row |= {"log_alpha_min": float(log_alpha.min()), "log_alpha_max": float(log_alpha.max())}
                rows.append(row)
        total = sum(row["kl"] for row in rows)
        return [row | {"kl_share": row["kl"] / total if total else None} for row in rows]

    def _activations(self, net: Network) -> Iterator[Row]:
        import torch

        values, labels = self._outputs(net)
        for place, neuron in enumerate(self.neurons):
            own = values[:, place]
            edges = torch.linspace(float(own.min()), float(own.max()), self.num_bins + 1, dtype=torch.float64)
            for label in range(net.data.num_classes):
                mine = own[labels == label].double().cpu()
                if not len(mine):
                    continue
                counts = torch.histogram(mine, edges).hist / len(mine)
                common: Row = {"layer": self.layer, "neuron": neuron, "label": label, "num_draws": len(mine)}
                common |= {"mean": float(mine.mean()), "std": float(mine.std(correction=0))}
                for low, high, share in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
                    yield {**common, "low": low, "high": high, "share": share}

    def _outputs(self, net: Network) -> tuple[Tensor, Tensor]:
        """The neurons' outputs, [samples * test examples, neurons], sample by sample, and the examples' classes."""
        import torch
        from torch import nn

        from raysurf.stochastic.sampling import samples
        from raysurf.training.evaluation import batches

        modules = {name: module for name, module in net.model.named_modules() if name}
        assert self.layer is not None
        if self.layer not in modules:
            raise UnknownNameError("layer", self.layer, modules)
        seen: list[Tensor] = []
        is_linear = isinstance(modules[self.layer], nn.Linear) or len(getattr(modules[self.layer], "shape", ())) == 2

        def keep(module: object, inputs: object, out: Tensor) -> None:
            if out.dim() > 2:
                out = out.mean(tuple(range(1, out.dim() - 1))) if is_linear else out.flatten(2).mean(2)
            if (most := max(self.neurons)) >= out.shape[1]:
                known = f"0 to {out.shape[1] - 1}"
                raise DataError(net.data.name, f"neuron {most} of {self.layer}", f"one of its outputs {known}")
            seen[:] = [out[:, list(self.neurons)].clone()]

        net.model.eval()
        outputs: list[list[Tensor]] = [[] for _ in range(self.num_samples)]
        right: list[Tensor] = []
        parts = list(batches(slice(0, len(net.data.test)), 128))
        handle = modules[self.layer].register_forward_hook(keep)
        try:
            for part, (images, labels) in zip(parts, net.data.test.batches(parts), strict=True):
                if not len(labels):
                    continue
                right.append(labels)
                inputs = net.data.normalise(images)
                for number, _ in samples(net.model, inputs, part.start, self.num_samples, "sample", self.sample_seed):
                    # A layer that no noise reaches is not called again for later samples; its outputs are the same.
                    outputs[number].append(seen[0])
        finally:
            handle.remove()
        return torch.cat([torch.cat(own) for own in outputs]), torch.cat(right).repeat(self.num_samples)


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
        metrics: dict[str, float] = {}
        for origin, (inputs, labels) in origins.items():
            rows = self._rows(net, origin, inputs, labels)
            context.report("inputs", *rows)
            if origin == "test":
                for name, column in (("accuracy", "answer"), ("deterministic_accuracy", "deterministic_answer")):
                    metrics[f"test/{name}"] = sum(row[column] == row["label"] for row in rows) / len(rows)
        return metrics

    def _rows(self, net: Network, origin: str, inputs: Tensor, labels: Tensor | None) -> list[Row]:
        import torch

        from raysurf.stochastic.layers import NoisyLayer, noise_mode
        from raysurf.stochastic.sampling import samples
        from raysurf.training.evaluation import logits_of
        from raysurf.training.schemes import Ensemble

        modules = dict(net.model.named_modules())
        if self.layer not in modules:
            raise UnknownNameError("layer", self.layer, [name for name in modules if name])
        layer, ensemble = modules[self.layer], Ensemble()
        moments: list[tuple[Tensor, Tensor]] = []

        def keep(module: object, given: tuple[Tensor, ...], out: Tensor) -> None:
            with noise_mode(net.model, "sample"):
                mean, std = layer.moments(given[0]) if isinstance(layer, NoisyLayer) else (out, torch.zeros_like(out))
            moments.append((mean.flatten(1), std.flatten(1)))

        given = net.data.normalise(inputs)
        net.model.eval()
        with torch.no_grad(), noise_mode(net.model, "mean"):
            handle = layer.register_forward_hook(keep)
            deterministic = logits_of(net.model(given)).argmax(1).tolist()
            handle.remove()
        for _, output in samples(net.model, given, 0, self.num_samples, "sample", self.sample_seed):
            ensemble.add(logits_of(output).log_softmax(1))
        confidence, answer = (values.tolist() for values in ensemble.log_probabilities.exp().max(1))
        means, deviations = (torch.cat(list(values)).tolist() for values in zip(*moments, strict=True))
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
