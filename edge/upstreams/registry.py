"""Kinds of upstreams by name: ``[[upstream]] kind = "..."``. One line each."""

from importlib import import_module
from typing import cast

from edge.upstreams.base import UpstreamFactory

UPSTREAMS: dict[str, str] = {
    "basics-station": "edge.upstreams.basics_station:BasicsStationUpstream",
    "chirpstack-mqtt": "edge.upstreams.chirpstack_mqtt:ChirpstackMqttUpstream",
    "file": "edge.upstreams.file:FileUpstream",
    "http": "edge.upstreams.http_post:HttpUpstream",
    "mqtt": "edge.upstreams.mqtt:MqttUpstream",
    "nats": "edge.upstreams.nats:NatsUpstream",
    "semtech-udp": "edge.upstreams.semtech_udp:SemtechUdpUpstream",
}

EXTRAS = {"basics-station": "web", "chirpstack-mqtt": "mqtt", "http": "web"}
"""Of the distribution, where it is not called as the kind is."""


def upstream_factory(kind: str) -> UpstreamFactory:
    """Import the kind on first use and return what makes upstreams of it.

    Raises:
        KeyError: no kind has this name.
    """
    module_name, _, attribute = UPSTREAMS[kind].partition(":")
    return cast(UpstreamFactory, getattr(import_module(module_name), attribute))
