"""Which RN2483 or RN2903 is simulated, and how it behaves where firmware differs."""

from dataclasses import dataclass
from enum import Enum, auto


class Wedge(Enum):
    """How a module hangs."""

    BUSY = auto()  # it takes no command at all any more; only a loss of power cures that
    RADIO_BUSY = auto()  # radio commands only; sys reset cures it
    SILENT = auto()


@dataclass(frozen=True, slots=True)
class Rn2xx3Model:
    """Which module and firmware it is, and how it behaves where firmware differs.

    Attributes:
        banner: as sent at each start and as reply to ``sys get ver``.
        has_rssi / has_rxstop: newer firmware knows these commands.
        says_ok_after_reset: some firmware does, beside its banner.
        signal_while_listening: ``radio get snr|rssi`` is answered while a reception is open.
        mac_busy: how many times ``mac pause`` says 0 first.
    """

    banner: str = "RN2903 1.0.5 Nov 06 2018 10:45:27"
    bands_hz: tuple[tuple[int, int], ...] = ((902_000_000, 928_000_000),)
    powers_dbm: range = range(2, 21)
    has_rssi: bool = True
    has_rxstop: bool = True
    says_ok_after_reset: bool = False
    signal_while_listening: bool = False
    mac_busy: int = 0
    wedges: Wedge = Wedge.BUSY


RN2903 = Rn2xx3Model()
RN2903_OLD = Rn2xx3Model(
    banner="RN2903 0.9.8 Feb 14 2017 20:17:03",
    has_rssi=False,
    has_rxstop=False,
    says_ok_after_reset=True,
    mac_busy=1,
)
RN2483 = Rn2xx3Model(
    banner="RN2483 1.0.5 Oct 31 2018 15:06:52",
    bands_hz=((433_050_000, 434_790_000), (863_000_000, 870_000_000)),
    powers_dbm=range(-3, 16),
    signal_while_listening=True,
)
