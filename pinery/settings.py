"""The base of all settings, numbers with their units, and the settings by which an S3 API is reached."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """The base of all settings: they are frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _counted_in(unit: str) -> Any:
    return Field(json_schema_extra={"unit": unit})


Seconds = Annotated[float, _counted_in("seconds")]
Share = Annotated[float, _counted_in("share")]
Bytes = Annotated[int, _counted_in("bytes")]
Pixels = Annotated[int, _counted_in("pixels")]
Items = Annotated[int, _counted_in("items")]
Images = Annotated[int, _counted_in("images")]
Requests = Annotated[int, _counted_in("requests")]
Queries = Annotated[int, _counted_in("queries")]
Threads = Annotated[int, _counted_in("threads")]
Processes = Annotated[int, _counted_in("processes")]
Cores = Annotated[float, _counted_in("cores")]
Gpus = Annotated[float, _counted_in("GPUs")]
"""Numbers with their units, which docs/config.md shows: every number in a config has one of these types."""


class S3Access(Settings):
    """The way to an S3 API, where the environment doesn't say it all."""

    endpoint_url: str | None = Field(None, description="The S3 API answers here, where it is not Amazon's.")
    region: str | None = Field(None, description="The bucket is in this region; by default boto3 decides.")
    profile: str | None = Field(
        None, description="Credentials come from this profile of AWS's configuration; by default boto3 decides."
    )
