"""Run the simulator: simulated boards on pseudo-terminals, sensors, air and faults.

All arguments go to the simulator; lora-edge simulate --help shows them.
"""
