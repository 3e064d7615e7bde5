"""What one check of ``lora-edge doctor`` has found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``result`` is ok, warning or fault; ``fix`` is what to do about the latter two.

    ``paste`` is text for the configuration, where there is something to add.
    """

    check: str
    result: str
    text: str
    fix: str = ""
    paste: str = ""
