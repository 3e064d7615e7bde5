"""Kinds of upstreams by name: ``[[upstream]] kind = "..."``. One line each."""

from importlib import import_module
from typing import cast

from edge.upstreams.base import UpstreamFactory

UPSTREAMS: dict[str, str] = {
    "file": "edge.upstreams.file:FileUpstream",
    "mqtt": "edge.upstreams.mqtt:MqttUpstream",
    "chirpstack-mqtt": "edge.upstreams.chirpstack_mqtt:ChirpstackMqttUpstream",
}


def upstream_factory(kind: str) -> UpstreamFactory:
    """Import the kind on first use and return what makes upstreams of it.

    Raises:
        KeyError: no kind has this name.
    """
    module_name, _, attribute = UPSTREAMS[kind].partition(":")
    return cast(UpstreamFactory, getattr(import_module(module_name), attribute))
