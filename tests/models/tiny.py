"""Tiny models of real architectures, with their real config, processor and tokenizer classes, saved as repos are."""

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    BertTokenizer,
    BitImageProcessor,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessor,
    ChineseCLIPModel,
    ConvNextConfig,
    ConvNextImageProcessor,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipTokenizer,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGES = {"image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}
TEXTS: dict[str, Any] = {"model_max_length": 12, "model_input_names": ["input_ids"]}
"""As in Google's repos."""
SENTENCES = ["a frog sits on a leaf", "a red leaf on a frog", "the frog and the leaf", "a photo of a red frog"]


def save(folder: Path, network: Any, processor: Any, tokenizer: Any = None) -> Path:
    """Save each by `save_pretrained`, with weights large enough for vectors to differ; return the folder."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.15)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    """A SigLIP with its SentencePiece tokenizer."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=22,
        unk_id=2,
        eos_id=1,
        pad_id=0,
        bos_id=-1,
        minloglevel=2,
    )
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), **TEXTS)
    return save(folder, _siglip(22), SiglipImageProcessor(size=SQUARE), tokenizer)


def save_siglip2(folder: Path) -> Path:
    """A SigLIP 2 of a fixed resolution: SigLIP's network with Gemma's kind of tokenizer."""
    folder.mkdir(parents=True)
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz"]
    vocab = {word: at for at, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters])}
    tokenizer = Siglip2Tokenizer(vocab=vocab, merges=[], padding_side="right", **TEXTS)
    return save(folder, _siglip(len(vocab)), SiglipImageProcessor(size=SQUARE), tokenizer)


def _siglip(words: int) -> SiglipModel:
    text = {"vocab_size": words, "max_position_embeddings": 12, "projection_size": 32}
    return SiglipModel(SiglipConfig(text_config=LAYERS | text, vision_config=LAYERS | IMAGES))


def save_chinese_clip(folder: Path) -> Path:
    """A Chinese-CLIP: a BERT reads the texts."""
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({w for line in SENTENCES for w in line.split()})]
    tokenizer = BertTokenizer(vocab={word: at for at, word in enumerate(words)}, model_max_length=16)
    config = ChineseCLIPConfig(
        text_config=LAYERS | {"vocab_size": len(words), "max_position_embeddings": 16},
        vision_config=LAYERS | IMAGES,
        projection_dim=24,
    )
    processor = ChineseCLIPImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE)
    return save(folder, ChineseCLIPModel(config), processor, tokenizer)


def save_dinov2(folder: Path) -> Path:
    """A DINOv2, whose pooled output is its CLS token."""
    layers = {key: LAYERS[key] for key in LAYERS if key != "intermediate_size"}
    processor = BitImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE)
    return save(folder, Dinov2Model(Dinov2Config(**layers, **IMAGES)), processor)


def save_vit(folder: Path, *, pooler: bool = True) -> Path:
    """A ViT, with or without weights for its pooling."""
    network = ViTModel(ViTConfig(**LAYERS, **IMAGES), add_pooling_layer=pooler)
    return save(folder, network, ViTImageProcessor(size=SQUARE))


def save_convnext(folder: Path) -> Path:
    """A ConvNeXt, whose image processor has a `crop_pct`."""
    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    return save(folder, ConvNextModel(config), ConvNextImageProcessor(size={"shortest_edge": 64}))


def save_swin(folder: Path) -> Path:
    """A Swin, which pools by the mean."""
    config = SwinConfig(image_size=32, patch_size=4, window_size=2, embed_dim=16, depths=[1, 1], num_heads=[2, 2])
    return save(folder, SwinModel(config), ViTImageProcessor(size=SQUARE))


def without(folder: Path, copy: Path, key: str, value: Any) -> Path:
    """A copy of `folder` with one key of its config.json set otherwise."""
    copy.mkdir(parents=True)
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {key: value}))
    return copy
