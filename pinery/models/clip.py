"""Dual encoders of transformers, such as CLIP and SigLIP: they embed images and texts in one space."""

from typing import Any

from torch import Tensor, nn
from transformers import AutoTokenizer

from pinery.errors import ConfigError
from pinery.models.network import Tokenise, TorchModel
from pinery.models.pretrained import (
    Pretrained,
    card_of,
    load_network,
    locate,
    pooled,
    processed,
    width,
)
from pinery.models.processors import first_line, load_processor
from pinery.models.reference import Reference
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

PADDED = ("siglip", "siglip2")
"""Model types that attend to the padding, so that texts must be padded to the full length, as in training."""


def load(reference: Reference, settings: ModelSettings, card: ModelCard | None = None) -> TorchModel:
    """Return the dual encoder in a folder or a Hub repo, at the card's commit or without a card at `main`.

    Raises ConfigError where there is no such folder or repo, or it holds no dual encoder with all its weights;
    AccessDeniedError where the repo is gated; and TerminalError where it can't be downloaded.
    """
    found = locate(reference, settings, card)
    network, _ = load_network(found)
    kind = network.config.model_type
    if not (hasattr(network, "get_image_features") and hasattr(network, "get_text_features")):
        raise ConfigError(
            f"{found.folder} holds a model of type {kind!r}, which embeds no texts beside images; use `hf:` for a model"
            " of images alone"
        )
    processor = load_processor(found.folder)
    encoder = DualEncoder(network)
    dimension = card.dimension if card else width(encoder, processor)
    found_card = card_of(found, settings, "image projection", processor, dimension)
    return processed(encoder, processor, found_card, settings, tokenise=_tokenise(found, network))


class DualEncoder(nn.Module):
    """Runs the image tower as `forward` and the text tower as `embed_texts`; vectors are as transformers gives them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the vectors of preprocessed images (images, 3, height, width): shape (images, dimension)."""
        return pooled(self.network.get_image_features(pixel_values=images))

    def embed_texts(self, **tokens: Tensor) -> Tensor:
        """Return the vectors of what the model's tokenizer gives, each (texts, length): shape (texts, dimension)."""
        return pooled(self.network.get_text_features(**tokens))


def _tokenise(found: Pretrained, network: Any) -> Tokenise:
    padding = "max_length" if network.config.model_type in PADDED else True
    longest = network.config.text_config.max_position_embeddings
    loaded: list[Any] = []

    def tokenise(texts: list[str]) -> dict[str, Tensor]:
        if not loaded:
            loaded.append(_tokenizer(found))
        length = min(longest, loaded[0].model_max_length)
        return dict(loaded[0](texts, padding=padding, truncation=True, max_length=length, return_tensors="pt"))

    return tokenise


def _tokenizer(found: Pretrained) -> Any:
    try:
        return AutoTokenizer.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, ImportError, KeyError) as error:
        raise ConfigError(f"{found.folder} has no tokenizer to load ({first_line(error)}); use `image`") from error
