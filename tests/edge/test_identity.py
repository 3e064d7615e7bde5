"""Who the gateway is, and that it stays so."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.identity import (
    FILE_NAME,
    IdentityError,
    confirm_identity,
    hardware_identities,
    resolve_identity,
    stored_identity,
)

EUI = "0016c001f0003a21"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


def plug(
    network: Path, name: str, mac: str, *, assigned: str = "0", kind: str = "1", device: bool = True
) -> None:
    """An interface as sysfs shows it (Documentation/ABI/testing/sysfs-class-net)."""
    interface = network / name
    interface.mkdir(parents=True)
    for fact, value in (("address", mac), ("addr_assign_type", assigned), ("type", kind)):
        (interface / fact).write_text(f"{value}\n")
    if device:
        (network.parent / "devices").mkdir(exist_ok=True)
        (interface / "device").symlink_to("../../devices")


def test_the_lowest_permanent_mac_becomes_an_eui_64(tmp_path: Path, state: Path) -> None:
    """IEEE's guidelines for EUI-64: a MAC-48 is mapped by fffe in its middle."""
    plug(tmp_path / "net", "wlan0", "b8:27:eb:ff:00:01")
    plug(tmp_path / "net", "eth0", "B8:27:EB:12:34:56")

    identity = resolve_identity("auto", state, tmp_path / "net")

    assert identity.gateway.hex() == "b827ebfffe123456"
    assert (identity.mismatch, identity.warning) == (False, "")
    assert stored_identity(state) == identity.gateway


@pytest.mark.parametrize(
    "facts",
    [
        {"mac": "00:00:00:00:00:00"},
        {"mac": "b8:27:eb:12:34:56", "assigned": "1"},  # random
        {"mac": "b8:27:eb:12:34:56", "assigned": "3"},  # set by somebody
        {"mac": "b8:27:eb:12:34:56", "kind": "772"},  # loopback
        {"mac": "b8:27:eb:12:34:56", "device": False},  # a bridge
        {"mac": "b8:27:eb:12:34:56:78:9a"},  # InfiniBand
        {"mac": ""},
    ],
)
def test_addresses_that_do_not_last_do_not_count(tmp_path: Path, facts: dict[str, object]) -> None:
    plug(tmp_path, "if0", **facts)  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()

    assert hardware_identities(tmp_path) == []


def test_without_hardware_the_identity_is_random_and_stays(tmp_path: Path, state: Path) -> None:
    first = resolve_identity("auto", state, tmp_path / "none")
    again = resolve_identity("auto", state, tmp_path / "none")

    assert len(first.gateway) == 8
    assert again == first
    (tmp_path / "other").mkdir()
    assert resolve_identity("auto", tmp_path / "other", tmp_path / "none").gateway != first.gateway


def test_the_configured_identity_is_taken_at_the_first_start(tmp_path: Path, state: Path) -> None:
    assert resolve_identity(EUI, state, tmp_path).gateway.hex() == EUI
    assert resolve_identity(EUI, state, tmp_path).mismatch is False


def test_the_stored_identity_wins_over_a_changed_configuration(tmp_path: Path, state: Path) -> None:
    resolve_identity(EUI, state, tmp_path)

    changed = resolve_identity("00000000000000aa", state, tmp_path)

    assert changed.gateway.hex() == EUI
    assert changed.mismatch
    assert f"stays {EUI} although the configuration says 00000000000000aa" in changed.warning
    assert str(state / FILE_NAME) in changed.warning


def test_a_confirmed_mismatch_only_warns_until_something_changes_again(
    tmp_path: Path, state: Path
) -> None:
    """One new epoch for one change: not one at each start."""
    resolve_identity(EUI, state, tmp_path)
    confirm_identity(resolve_identity("00000000000000aa", state, tmp_path), state)

    same = resolve_identity("00000000000000aa", state, tmp_path)
    other = resolve_identity("00000000000000bb", state, tmp_path)

    assert (same.gateway.hex(), same.mismatch, bool(same.warning)) == (EUI, False, True)
    assert (other.gateway.hex(), other.mismatch) == (EUI, True)


def test_a_cloned_card_is_recognised_by_other_hardware(tmp_path: Path, state: Path) -> None:
    plug(tmp_path / "one", "eth0", "b8:27:eb:00:00:01")
    plug(tmp_path / "two", "eth0", "b8:27:eb:00:00:02")
    first = resolve_identity("auto", state, tmp_path / "one")

    clone = resolve_identity("auto", state, tmp_path / "two")

    assert clone.gateway == first.gateway
    assert clone.mismatch
    assert "this hardware is b827ebfffe000002" in clone.warning


def test_an_adapter_more_changes_nothing(tmp_path: Path, state: Path) -> None:
    plug(tmp_path / "net", "eth0", "b8:27:eb:00:00:05")
    first = resolve_identity("auto", state, tmp_path / "net")
    plug(tmp_path / "net", "eth1", "b8:27:eb:00:00:01")

    again = resolve_identity("auto", state, tmp_path / "net")

    assert (again.gateway, again.mismatch, again.warning) == (first.gateway, False, "")


def test_hardware_that_went_away_proves_nothing(tmp_path: Path, state: Path) -> None:
    plug(tmp_path / "net", "eth0", "b8:27:eb:00:00:05")
    first = resolve_identity("auto", state, tmp_path / "net")

    assert resolve_identity("auto", state, tmp_path / "none").gateway == first.gateway
    assert not resolve_identity("auto", state, tmp_path / "none").mismatch


def test_the_file_belongs_to_its_owner_and_is_replaced_whole(tmp_path: Path, state: Path) -> None:
    resolve_identity(EUI, state, tmp_path)

    path = state / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in state.iterdir()] == [FILE_NAME]


@given(st.binary(max_size=60))
def test_a_damaged_file_counts_as_none_and_is_written_anew(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    state = tmp_path_factory.mktemp("state")
    (state / FILE_NAME).write_bytes(content)
    stored = stored_identity(state)

    identity = resolve_identity(EUI, state, state / "none")

    assert stored in (None, identity.gateway)
    if stored is None:
        assert identity.gateway.hex() == EUI
        assert "held no identity and was written anew" in identity.warning
    assert stored_identity(state) == identity.gateway


def test_a_state_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="cannot be written: No such file or directory"):
        resolve_identity(EUI, tmp_path / "none", tmp_path)

    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(IdentityError, match="cannot be read: Is a directory"):
        resolve_identity(EUI, tmp_path, tmp_path)
    with pytest.raises(IdentityError, match="cannot be read"):
        stored_identity(tmp_path)


def test_before_the_first_start_there_is_none(state: Path) -> None:
    assert stored_identity(state) is None
