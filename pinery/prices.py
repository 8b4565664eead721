"""The prices by which a plan counts its cost: a table with its date, which a config can replace."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pinery.settings import Settings

Dollars = Annotated[float, Field(ge=0, json_schema_extra={"unit": "US dollars"})]


class Prices(Settings):
    """Pinecone's prices for AWS us-east-1 on the Standard plan; null where one is not known."""

    date: str = Field("2026-11-04", description="The prices are of this day; it comes with prices of your own.")
    write_units: Dollars | None = Field(4.0, description="A million write units cost so much.")
    storage: Dollars | None = Field(0.33, description="A gigabyte of rows costs so much a month.")
    imports: Dollars | None = Field(0.25, description="A gigabyte that a bulk import reads costs so much.")

    @field_validator("date", mode="before")
    @classmethod
    def _a_day_is_no_text_in_yaml(cls, value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime.date) else value

    @model_validator(mode="before")
    @classmethod
    def _own_prices_are_not_of_our_day(cls, data: Any) -> Any:
        return {"date": ""} | data if isinstance(data, dict) and data else data

    def of(self, name: str, amount: float) -> float | None:
        """Return the dollars for so many write units, or bytes of `storage` (a month) or `imports`; None if unknown."""
        price, whole = getattr(self, name), 1e6 if name == "write_units" else 1e9
        return None if price is None else float(price) * amount / whole
