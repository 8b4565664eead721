"""The settings that say what a target is: its model and its index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pinery.settings import Images, Seconds, Settings

if TYPE_CHECKING:
    from pinery.records import ModelCard

Clouds = Literal["aws", "gcp", "azure"]
INDEX_NAME_LENGTH = 45


class ModelSettings(Settings):
    """A model reference and how to load it."""

    name: str = Field(
        description="This is the reference, such as `descriptor` or `torchvision:resnet50#features` (docs/models.md)."
    )
    weights: str | None = Field(
        None,
        description="Weights come from this file: a path, an s3:// or https:// address, or `$VARIABLE` if secret.",
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="The file of `weights` must have this SHA-256."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="The network computes in this; `auto` is decided on the corpus' first images and kept."
    )
    decode: Literal["auto", "exact", "scaled", "fast", "cuda"] = Field(
        "auto",
        description="JPEGs are decoded this way (docs/throughput.md); `auto` is decided on the first images and kept.",
    )
    batch: Literal["auto"] | Annotated[Images, Field(ge=1)] = Field(
        "auto", description="So many images are computed at once; `auto` finds out how many pay."
    )
    device: str = Field(
        "auto", description="The model computes here: `cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the best there is."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="torch.compile speeds networks up; `auto` tries it where it may pay. `descriptor` has no network.",
    )

    @field_validator("compile", mode="before")
    @classmethod
    def _on_and_off_are_booleans_in_yaml(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _weights_come_with_a_sum(self) -> ModelSettings:
        if self.weights is not None and self.sha256 is None:
            raise ValueError("`weights` needs the expected `sha256` beside it")
        return self


class AnyIndexSettings(Settings):
    """The settings that every kind of index has."""

    metric: Literal["cosine", "dotproduct", "euclidean"] = Field(
        "cosine", description="The distance between vectors is measured by this."
    )
    prefix: str = Field(
        "pinery",
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=20,
        description="The index' name begins with this where `name` is not given.",
    )
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=INDEX_NAME_LENGTH,
        description="The index has this name; by default `<prefix>-<model>-<model key>`.",
    )

    def name_for(self, card: ModelCard) -> str:
        """Return the index' name for vectors of that model: the name that is set, or the default."""
        if self.name:
            return self.name
        room = INDEX_NAME_LENGTH - len(self.prefix) - len(card.key) - 2
        return f"{self.prefix}-{card.slug[:room].strip('-')}-{card.key}"


class LanceSettings(AnyIndexSettings):
    """The embedded index: LanceDB in a folder of the state."""

    kind: Literal["lance"] = Field("lance", description="This names the kind of index.")


class PineconeSettings(AnyIndexSettings):
    """A serverless Pinecone index; key and host come from the environment, as Pinecone's SDK takes them."""

    kind: Literal["pinecone"] = Field(description="This names the kind of index.")
    cloud: Clouds = Field("aws", description="A new index is made in this cloud.")
    region: str = Field("us-east-1", description="A new index is made in this region of the cloud.")
    deletion_protection: bool = Field(False, description="Pinecone refuses to delete the new index.")
    transport: Literal["rest", "grpc"] = Field(
        "rest", description="Upserts are sent this way; gRPC sends a third of the bytes."
    )
    integration_id: str | None = Field(
        None, description="This storage integration of Pinecone may read the state's bucket."
    )
    ready_timeout: Seconds = Field(300, gt=0, description="A new index may take so long to become ready.")


IndexSettings = Annotated[LanceSettings | PineconeSettings, Field(discriminator="kind")]
