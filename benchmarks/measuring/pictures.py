"""Inputs of benchmarks: distinct JPEGs, and models with random weights in the files of real ones."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

SIDE = 224
PAINTED = 448
CUTS = 512
"""Pictures cut from one painted one."""
VISION = {
    "ViT-B/32": {"patch_size": 32},
    "ViT-L/14": {
        "patch_size": 14,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
}
PROJECTION = {"ViT-B/32": 512, "ViT-L/14": 768}
CLIP_VOCABULARY = 49_408


def photograph(width: int, height: int, seed: int) -> Image.Image:
    """Return a picture with detail at every size, its contrast falling with it."""
    rng, longest = np.random.default_rng(seed), max(width, height)
    values = np.zeros((height, width, 3), np.float32)
    cells = 4
    while cells <= longest:
        shape = (max(1, height * cells // longest), max(1, width * cells // longest))
        for channel in range(3):
            small = Image.fromarray(rng.normal(0, 1, shape).astype(np.float32))
            values[..., channel] += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.8
        cells *= 2
    values = (values - values.mean()) / values.std() * 50 + 120
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int = 85) -> bytes:
    """Return the picture as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_jpegs(folder: Path, count: int, pictures: int | None = None) -> None:
    """Write `count` JPEGs of 224 x 224 pixels, no two of them alike; beyond so many `pictures` only by a comment."""
    folder.mkdir(parents=True)
    painted = count if pictures is None else min(count, pictures)
    _paint(folder, painted)
    for number in range(painted, count):
        data, comment = (folder / f"{number % painted:07d}.jpg").read_bytes(), str(number).encode()
        segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
        (folder / f"{number:07d}.jpg").write_bytes(data[:2] + segment + data[2:])


def _paint(folder: Path, count: int) -> None:
    for first in range(0, count, CUTS):
        picture = photograph(PAINTED, PAINTED, first)
        room = PAINTED - SIDE
        corners = np.random.default_rng(first).choice(room * room, min(CUTS, count - first), replace=False)
        for number, (left, top) in enumerate(zip(*divmod(corners, room), strict=True), first):
            cut = picture.crop((int(left), int(top), int(left) + SIDE, int(top) + SIDE))
            (folder / f"{number:07d}.jpg").write_bytes(jpeg(cut))


def save_torchvision(name: str, folder: Path) -> dict[str, Any]:
    """Save a torchvision model with random weights into `folder`; return its `model` settings for a config."""
    path = folder / f"{name}.pth"
    torch.manual_seed(7)
    torch.save(torchvision.models.get_model(name, weights=None).state_dict(), path)
    return {
        "name": f"torchvision:{name}",
        "weights": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def save_clip(kind: str, folder: Path) -> Path:
    """Save a CLIP of a real size with random weights as `save_pretrained` does; return its folder.

    `kind` is a key of VISION. The tokenizer knows letters alone, the text tower has CLIP's full vocabulary.
    """
    place = folder / f"clip-{kind.lower().replace('/', '-')}"
    place.mkdir()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (place / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(place, model_max_length=77).save_pretrained(place)
    CLIPImageProcessor().save_pretrained(place)
    width = PROJECTION[kind]
    text = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64}
    text |= {"vocab_size": CLIP_VOCABULARY, "bos_token_id": CLIP_VOCABULARY - 2, "eos_token_id": CLIP_VOCABULARY - 1}
    torch.manual_seed(7)
    config = CLIPConfig(text_config=text, vision_config=VISION[kind], projection_dim=width)
    CLIPModel(config).save_pretrained(place)
    return place
