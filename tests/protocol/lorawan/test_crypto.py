"""Cryptography against vectors of two other libraries and a second reading of the standards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lorawan.crypto import (
    JoinGrant,
    SessionKeys,
    build_data_up,
    crypt_payload,
    data_mic,
    data_mic_fits,
    derive_session_keys,
    join_request_mic_fits,
    open_join_accept,
)
from protocol.lorawan.frame import (
    DataFrame,
    Direction,
    FrameError,
    JoinAccept,
    JoinRequest,
    parse,
)
from tests.protocol.lorawan import reference
from tests.protocol.lorawan.vectors import (
    CONFIRMED_UP,
    DATA,
    DOWN,
    JOIN_ACCEPT,
    JOIN_REQUEST,
    NEGATIVE,
    UNCONFIRMED_UP,
    DataVector,
    bit_flips,
)

APP_KEY = bytes.fromhex(JOIN_REQUEST["app_key"])
keys = st.binary(min_size=16, max_size=16)


def data_frame(phy_payload: bytes) -> DataFrame:
    """Parse what must be a data frame."""
    frame = parse(phy_payload)
    assert isinstance(frame, DataFrame)
    return frame


def is_genuine(phy_payload: bytes, vector: DataVector, f_cnt: int) -> bool:
    """Whether the bytes are a frame whose MIC fits the keys of a vector."""
    try:
        frame = parse(phy_payload)
    except FrameError:
        return False
    return isinstance(frame, DataFrame) and data_mic_fits(
        frame, phy_payload, nwk_s_key=vector.nwk_s_key, f_cnt=f_cnt
    )


@pytest.mark.parametrize("vector", DATA, ids=lambda vector: vector.name)
def test_data_vectors(vector: DataVector) -> None:
    """MIC and payload, up and down, with a counter over 16 bits."""
    frame = data_frame(vector.phy_payload)
    assert vector.mic == data_mic(
        vector.nwk_s_key,
        vector.phy_payload[:-4],
        dev_addr=vector.dev_addr,
        f_cnt=vector.f_cnt,
        direction=frame.direction,
    )
    assert is_genuine(vector.phy_payload, vector, vector.f_cnt)
    assert vector.plaintext == crypt_payload(
        vector.app_s_key,
        frame.frm_payload,
        dev_addr=vector.dev_addr,
        f_cnt=vector.f_cnt,
        direction=frame.direction,
    )


@pytest.mark.parametrize("vector", DATA, ids=lambda vector: vector.name)
def test_every_flipped_bit_of_a_data_frame_is_refused(vector: DataVector) -> None:
    """By the parser or by the MIC."""
    flips = bit_flips(vector.phy_payload)
    assert len(flips) == 8 * len(vector.phy_payload)
    assert [flip.hex() for flip in flips if is_genuine(flip, vector, vector.f_cnt)] == []


@pytest.mark.parametrize(
    ("name", "vector", "f_cnt"),
    [
        ("mic-bit-flipped", UNCONFIRMED_UP, UNCONFIRMED_UP.f_cnt),
        ("payload-bit-flipped", UNCONFIRMED_UP, UNCONFIRMED_UP.f_cnt),
        ("low-half-only", CONFIRMED_UP, 5),
    ],
)
def test_negative_vectors(name: str, vector: DataVector, f_cnt: int) -> None:
    """Including a counter whose upper half is lost."""
    assert NEGATIVE[name]["of"] == vector.name
    assert not is_genuine(bytes.fromhex(NEGATIVE[name]["phy"]), vector, f_cnt)


def test_no_negative_vector_is_forgotten() -> None:
    """The list above is the list of the file."""
    assert set(NEGATIVE) == {"mic-bit-flipped", "payload-bit-flipped", "low-half-only"}


@given(st.integers(0, 0xFFFFFFFF).filter(lambda counter: counter != CONFIRMED_UP.f_cnt))
def test_only_the_right_counter_fits(f_cnt: int) -> None:
    """The lower half alone proves nothing."""
    assert not is_genuine(CONFIRMED_UP.phy_payload, CONFIRMED_UP, f_cnt)


def test_building_the_unconfirmed_vector() -> None:
    """Bytes equal to those of two other libraries."""
    vector = UNCONFIRMED_UP
    assert vector.phy_payload == build_data_up(
        dev_addr=vector.dev_addr,
        f_cnt=vector.f_cnt,
        f_port=vector.f_port,
        plaintext=vector.plaintext,
        nwk_s_key=vector.nwk_s_key,
        app_s_key=vector.app_s_key,
        adr=True,
    )


def test_reference_agrees_with_rfc_4493_and_the_vectors() -> None:
    """RFC 4493 section 4, examples 1 to 4: the reference is judged before it judges."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    message = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    expected = {
        0: "bb1d6929e95937287fa37d129b756746",
        16: "070a16b46b4d4144f79bdd9dd04a287c",
        40: "dfa66747de9ae63030ca32611497c827",
        64: "51f0bebf7e3b9d92fc49741779363cfe",
    }
    assert {size: reference.cmac(key, message[:size]).hex() for size in expected} == expected
    assert CONFIRMED_UP.phy_payload == reference.data_up(
        mhdr=0x80,
        dev_addr=CONFIRMED_UP.dev_addr,
        f_ctrl=CONFIRMED_UP.f_ctrl,
        f_cnt=CONFIRMED_UP.f_cnt,
        f_opts=CONFIRMED_UP.f_opts,
        f_port=CONFIRMED_UP.f_port,
        plaintext=CONFIRMED_UP.plaintext,
        nwk_s_key=CONFIRMED_UP.nwk_s_key,
        app_s_key=CONFIRMED_UP.app_s_key,
    )


@given(
    dev_addr=st.binary(min_size=4, max_size=4),
    f_cnt=st.integers(0, 0xFFFFFFFF),
    f_port=st.integers(0, 255),
    plaintext=st.binary(max_size=227),
    nwk_s_key=keys,
    app_s_key=keys,
    confirmed=st.booleans(),
    adr=st.booleans(),
    f_opts=st.binary(max_size=15),
)
def test_built_uplinks_agree_with_the_reference(
    *,
    dev_addr: bytes,
    f_cnt: int,
    f_port: int,
    plaintext: bytes,
    nwk_s_key: bytes,
    app_s_key: bytes,
    confirmed: bool,
    adr: bool,
    f_opts: bytes,
) -> None:
    """MAC commands on port 0 under the network key, everything else under the application key."""
    built = build_data_up(
        dev_addr=dev_addr,
        f_cnt=f_cnt,
        f_port=f_port,
        plaintext=plaintext,
        nwk_s_key=nwk_s_key,
        app_s_key=app_s_key,
        confirmed=confirmed,
        adr=adr,
        f_opts=f_opts,
    )
    assert built == reference.data_up(
        mhdr=0x80 if confirmed else 0x40,
        dev_addr=dev_addr,
        f_ctrl=(0x80 if adr else 0) + len(f_opts),
        f_cnt=f_cnt,
        f_opts=f_opts,
        f_port=f_port,
        plaintext=plaintext,
        nwk_s_key=nwk_s_key,
        app_s_key=app_s_key,
    )


@given(keys, st.binary(max_size=242), st.integers(0, 0xFFFFFFFF), st.sampled_from(Direction))
def test_encryption_is_its_own_inverse(
    key: bytes, payload: bytes, f_cnt: int, direction: Direction
) -> None:
    """Both directions of both functions are one."""
    sealed = crypt_payload(key, payload, dev_addr=bytes(4), f_cnt=f_cnt, direction=direction)
    assert len(sealed) == len(payload)
    again = crypt_payload(key, sealed, dev_addr=bytes(4), f_cnt=f_cnt, direction=direction)
    assert again == payload


def test_directions_do_not_share_a_key_stream() -> None:
    """Or an uplink and a downlink of one counter would unveil each other."""
    up, down = (
        crypt_payload(bytes(16), bytes(32), dev_addr=bytes(4), f_cnt=1, direction=direction)
        for direction in Direction
    )
    assert up != down


@pytest.mark.parametrize(
    ("f_cnt", "key", "plaintext", "error"),
    [
        (-1, bytes(16), b"", OverflowError),
        (1 << 32, bytes(16), b"", OverflowError),
        (0, bytes(15), b"x", ValueError),
        (0, bytes(32), b"x", ValueError),
        (0, bytes(16), bytes(243), ValueError),
    ],
)
def test_uplinks_that_cannot_be_built(
    f_cnt: int, key: bytes, plaintext: bytes, error: type[Exception]
) -> None:
    """An AES-256 key in particular must not pass as a key."""
    with pytest.raises(error):
        build_data_up(
            dev_addr=bytes(4),
            f_cnt=f_cnt,
            f_port=1,
            plaintext=plaintext,
            nwk_s_key=key,
            app_s_key=key,
        )


def is_genuine_request(phy_payload: bytes) -> bool:
    """Whether the bytes are a join-request under the key of the vector."""
    try:
        frame = parse(phy_payload)
    except FrameError:
        return False
    return isinstance(frame, JoinRequest) and join_request_mic_fits(frame, app_key=APP_KEY)


def test_join_request_vector() -> None:
    """As it is, and with every bit flipped."""
    phy_payload = bytes.fromhex(JOIN_REQUEST["phy"])
    assert is_genuine_request(phy_payload)
    flips = bit_flips(phy_payload)
    assert [flip.hex() for flip in flips if is_genuine_request(flip)] == []


def opened_accept(phy_payload: bytes) -> JoinGrant | None:
    """What the bytes grant under the key of the vector."""
    try:
        frame = parse(phy_payload)
    except FrameError:
        return None
    return open_join_accept(frame, app_key=APP_KEY) if isinstance(frame, JoinAccept) else None


def test_join_accept_vector() -> None:
    """As it is, and with every bit flipped."""
    phy_payload = bytes.fromhex(JOIN_ACCEPT["phy"])
    assert opened_accept(phy_payload) == JoinGrant(
        join_nonce=int(JOIN_ACCEPT["join_nonce"], 16),
        net_id=bytes.fromhex(JOIN_ACCEPT["net_id"]),
        dev_addr=bytes.fromhex(JOIN_ACCEPT["dev_addr"]),
        dl_settings=int(JOIN_ACCEPT["dl_settings"], 16),
        rx_delay_s=JOIN_ACCEPT["rx_delay"],
        cf_list=bytes.fromhex(JOIN_ACCEPT["cflist"]),
    )
    assert [flip.hex() for flip in bit_flips(phy_payload) if opened_accept(flip)] == []


def test_join_accept_without_channels() -> None:
    """The short form, with a receive delay of 0, which means 1 second."""
    clear = bytes.fromhex("0c0b0a" + "130000" + "45230126" + "02" + "00")
    clear += reference.cmac(APP_KEY, b"\x20" + clear)[:4]
    sealed = reference.aes_inverse(APP_KEY, clear)
    grant = opened_accept(b"\x20" + sealed)
    assert grant is not None
    assert grant.dev_addr.hex() == "26012345"
    assert (grant.rx_delay_s, grant.cf_list) == (1, b"")


def test_session_keys_of_the_join_vector() -> None:
    """And they open the first uplink of that session."""
    grant = opened_accept(bytes.fromhex(JOIN_ACCEPT["phy"]))
    assert grant is not None
    request = parse(bytes.fromhex(JOIN_REQUEST["phy"]))
    assert isinstance(request, JoinRequest)
    session = derive_session_keys(APP_KEY, grant=grant, dev_nonce=request.dev_nonce)
    assert session == SessionKeys(
        nwk_s_key=bytes.fromhex(JOIN_ACCEPT["nwk_s_key"]),
        app_s_key=bytes.fromhex(JOIN_ACCEPT["app_s_key"]),
    )
    first = JOIN_ACCEPT["first_uplink_check"]
    phy_payload = bytes.fromhex(first["phy"])
    frame = data_frame(phy_payload)
    assert data_mic_fits(frame, phy_payload, nwk_s_key=session.nwk_s_key, f_cnt=first["fcnt32"])
    assert phy_payload == build_data_up(
        dev_addr=grant.dev_addr,
        f_cnt=first["fcnt32"],
        f_port=first["fport"],
        plaintext=bytes.fromhex(first["frmpayload_plain"]),
        nwk_s_key=session.nwk_s_key,
        app_s_key=session.app_s_key,
    )


def test_keys_do_not_show() -> None:
    """A session in a log line or a traceback gives nothing away."""
    assert "KKKK" not in repr(SessionKeys(b"K" * 16, b"K" * 16))


def test_direction_is_part_of_the_mic() -> None:
    """So that a downlink sent back does not pass for an uplink."""
    mic = data_mic(
        DOWN.nwk_s_key,
        DOWN.phy_payload[:-4],
        dev_addr=DOWN.dev_addr,
        f_cnt=DOWN.f_cnt,
        direction=Direction.UP,
    )
    assert mic != DOWN.mic
