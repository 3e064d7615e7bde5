"""Every kind of upstream can be had by its name."""

from dataclasses import fields, is_dataclass

import pytest

from edge.upstreams.registry import UPSTREAMS, upstream_factory


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_a_kind_has_options_that_explain_themselves(kind: str) -> None:
    """``print-config`` shows them to people."""
    options = upstream_factory(kind).Options
    assert is_dataclass(options)
    assert all(field.metadata["help"] for field in fields(options))


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        upstream_factory("carrier-pigeon")
