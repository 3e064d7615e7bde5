"""JetStream's answers: what nats-server 2.9.10 sent, and everything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.upstreams.nats_answers import Answer, Fault, Refused, Stored, read_api, read_publish

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_acknowledgements() -> None:
    """Captured from nats-server 2.9.10."""
    first = Answer(b'{"stream":"LORA_EDGE", "seq":1}')
    again = Answer(b'{"stream":"LORA_EDGE", "domain":"hub", "seq":1,"duplicate": true}')
    assert read_publish(first) == Stored("LORA_EDGE", 1, duplicate=False)
    assert read_publish(again) == Stored("LORA_EDGE", 1, duplicate=True)


@pytest.mark.parametrize(
    ("code", "number", "said", "fault"),
    [
        (503, 10077, "maximum messages exceeded", Fault.TRANSIENT),
        (503, 10077, "maximum bytes exceeded", Fault.TRANSIENT),
        (400, 10054, "message size exceeds maximum allowed", Fault.REJECTED),
        (400, 10002, "resource limits exceeded for account", Fault.TRANSIENT),
        (503, 10023, "insufficient resources", Fault.TRANSIENT),
        (503, 10008, "JetStream system temporarily unavailable", Fault.TRANSIENT),
        (503, 10039, "JetStream not enabled for account", Fault.PERMANENT),
        (400, 10109, "invalid operation on sealed stream", Fault.PERMANENT),
        (500, 99999, "something that a later server says", Fault.TRANSIENT),
    ],
)
def test_refusals(code: int, number: int, said: str, fault: Fault) -> None:
    """Numbers and texts of nats-server's errors.json."""
    error = {"code": code, "err_code": number, "description": said}
    for document in ({"error": error}, {"error": error, "stream": "LORA_EDGE", "seq": 0}):
        refused = read_publish(Answer(json.dumps(document).encode()))
        assert isinstance(refused, Refused)
        assert (refused.fault, refused.number) == (fault, number)
        assert refused.reason


def test_nobody_there() -> None:
    """Transient: whether it is more than that, the next connection finds out."""
    for read in (read_publish, read_api):
        refused = read(Answer(b"", no_responders=True))
        assert isinstance(refused, Refused)
        assert (refused.fault, refused.silent) == (Fault.TRANSIENT, True)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_no_acknowledgement(payload: bytes) -> None:
    """Nor does it end the connection in a way that nobody foresaw."""
    refused = read_publish(Answer(payload))
    assert isinstance(refused, Refused)
    assert refused.fault is Fault.TRANSIENT


@given(JSON)
def test_any_error(error: object) -> None:
    refused = read_api(Answer(json.dumps({"error": error}).encode()))
    assert isinstance(refused, Refused) == (error is not None)
    if isinstance(refused, Refused):
        assert len(refused.reason) < 300


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"stream":"X","seq":0}', b'{"seq":1}'])
def test_hostile_answers(payload: bytes) -> None:
    assert isinstance(read_publish(Answer(payload)), Refused)
