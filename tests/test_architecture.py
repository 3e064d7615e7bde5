"""The directions of import, exactly as docs/ARCHITECTURE.md draws them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("edge", "drivers", "protocol", "simulator")

PROTOCOL_FORBIDDEN = {
    "asyncio", "serial", "serial_asyncio", "sqlite3", "aiosqlite", "logging", "time", "random",
    "os", "socket", "threading", "subprocess", "secrets",
}  # fmt: skip
PROTOCOL_THIRD_PARTY = {"cbor2", "cryptography"}
SIMULATOR_MAY_USE = (
    "protocol.link",
    "protocol.lorawan",
    "protocol.lora.phy",
    "protocol.lora.regions",
    "protocol.lora.register_operations",  # values inside link messages
)


def modules(package: str) -> list[Path]:
    """All source files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Names of all modules that a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield module
                yield from (f"{module}.{name.name}" for name in names)


def offenders(package: str, is_wrong: object) -> list[str]:
    """``file: import`` for every import that ``is_wrong`` names."""
    assert callable(is_wrong)
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules(package)
        for name in imports(path)
        if is_wrong(name)
    ]


def top(name: str) -> str:
    """The outermost package of a module name."""
    return name.partition(".")[0]


def test_every_package_has_sources() -> None:
    """The tests below cannot pass because they looked at nothing."""
    for package in HOUSE:
        assert len(modules(package)) > 1, package


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("protocol", {"edge", "drivers", "simulator"}),
        ("drivers", {"edge", "simulator"}),
        ("simulator", {"edge", "drivers"}),
        ("edge", {"simulator"}),
    ],
)
def test_direction(package: str, forbidden: set[str]) -> None:
    """protocol <- drivers <- edge, protocol <- simulator, and nothing shipped imports it."""
    assert offenders(package, lambda name: top(name) in forbidden) == []


def test_protocol_is_pure() -> None:
    """No I/O, clock or chance; of third parties only cbor2 and cryptography."""
    known = set(sys.stdlib_module_names) | PROTOCOL_THIRD_PARTY | {"protocol"}
    wrong = offenders(
        "protocol", lambda name: top(name) in PROTOCOL_FORBIDDEN or top(name) not in known
    )
    assert wrong == []


def test_simulator_reads_the_documents_itself() -> None:
    """Chips and air never see the driver's reading of the data sheet."""
    wrong = offenders(
        "simulator",
        lambda name: (
            top(name) == "protocol"
            and name != "protocol.lora"
            and not any(name == may or name.startswith(f"{may}.") for may in SIMULATOR_MAY_USE)
        ),
    )
    assert wrong == []


def test_one_gate_for_serial_ports() -> None:
    """pyserial-asyncio can be replaced by changing one module."""
    users = {
        path.relative_to(ROOT).as_posix()
        for package in HOUSE
        for path in modules(package)
        if any(top(name) in {"serial_asyncio", "serial"} for name in imports(path))
    }
    assert users == {"drivers/serial_port.py"}


def test_every_test_folder_is_a_package() -> None:
    """Without it a test folder would shadow the package it tests."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
