"""A Reticulum with one RNode interface, as a process of its own: the judge of the simulated RNode.

Its licence restricts its use: it is installed for tests only, and nothing of ours imports it but
this file. ``python rns_peer.py DIRECTORY``, where the configuration is; says ``up`` when the
interface is online, then ``in HEX`` for each packet that it has received; sends the packets whose
hex digits come as lines on its input. Ends with its input.
"""

import sys
import time

import RNS


class Listener:
    """Stands where Reticulum's transport would take packets in."""

    def inbound(self, data: bytes, _interface: object) -> None:
        """Called by the interface's own thread."""
        print("in", data.hex(), flush=True)


def main(directory: str) -> None:
    """Bring the interface up and pass packets."""
    RNS.Reticulum(configdir=directory, loglevel=RNS.LOG_ERROR)
    (interface,) = [
        each for each in RNS.Transport.interfaces if type(each).__name__ == "RNodeInterface"
    ]
    interface.owner = Listener()
    while not interface.online:
        time.sleep(0.05)
    print("up", flush=True)
    for line in sys.stdin:
        interface.process_outgoing(bytes.fromhex(line))
    interface.detach()


if __name__ == "__main__":
    main(sys.argv[1])
