"""Image models of transformers without a text tower, such as DINOv2: the vector is the model's own pooled output."""

from typing import Any

import torch
from torch import Tensor, nn

from pinery.errors import ConfigError
from pinery.models.network import TorchModel
from pinery.models.pretrained import (
    PLAIN,
    Pretrained,
    card_of,
    load_network,
    locate,
    pooled,
    processed,
    width,
)
from pinery.models.processors import Processor, load_processor
from pinery.models.reference import Reference
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

POOLED, CLS = "pooled output", "CLS token"


def load(reference: Reference, settings: ModelSettings, card: ModelCard | None = None) -> TorchModel:
    """Return the image model in a folder or a Hub repo, at the card's commit or without a card at `main`.

    Its vector is the model's pooled output. Where the model has no pooling, or lacks the weights for it (as classifiers
    do that were trained without), it is the last state of the CLS token. The card's layer says which.

    Raises ConfigError where there is no such folder or repo, or it holds no image model with all its weights;
    AccessDeniedError where the repo is gated; and TerminalError where it can't be downloaded.
    """
    found = locate(reference, settings, card)
    network, whole = load_network(found, dispensable="pooler.")
    _refuse_other_kinds(found, network)
    if not whole:
        network.pooler = None
    processor = load_processor(found.folder)
    layer = card.layer.partition(",")[0] if card else _layer(found, network, whole, processor)
    tower = ImageTower(network, layer)
    dimension = card.dimension if card else width(tower, processor)
    found_card = card_of(found, settings, layer, processor, dimension)
    return processed(tower, processor, found_card, settings)


class ImageTower(nn.Module):
    """An image model of transformers that gives one vector for each image, from its `layer`: POOLED or CLS."""

    def __init__(self, network: Any, layer: str) -> None:
        super().__init__()
        self.network, self.layer = network, layer

    def forward(self, images: Tensor) -> Tensor:
        """Return the vectors of preprocessed images (images, 3, height, width): shape (images, dimension)."""
        output = self.network(pixel_values=images)
        if self.layer == POOLED:
            return pooled(output)
        first: Tensor = output.last_hidden_state[:, 0]
        return first


def _refuse_other_kinds(found: Pretrained, network: Any) -> None:
    kind = network.config.model_type
    if hasattr(network, "get_text_features"):
        raise ConfigError(f"{found.folder} holds a dual encoder of type {kind!r}; name it as a clip: model")
    if network.main_input_name != "pixel_values":
        raise ConfigError(f"{found.folder} holds a model of type {kind!r}, which takes no images")


def _layer(found: Pretrained, network: Any, whole: bool, processor: Processor) -> str:
    with torch.inference_mode():
        output = network.eval()(pixel_values=processor.values(PLAIN))
    if whole and getattr(output, "pooler_output", None) is not None:
        return POOLED
    if any(name.endswith("cls_token") for name, _ in network.named_parameters()):
        return CLS
    raise ConfigError(
        f"{found.folder} holds a model of type {network.config.model_type!r}, which has neither a pooled output nor a"
        " CLS token; take a model that has one"
    )
