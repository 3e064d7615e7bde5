"""Reads the whole configuration and finds all its faults at once."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge.config.checks import check
from edge.config.document import Document, read_document
from edge.config.environment import override, overrides
from edge.config.faults import ConfigError, Fault, KeyPath
from edge.config.fields import key_of
from edge.config.keys import add_keys
from edge.config.model import Config, GatewayConfig, UpstreamConfig
from edge.config.reader import BAD, Bad, Reader
from edge.upstreams.registry import EXTRAS, UPSTREAMS, upstream_factory

_NO_GATEWAY = GatewayConfig(region="")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration without faults.

    Attributes:
        warnings: what a person should look at.
        text: the file as it was read.
        variables: environment variables that took part.
    """

    config: Config
    warnings: tuple[Fault, ...]
    text: str
    variables: Mapping[str, str]


def load_config(path: Path, environ: Mapping[str, str]) -> LoadedConfig:
    """Read a configuration, its environment variables and its keys file.

    Raises:
        ConfigError: it has faults; all of them are in it.
    """
    return load_document(read_document(path), overrides(environ))


def load_document(document: Document, variables: Mapping[str, str]) -> LoadedConfig:
    """Check a parsed file; ``document.values`` is changed by the variables.

    Raises:
        ConfigError: it has faults; all of them are in it.
    """
    set_by, variable_faults = override(document.values, variables)
    findings = document.findings(set_by)
    findings.faults += variable_faults
    reader = Reader(findings)
    reader.special[UpstreamConfig] = partial(_read_upstream, reader)
    document.values.setdefault("gateway", {})
    values = reader.values(Config, document.values, ())
    config = Config(**{"gateway": _NO_GATEWAY, **values})
    check(config, document.values, reader)
    config = add_keys(config, reader)
    if findings.faults:
        raise ConfigError(findings.faults, findings.warnings)
    return LoadedConfig(config, tuple(findings.warnings), document.text, dict(variables))


def _read_upstream(reader: Reader, raw: Any, path: KeyPath) -> UpstreamConfig | Bad:
    """The keys of :class:`UpstreamConfig` are ours, all others belong to the kind's options."""
    if not isinstance(raw, dict):
        return reader.table(UpstreamConfig, raw, path)
    ours = tuple(filter(None, map(key_of, dataclasses.fields(UpstreamConfig))))
    own = {key: value for key, value in raw.items() if key in ours}
    upstream = reader.table(UpstreamConfig, own, path)
    options_class = _options_class(reader, own.get("kind"), path)
    if options_class is None:
        return BAD
    others = {key: value for key, value in raw.items() if key not in own}
    options = reader.table(options_class, others, path, also_known=ours)
    if upstream is BAD or options is BAD:
        return BAD
    complete = dataclasses.replace(upstream, options=options)
    reader.place(complete, path)
    return complete


def _options_class(reader: Reader, kind: object, path: KeyPath) -> type[Any] | None:
    if not isinstance(kind, str) or kind not in UPSTREAMS:
        return None  # noted where the kind was read
    try:
        return upstream_factory(kind).Options
    except ImportError as error:
        hint = f"pip install 'lora-edge-gateway[{EXTRAS.get(kind, kind)}]'"
        reader.findings.fault((*path, "kind"), f"{kind} needs a package: {error}", hint)
        return None
