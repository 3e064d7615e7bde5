"""Bringing up the radios of a board: is it the right one, and what each radio is to be told."""

from collections.abc import Sequence

from drivers.base import DriverOptions, OptionFault
from drivers.errors import PortLost, UnsupportedConfiguration, UnsupportedDevice
from drivers.option_checks import (
    chip_faults,
    receive_settings,
    tells_signal_itself,
    too_many_radios,
)
from protocol.link.host_session import HostSession
from protocol.link.messages import (
    BoardHello,
    ReceiveProfile,
    Registers,
    Status,
    StatusCode,
)
from protocol.lora.sx127x_configuration import (
    SX127X_VERSION,
    Chip,
    UnsupportedSettings,
    calibration_operations,
    check_receive,
    receive_image,
)

_CHIPS = {76: Chip.SX1276, 77: Chip.SX1277, 78: Chip.SX1278, 79: Chip.SX1279}

MAX_RADIOS = 16  # three requests each fit into the session's queue


def check_options(options: DriverOptions) -> Sequence[OptionFault]:
    """What no board can do; how many radios it has and which, each board tells itself."""
    # The family's widest chip: a board's own is known when it has answered.
    return (
        *too_many_radios(options, MAX_RADIOS, "a bridge"),
        *chip_faults(options, Chip.SX1276),
        *tells_signal_itself(options, "a bridge"),
    )


def check_board(options: DriverOptions, hello: BoardHello) -> None:
    """See whether this board may be used and can do what is asked of it.

    Raises:
        UnsupportedDevice: another board than the pinned one, too many radios or other ones.
        UnsupportedConfiguration: too few radios, or settings that a chip cannot have.
    """
    where = f"{options.port}: board {hello.unique_id.hex()}"
    if options.unique_id and hello.unique_id.hex() != options.unique_id:
        raise UnsupportedDevice(
            f"{where} is not the configured one ({options.unique_id}); if it was replaced on"
            f" purpose, change unique_id of concentrator {options.name!r}"
        )
    if len(hello.radios) > MAX_RADIOS:
        raise UnsupportedDevice(
            f"{where} reports {len(hello.radios)} radios, at most {MAX_RADIOS} are driven"
        )
    if len(hello.radios) < len(options.radios):
        raise UnsupportedConfiguration(
            f"{where} has {len(hello.radios)} radios, {len(options.radios)} are configured"
        )
    for index, radio in enumerate(options.radios):
        description = hello.radios[index]
        if description.version != SX127X_VERSION:
            raise UnsupportedDevice(
                f"{where}: radio {index} reports version 0x{description.version:02x}, an"
                f" SX1276/77/78/79 has 0x{SX127X_VERSION:02x}"
            )
        try:
            check_receive(_CHIPS.get(description.chip, Chip.SX1276), receive_settings(radio))
        except UnsupportedSettings as error:
            raise UnsupportedConfiguration(f"{where}: radio {index}: {error}") from None


class RadioSetup:
    """The requests that set up all radios of a board, and what is still open of them."""

    def __init__(self, options: DriverOptions) -> None:
        self._options = options
        self._open: dict[int, str] = {}

    def begin(self, session: HostSession, hello: BoardHello, now_us: int) -> None:
        """Ask for everything at once; the session sends as much as the board can take.

        Each radio is switched off first, whatever an earlier host left it doing: only then do the
        registers that calibration needs belong to us.
        """
        self._open.clear()
        for index in range(len(hello.radios)):
            steps: list[ReceiveProfile | Registers] = [ReceiveProfile(None)]
            if index < len(self._options.radios):
                settings = receive_settings(self._options.radios[index])
                steps.append(Registers(calibration_operations(settings.frequency_hz)))
                steps.append(ReceiveProfile(receive_image(settings)))
            for step in steps:
                request = session.request(step, index, now_us)
                self._open[request] = f"radio {index}: {type(step).__name__}"

    def answered(self, request: int, status: Status) -> bool:
        """Note an answer; True when it was the last one and all radios are receiving.

        Raises:
            PortLost: the board refused a step, so the radio is not in order; trying again may help.
        """
        step = self._open.pop(request, None)
        if step is None:
            return False
        if status.code is not StatusCode.OK:
            raise PortLost(
                f"{self._options.port}: {step} ended with {status.code.name}"
                f" at operation {status.index}"
            )
        return not self._open
