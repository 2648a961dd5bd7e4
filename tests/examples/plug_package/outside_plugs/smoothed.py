"""An objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from raysurf.training.objectives.spec import ObjectiveSpec, Trained

if TYPE_CHECKING:
    import random

    from torch import Tensor

    from raysurf.training.epoch import Recipe
    from raysurf.training.objective import Objective


class Smoothed(ObjectiveSpec):
    """Cross-entropy with smoothed labels."""

    kind: ClassVar[str] = "smoothed"
    share: float = Field(0.1, ge=0, lt=1, description="of a label that all classes get alike")

    def build(self, network: Trained, recipe: Recipe) -> Objective:
        import torch
        import torch.nn.functional as F

        from raysurf.training.objective import CrossEntropy

        share, setting = self.share, network.job.setting

        class Loss(CrossEntropy):
            def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
                logits = self.model(inputs)
                loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=share)
                (loss / num_examples).backward()  # type: ignore[no-untyped-call]
                wrong = (logits.argmax(1) != labels).sum()
                return torch.stack([loss.detach().double(), wrong.double()])

        return Loss(network.model, setting("weight_decay"), setting("precision"))
