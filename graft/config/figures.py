"""How figures look, and the files that they are."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from graft.config.base import Strict

Format = Literal["png", "svg", "pdf"]


class Figures(Strict):
    """What holds for every figure of a study: formats, size, and look."""

    formats: list[Format] = ["png", "svg"]
    width_mm: Annotated[float, Field(ge=60, le=400)] = 177.8
    font: Annotated[str, Field(min_length=1)] = "DejaVu Sans"
    font_size: Annotated[float, Field(ge=5, le=24)] = 9.0
    palette: Literal["okabe_ito", "tol_bright", "grey"] = "okabe_ito"
    language: Literal["en", "de"] = "en"

    @field_validator("formats")
    @classmethod
    def _with_png(cls, formats: list[Format]) -> list[Format]:
        """Each once, in one order, and PNG among them, which the report shows."""
        return [name for name in get_args(Format) if name == "png" or name in formats]
