"""Receive frames of upstreams of kind "http", each once, into an SQLite database.

With a gateway and this, a site works without a broker. On the gateway:

    [[upstream]]
    name = "collector"
    kind = "http"
    url = "http://THIS-HOST:8080/frames"

A frame is acknowledged once it is on the disk; what gateways send again is recognised by its
frame_id. Ends on SIGTERM or Ctrl-C.
"""

import argparse
import asyncio
import logging
import signal
import ssl
import sys
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

from edge.cli.main import FAILED, OK, USAGE
from edge.collector.frame_table import FrameTable
from edge.collector.verdict import FrameStore, StoreFailed
from edge.monitoring.http_server import ListenError, parse_listen
from edge.upstreams.tls import server_tls_context

PROGRESS_INTERVAL_S = 10.0

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``collector``."""
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="default: 127.0.0.1:8080; 0.0.0.0:8080 takes frames of other hosts",
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=Path("frames.db"),
        metavar="FILE",
        help="default: frames.db; its table is called frame",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="take only frames of who knows this token"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate (PEM): serve https")
    parser.add_argument("--tls-key", metavar="FILE", help="key of the certificate")
    parser.add_argument(
        "--client-ca", metavar="FILE", help="take only clients whose certificate this CA signed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    if find_spec("aiohttp") is None:
        print("lora-edge collector needs aiohttp", file=sys.stderr)
        print("pip install 'lora-edge-gateway[web]'", file=sys.stderr)
        return USAGE
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        address = parse_listen(arguments.listen)
        token = _token(arguments.token_file)
        tls = _tls(arguments)
    except (ListenError, OSError, ValueError) as error:
        return _complain(error, USAGE)
    try:
        with closing(FrameTable(arguments.database)) as store:
            asyncio.run(_serve(store, token, address, tls))
    except (StoreFailed, OSError) as error:
        return _complain(error, FAILED)
    return OK


def _complain(error: Exception, status: int) -> int:
    print(f"lora-edge collector: {error}", file=sys.stderr)
    return status


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise ValueError(f"{path} holds no token")
    return token


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_cert:
        return server_tls_context(
            arguments.tls_cert, arguments.tls_key or "", arguments.client_ca or ""
        )
    if arguments.tls_key or arguments.client_ca:
        raise ValueError("--tls-key and --client-ca need --tls-cert")
    return None


async def _serve(
    store: FrameStore, token: str | None, address: tuple[str, int], tls: ssl.SSLContext | None
) -> None:
    from edge.collector.service import Collector, serving  # noqa: PLC0415 - needs the extra web

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    collector = Collector(store, token)
    host, port = address
    async with serving(collector, host, port, tls=tls) as port:
        scheme = "http" if tls is None else "https"
        logger.info("collector takes frames at %s://%s/frames", scheme, _authority(host, port))
        shown = ""
        while not stop.is_set():
            if (progress := collector.counts.text()) != shown:
                logger.info("collector: %s", shown := progress)
            with suppress(TimeoutError):
                async with asyncio.timeout(PROGRESS_INTERVAL_S):
                    await stop.wait()
    logger.info("collector: %s; stopped", collector.counts.text())


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
