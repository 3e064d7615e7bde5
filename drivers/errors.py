"""What can go wrong with a device.

::

    DriverError
    +-- TransientDriverError     try again: the supervisor restarts the driver
    |   +-- PortLost             the port vanished, hung up, or cannot be opened yet
    |   +-- HandshakeTimeout     the port is there, but nothing that speaks our protocol answers
    +-- PermanentDriverError     trying at once is pointless: parked, tried again every 5 minutes
        +-- UnsupportedDevice    other firmware, other chip, or another board than the pinned one
        +-- UnsupportedConfiguration  the device cannot do what the configuration asks for
"""


class DriverError(Exception):
    """Anything a driver raises on purpose; raise a subclass."""


class TransientDriverError(DriverError):
    """A fault that may pass by itself."""


class PermanentDriverError(DriverError):
    """A fault that a person has to mend."""


class PortLost(TransientDriverError):
    """The serial port vanished, hung up, or cannot be opened yet."""


class HandshakeTimeout(TransientDriverError):
    """Nothing on the port speaks the driver's protocol."""


class UnsupportedDevice(PermanentDriverError):
    """The device is not one that this driver, or this configuration, may use."""


class UnsupportedConfiguration(PermanentDriverError):
    """The device cannot do what the configuration asks for."""
