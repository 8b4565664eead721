"""Small models with random weights, in the files of real ones, for tests that need one."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import torchvision
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer


def squeezenet_weights(folder: Path) -> dict[str, Any]:
    """Model settings of a squeezenet1_1 with random weights, saved into `folder`."""
    path = folder / "squeezenet.pth"
    torch.manual_seed(7)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": "torchvision:squeezenet1_1", "weights": str(path), "sha256": digest, "precision": "fp32"}


def save_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP of two narrow layers in the files of a Hub repo."""
    folder.mkdir(parents=True)
    vocab = _vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\nf r\no g</w>\nfr og</w>\n")
    CLIPTokenizer.from_pretrained(folder, model_max_length=16).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(vocab), "max_position_embeddings": 16, "bos_token_id": len(vocab) - 2}
    text |= {"eos_token_id": len(vocab) - 1, "pad_token_id": len(vocab) - 1}
    config = CLIPConfig(
        text_config=layers | text, vision_config=layers | {"image_size": 32, "patch_size": 8}, projection_dim=24
    )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(folder)
    return folder


def _vocabulary() -> dict[str, int]:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "fr", "og</w>", "frog</w>"]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}
