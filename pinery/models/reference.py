"""A model reference in its parts."""

from dataclasses import dataclass

LAYERS = ("features", "logits")
"""The layers of a torchvision model that a reference may name; without one it means the logits."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model reference such as `torchvision:resnet50@IMAGENET1K_V2#features`; `str()` gives the text again."""

    family: str
    name: str = ""
    weights: str = ""
    layer: str = ""

    def __str__(self) -> str:
        text = f"{self.family}:{self.name}" if self.name else self.family
        text += f"@{self.weights}" if self.weights else ""
        return text + (f"#{self.layer}" if self.layer else "")
