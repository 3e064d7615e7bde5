"""The session: discovery, hello, and everything that a server may send."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.lns import (
    Configured,
    DiscoveryError,
    DownlinkAsked,
    LnsEvent,
    LnsSession,
    Rejected,
    ServerError,
    discovered_uri,
    discovery_request,
)
from protocol.network_server.lns_clock import LATE, Xtime, unpack_xtime
from protocol.network_server.lns_downlink import Downlink, Times, Window
from protocol.network_server.lns_json import MAX_MESSAGE_CHARACTERS, LnsFault, LnsReject
from tests.protocol.lorawan.vectors import UNCONFIRMED_UP
from tests.protocol.network_server.frames import BOOT, GPS_US, UNIX_US
from tests.protocol.network_server.test_lns_router_config import EU863
from tests.protocol.network_server.test_lns_uplink import HEARD
from tests.scale import SCALE

NOW_US = 100_000_000
UPLINK_US = 99_900_000
TIMES = Times(NOW_US, None)
RX1 = {"RX1DR": 3, "RX1Freq": 868_100_000}
RX2 = {"RX2DR": 0, "RX2Freq": 869_525_000}
WINDOW_1 = Window(UPLINK_US + 1_000_000, 868_100_000, 3, 9, 125_000)
WINDOW_2 = Window(UPLINK_US + 2_000_000, 869_525_000, 0, 12, 125_000)


def session(*, configured: bool = True) -> LnsSession:
    made = LnsSession(BOOT, software="lora-edge 1", model="sx127x")
    if configured:
        [event] = made.receive(json.dumps(EU863), TIMES)
        assert isinstance(event, Configured)
    return made


def xtime(at_us: int = UPLINK_US, unit: int = 0) -> int:
    return replace(session().xtime(0, True, at_us, at_us), unit=unit).pack()


def dnmsg(**changes: Any) -> dict[str, Any]:
    message = {
        "msgtype": "dnmsg", "DevEui": "70-B3-D5-7E-D0-00-00-01", "dC": 0, "diid": 7,
        "pdu": "60DA1B0126", "RxDelay": 1, "priority": 0, "xtime": xtime(), "rctx": 2,
        "MuxTime": 1_790_000_000.5, **RX1, **RX2,
    }  # fmt: skip
    return {key: value for key, value in {**message, **changes}.items() if value != "absent"}


def receive(
    message: dict[str, Any], made: LnsSession | None = None, times: Times = TIMES
) -> LnsEvent:
    [event] = (made or session()).receive(json.dumps(message), times)
    return event


def asked(message: dict[str, Any], times: Times = TIMES) -> Downlink:
    event = receive(message, times=times)
    assert isinstance(event, DownlinkAsked), event
    return event.downlink


def reason(message: dict[str, Any], made: LnsSession | None = None) -> LnsReject:
    event = receive(message, made)
    assert isinstance(event, Rejected), event
    return event.reason


class TestDiscovery:
    """Where to connect."""

    def test_request(self) -> None:
        """As pamoja-gateway 0.2.0 writes it."""
        gateway = bytes.fromhex("0016c001ff10a235")
        assert discovery_request(gateway) == '{"router":"16:c001:ff10:a235"}'

    def test_answer(self) -> None:
        text = '{"router":"::1","muxs":"::0","uri":"ws://lns.example:3001/gateway/1"}'
        assert discovered_uri(text, secure=False) == "ws://lns.example:3001/gateway/1"

    def test_over_tls_it_stays_tls(self) -> None:
        """Also behind a proxy, whose server does not know of it."""
        text = '{"uri":"ws://lns.example:443/x?y"}'
        assert discovered_uri(text, secure=True) == "wss://lns.example:443/x?y"
        text = '{"uri":"wss://lns.example:443/x"}'
        assert discovered_uri(text, secure=False) == "wss://lns.example:443/x"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"router":"::1","error":"no such router"}', "no such router"),
            ('{"error":"\\u001b[31mred\\n"}', r"\x1b[31mred\n"),
            ('{"uri":5}', "no uri"),
            ('{"uri":"https://lns.example"}', "https://lns.example"),
            ('{"uri":"ws://"}', "ws://"),
            ('{"uri":"ws://[::1"}', "no use"),
            ('{"uri":"ws://host:0/"}', "no use"),
            ('{"uri":"ws://host:99999/"}', "no use"),
            ("[]", "no JSON object"),
            ("hello", "no JSON"),
        ],
    )
    def test_answers_of_no_use(self, text: str, said: str) -> None:
        with pytest.raises(DiscoveryError) as caught:
            discovered_uri(text, secure=True)
        assert said in str(caught.value)


def test_hello() -> None:
    """No "rmtsh" in its features: nobody gets a shell here."""
    assert json.loads(session().hello()) == {
        "msgtype": "version",
        "station": "lora-edge 1",
        "firmware": "",
        "package": "",
        "model": "sx127x",
        "protocol": 2,
        "features": "prod",
    }


def test_a_connection_begins_without_the_configuration_of_the_last_one() -> None:
    made = session()
    made.hello()
    assert made.config is None
    assert reason(dnmsg(), made) is LnsReject.NOT_CONFIGURED
    with pytest.raises(LnsFault):
        made.uplink(UNCONFIRMED_UP.phy_payload, HEARD, NOW_US)


def test_it_may_be_configured_anew() -> None:
    made = session()
    assert receive({**EU863, "DRs": [[7, 125, 0]]}, made) == Configured(made.config)  # type: ignore[arg-type]
    assert reason({**EU863, "DRs": []}, made) is LnsReject.MALFORMED
    assert made.config is not None
    assert len(made.config.data_rates) == 1


class TestClassA:
    """RX1, else RX2 a second later."""

    def test_both_windows(self) -> None:
        assert asked(dnmsg()) == Downlink(
            payload=bytes.fromhex("60da1b0126"),
            windows=(WINDOW_1, WINDOW_2),
            dev_eui="70-B3-D5-7E-D0-00-00-01",
            diid=7,
            rctx=2,
        )

    @pytest.mark.parametrize(("delay", "us"), [(0, 1), ("absent", 1), (5, 5), (15, 15), (5.0, 5)])
    def test_delay(self, delay: object, us: int) -> None:
        first, second = asked(dnmsg(RxDelay=delay)).windows
        assert first.at_boottime_us == UPLINK_US + us * 1_000_000
        assert second.at_boottime_us == UPLINK_US + (us + 1) * 1_000_000

    def test_one_window(self) -> None:
        only_2 = dnmsg(RX1DR="absent", RX1Freq="absent")
        assert asked(only_2).windows == (WINDOW_2,)
        assert asked(dnmsg(RX2DR="absent", RX2Freq="absent")).windows == (WINDOW_1,)

    def test_older_names(self) -> None:
        """``seqno`` for ``diid``, ``DevEUI`` for ``DevEui``; the number may be missing."""
        old = asked(dnmsg(diid="absent", seqno=9, DevEui="absent", DevEUI="::1"))
        assert (old.diid, old.dev_eui) == (9, "::1")
        assert asked(dnmsg(diid="absent")).diid == 0

    @pytest.mark.parametrize("eui", ["::", "00-00-00-00-00-00-00-00", "absent", None])
    def test_a_server_that_wants_no_confirmation(self, eui: object) -> None:
        assert asked(dnmsg(DevEui=eui)).dev_eui == ""

    @pytest.mark.parametrize(
        "changes",
        [
            {"dC": "absent"}, {"dC": 3}, {"dC": True}, {"RxDelay": 16}, {"RxDelay": 1.5},
            {"pdu": "absent"}, {"pdu": ""}, {"pdu": "6"}, {"pdu": "60 1"}, {"pdu": "zz"},
            {"pdu": "00" * 256}, {"pdu": 60}, {"RX1DR": "absent"}, {"RX2DR": "absent"},
            {"RX1Freq": -1}, {"RX1Freq": 2**40}, {"xtime": 0}, {"xtime": "absent"},
            {"xtime": 2**63}, {"DevEui": "x"}, {"DevEui": 5}, {"rctx": "x"}, {"diid": []},
            {"RX1DR": "absent", "RX1Freq": "absent", "RX2DR": "absent", "RX2Freq": "absent"},
            {"MuxTime": "now"}, {"MuxTime": 1e300},
        ],
    )  # fmt: skip
    def test_malformed(self, changes: dict[str, Any]) -> None:
        assert reason(dnmsg(**changes)) is LnsReject.MALFORMED

    @pytest.mark.parametrize("index", [7, 8, 16, 255])
    def test_a_data_rate_that_is_not_defined(self, index: int) -> None:
        """FSK, undefined, beyond the table."""
        assert reason(dnmsg(RX1DR=index)) is LnsReject.DATA_RATE

    def test_an_answer_to_an_earlier_boot(self) -> None:
        old = LnsSession(bytes(16), software="", model="").xtime(0, True, UPLINK_US, UPLINK_US)
        assert old.session != unpack_xtime(xtime()).session
        assert reason(dnmsg(xtime=old.pack())) is LnsReject.OLD_SESSION

    def test_a_time_far_ahead_is_of_no_session_of_ours(self) -> None:
        assert reason(dnmsg(xtime=xtime(NOW_US + 3_700_000_000))) is LnsReject.OLD_SESSION

    def test_an_answer_to_a_late_frame(self) -> None:
        assert reason(dnmsg(xtime=xtime(unit=LATE))) is LnsReject.TOO_LATE


class TestOtherClasses:
    """B at a GPS time, C at any time."""

    def test_class_b(self) -> None:
        message = dnmsg(dC=1, DR=3, Freq=868_100_000, gpstime=GPS_US + 1_000_000, xtime="absent")
        window = asked(message, Times(NOW_US, GPS_US - NOW_US)).windows
        assert window == (Window(NOW_US + 1_000_000, 868_100_000, 3, 9, 125_000),)
        assert reason(message) is LnsReject.NO_TIME
        assert reason(dnmsg(dC=1, DR=3, Freq=868_100_000)) is LnsReject.MALFORMED

    def test_class_b_by_the_servers_time(self) -> None:
        made = session()
        told = {"msgtype": "timesync", "xtime": xtime(NOW_US), "gpstime": GPS_US}
        assert made.receive(json.dumps(told), TIMES) == []
        message = dnmsg(dC=1, DR=3, Freq=868_100_000, gpstime=GPS_US + 2_000_000)
        event = receive(message, made)
        assert isinstance(event, DownlinkAsked)
        assert event.downlink.windows[0].at_boottime_us == NOW_US + 2_000_000

    def test_class_c_unasked(self) -> None:
        unasked = dnmsg(dC=2, RX1DR="absent", RX1Freq="absent", xtime="absent", RxDelay="absent")
        assert asked(unasked).windows == (replace(WINDOW_2, at_boottime_us=None),)

    def test_class_c_answers_in_rx1_else_at_once(self) -> None:
        assert asked(dnmsg(dC=2)).windows == (WINDOW_1, replace(WINDOW_2, at_boottime_us=None))

    def test_class_c_does_without_an_rx1_that_is_over(self) -> None:
        """An earlier boot's uplink: the device still listens in RX2."""
        late = dnmsg(dC=2, xtime=xtime(unit=LATE))
        assert asked(late).windows == (replace(WINDOW_2, at_boottime_us=None),)
        assert reason(dnmsg(dC=2, xtime="x")) is LnsReject.MALFORMED


class TestScheduleAndFrame:
    """``dnsched`` and the obsolete ``dnframe``."""

    def test_schedule(self) -> None:
        entry = {"pdu": "e0", "DR": 3, "Freq": 868_100_000, "diid": 1}
        at_gps = {**entry, "gpstime": GPS_US}
        in_seconds = {**entry, "ontime": GPS_US // 1_000_000}
        at_xtime = {**entry, "xtime": xtime(NOW_US + 500_000)}
        message = {"msgtype": "dnsched", "schedule": [at_gps, in_seconds, at_xtime, 5, entry]}
        events = session().receive(json.dumps(message), Times(NOW_US, GPS_US - NOW_US - 1_000))
        times = [
            e.downlink.windows[0].at_boottime_us for e in events if isinstance(e, DownlinkAsked)
        ]
        assert times == [NOW_US + 1_000, NOW_US + 1_000, NOW_US + 500_000]
        assert [e.reason for e in events if isinstance(e, Rejected)] == [LnsReject.MALFORMED] * 2
        assert all(e.downlink.dev_eui == "" for e in events if isinstance(e, DownlinkAsked))

    def test_schedule_is_bounded(self) -> None:
        message = {"msgtype": "dnsched", "schedule": [5] * 200}
        events = session().receive(json.dumps(message), TIMES)
        assert len(events) == 129
        assert isinstance(events[-1], Rejected)
        assert events[-1].reason is LnsReject.TOO_LONG
        assert reason({"msgtype": "dnsched"}) is LnsReject.MALFORMED

    def test_frame(self) -> None:
        message = {"msgtype": "dnframe", "DR": 3, "Freq": 868_100_000, "DevEui": "::1", "seqno": 4,
                   "pdu": "60", "rctx": 0, "xtime": xtime(NOW_US + 400_000)}  # fmt: skip
        assert asked(message).windows[0].at_boottime_us == NOW_US + 400_000
        assert asked({**message, "asap": True}).windows[0].at_boottime_us is None


class TestTime:
    """``timesync`` both ways, ``MuxTime``, ``RefTime``."""

    def test_request_and_answer(self) -> None:
        made = session()
        request = json.loads(made.time_request(NOW_US))
        assert request == {"msgtype": "timesync", "txtime": NOW_US}
        answer = {**request, "gpstime": GPS_US}
        assert made.receive(json.dumps(answer), Times(NOW_US + 20_000, None)) == []
        message = dnmsg(dC=1, DR=3, Freq=868_100_000, gpstime=GPS_US + 1_000_000)
        event = receive(message, made)
        assert isinstance(event, DownlinkAsked)
        assert event.downlink.windows[0].at_boottime_us == NOW_US + 1_010_000

    @pytest.mark.parametrize("changes", [{}, {"gpstime": 0}, {"gpstime": "x"}, {"xtime": -1}])
    def test_malformed(self, changes: dict[str, Any]) -> None:
        assert reason({"msgtype": "timesync", **changes}) is LnsReject.MALFORMED

    def test_reference_time(self) -> None:
        """Any message may carry the server's clock; uplinks give it back, carried on."""
        made = LnsSession(BOOT, software="", model="")
        made.receive(json.dumps({**EU863, "NetID": None, "MuxTime": 1_790_000_000.25}), TIMES)
        text = made.uplink(UNCONFIRMED_UP.phy_payload, HEARD, NOW_US + 500_000)
        assert json.loads(text)["RefTime"] == 1_790_000_000.75


class TestXtime:
    """Which ``xtime`` a frame gets."""

    def test_live(self) -> None:
        made = session()
        assert made.xtime(2, True, UPLINK_US, NOW_US).boottime_us == UPLINK_US
        assert made.xtime(2, True, UPLINK_US, NOW_US).unit == 2

    def test_one_session_after_a_restart_of_the_service(self) -> None:
        """A reconnect, a kill: a downlink that is under way stays good."""
        assert session().xtime(0, True, 1, 2) == session().xtime(0, True, 1, 2)

    def test_late_and_of_an_earlier_boot(self) -> None:
        """The moment of delivery, which servers take for the station's present."""
        made = session()
        for given_ in (
            made.xtime(2, True, NOW_US - 20_000_000, NOW_US),
            made.xtime(2, False, NOW_US - 1, NOW_US),
        ):
            assert given_ == Xtime(LATE, made.xtime(0, True, 0, 0).session, NOW_US)

    def test_heard_before_this_host_booted(self) -> None:
        """A board that kept its power hands it over within seconds."""
        given_ = session().xtime(0, True, -1_000_000, 2_000_000)
        assert unpack_xtime(given_.pack()).boottime_us == -1_000_000


def test_transmitted() -> None:
    made = session()
    text = made.transmitted(asked(dnmsg()), WINDOW_2, Times(NOW_US, GPS_US - NOW_US))
    assert text is not None
    at_us = UPLINK_US + 2_000_000
    assert json.loads(text) == {
        "msgtype": "dntxed",
        "seqno": 7,
        "diid": 7,
        "DR": 0,
        "Freq": 869_525_000,
        "DevEui": "70-B3-D5-7E-D0-00-00-01",
        "rctx": 2,
        "xtime": xtime(at_us, unit=2),
        "txtime": (UNIX_US + 1_900_000) / 1e6,
        "gpstime": GPS_US + 1_900_000,
    }


def test_transmitted_without_a_clock_and_at_once() -> None:
    text = session().transmitted(asked(dnmsg(dC=2)), replace(WINDOW_2, at_boottime_us=None), TIMES)
    assert text is not None
    message = json.loads(text)
    assert (message["txtime"], message["gpstime"]) == (0.0, 0)
    assert message["xtime"] == xtime(NOW_US, unit=2)


def test_nobody_is_told_who_does_not_want_to_be() -> None:
    assert session().transmitted(asked(dnmsg(DevEui="::")), WINDOW_1, TIMES) is None


def test_errors_of_the_server_are_shown_harmlessly() -> None:
    event = receive({"msgtype": "error", "error": "bad\x1b[2J" + "x" * 1000})
    assert isinstance(event, ServerError)
    assert event.text.startswith(r"bad\x1b[2Jxxx")
    assert len(event.text) <= 200


@pytest.mark.parametrize("msgtype", ["runcmd", "rmtsh"])
def test_commands_are_refused(msgtype: str) -> None:
    message = {"msgtype": msgtype, "command": "/bin/sh", "arguments": ["-c", "reboot"]}
    assert reason(message) is LnsReject.NOT_ALLOWED


@pytest.mark.parametrize("msgtype", ["getxtime", "x" * 1000, 5, None, "dnmsgs"])
def test_other_types_are_unknown(msgtype: object) -> None:
    assert reason({"msgtype": msgtype}) is LnsReject.UNKNOWN


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", LnsReject.MALFORMED),
        ("[]", LnsReject.MALFORMED),
        ("{", LnsReject.MALFORMED),
        ('{"MuxTime":NaN}', LnsReject.MALFORMED),
        ("[" * 200_000, LnsReject.MALFORMED),
        ('{"msgtype":"dnmsg","diid":' + "9" * 10_000 + "}", LnsReject.MALFORMED),
        (" " * (MAX_MESSAGE_CHARACTERS + 1), LnsReject.TOO_LONG),
    ],
)
def test_texts_that_are_no_message(text: str, why: LnsReject) -> None:
    [event] = session().receive(text, TIMES)
    assert isinstance(event, Rejected)
    assert event.reason is why


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["60DA1B", "::1", xtime()]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*dnmsg(), "gpstime", "ontime", "DR", "Freq"]), inner),
    max_leaves=8,
)  # fmt: skip
ANSWER = dnmsg()
TYPES = ["dnmsg", "dnframe", "dnsched", "timesync", "router_config", "error"]


@given(
    st.sampled_from(TYPES),
    st.dictionaries(
        st.sampled_from([*dnmsg(), *EU863, "schedule", "gpstime", "DR", "Freq", "txtime"]), VALUE
    ),
)
def test_no_message_harms_and_the_next_one_is_understood(
    msgtype: str, fields: dict[str, Any]
) -> None:
    made = session()
    text = json.dumps({**ANSWER, **fields, "msgtype": msgtype})
    for event in made.receive(text, TIMES):
        if isinstance(event, DownlinkAsked):
            assert event.downlink.windows
            assert 1 <= len(event.downlink.payload) <= 255
    receive(EU863, made)
    assert isinstance(receive(ANSWER, made), DownlinkAsked)


def test_ten_thousand_damaged_messages() -> None:
    """Bytes of real messages, changed, cut, doubled: never an exception."""
    chance = random.Random(20261125)
    whole = [json.dumps(dnmsg()), json.dumps(EU863), '{"msgtype":"timesync","gpstime":5,"xtime":9}']
    made = session()
    for _ in range(10_000 * SCALE):
        text = list(chance.choice(whole))
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(text))
            match chance.randrange(4):
                case 0:
                    text[place] = chr(chance.randrange(1, 256))
                case 1:
                    del text[place : place + chance.randint(1, 9)]
                case 2:
                    text[place:place] = text[place : place + chance.randint(1, 9)]
                case _:
                    text[place] = chance.choice('0123456789"[]{}:,.-e')
            if not text:
                break
        made.receive("".join(text), TIMES)
    receive(EU863, made)
    assert isinstance(receive(dnmsg(), made), DownlinkAsked)
