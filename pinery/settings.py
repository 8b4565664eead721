"""The base of all settings, and the settings by which an S3 API is reached."""

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """The base of all settings: they are frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class S3Access(Settings):
    """The way to an S3 API, where the environment doesn't say it all."""

    endpoint_url: str | None = Field(None, description="The S3 API answers here, where it is not Amazon's.")
    region: str | None = Field(None, description="The bucket is in this region; by default boto3 decides.")
    profile: str | None = Field(
        None, description="Credentials come from this profile of AWS's configuration; by default boto3 decides."
    )
