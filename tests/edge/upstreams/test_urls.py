"""URLs and topics that cannot work are refused before the service starts, with their line."""

import pytest

from edge.upstreams.urls import TOPIC, url_notation
from tests.edge.config.texts import MINIMAL, lines

PLAIN = url_notation("mqtt", "mqtts")


@pytest.mark.parametrize(
    "url", ["mqtt://broker", "mqtts://broker.example:8883", "mqtt://[::1]:1883", "mqtt://10.0.0.1/"]
)
def test_what_can_work(url: str) -> None:
    assert PLAIN.read(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("broker.example:1883", "must begin with"),
        ("", "must begin with"),
        ("http://broker", "must begin with"),
        ("mqtt:broker", "must name a host"),
        ("mqtt://", "must name a host"),
        ("mqtt://:1883", "must name a host"),
        ("mqtt://broker:0", "a port from 1"),
        ("mqtt://broker:65536", "a port from 1"),
        ("mqtt://broker:port", "a port from 1"),
        ("mqtt://[::1", "must be a URL"),
        ("mqtt://bro ker", "without spaces"),
        ("mqtt://broker\n", "without spaces"),
        ("mqtt://br\u00f6ker", "without spaces"),
        ("mqtt://me@broker", "must not hold a password"),
        ("mqtt://me:secret@broker", "must not hold a password"),
        ("mqtt://broker/topic", "must end after"),
        ("mqtt://broker?tls=1", "must end after"),
        ("mqtt://broker#x", "must end after"),
        (7, "must be text"),
        (None, "must be text"),
    ],
)
def test_what_cannot(url: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        PLAIN.read(url)
    assert "secret" not in str(caught.value)


def test_paths_and_ports_where_a_kind_wants_them() -> None:
    assert url_notation("https", allow_path=True).read("https://a/b?c=d") == "https://a/b?c=d"
    with pytest.raises(ValueError, match="must name a port"):
        url_notation("udp", need_port=True).read("udp://server")
    assert url_notation("udp", need_port=True).read("udp://server:1700") == "udp://server:1700"


@pytest.mark.parametrize("topic", ["city", "lora-edge", "da-nang/gateways", "a b", "th\u00e0nh"])
def test_topics_that_can_be_published_to(topic: str) -> None:
    assert TOPIC.read(topic) == topic


@pytest.mark.parametrize(
    "topic",
    ["", "/", "#", "city/+", "ci+ty", "$SYS/x", "/city", "city/", "a//b", "x\0", "a\n", 7,
     "x" * 1025],
)  # fmt: skip
def test_topics_that_cannot(topic: object) -> None:
    """Wildcards are for subscribers (MQTT 5.0, section 4.7.1), $ is the broker's (4.7.2)."""
    with pytest.raises(ValueError, match="must"):
        TOPIC.read(topic)


def test_the_fault_names_the_line() -> None:
    table = '[[upstream]]\nname = "city"\nkind = "mqtt"\n'
    [found] = lines(f'{MINIMAL}{table}url = "broker:1883"\n')
    assert found == (
        'gateway.toml:6: upstream.city.url: must begin with mqtt:// or mqtts://, not "broker:1883"'
    )
    [found] = lines(f'{MINIMAL}{table}url = "mqtt://b"\ntopic = "city/#"\n')
    assert found.startswith("gateway.toml:7: upstream.city.topic: must hold no wildcard")
