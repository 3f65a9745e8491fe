"""Start the server on a port of this machine, open the browser, and stop on Ctrl-C."""

from __future__ import annotations

import socket
import threading
import webbrowser

import uvicorn
from starlette.types import ASGIApp

from ..errors import InputError

LOCAL_HOST = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: the address of this machine to listen at.
        port: from 1 to 65535, or 0 for any that is free.

    Raises:
        InputError: if it is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"port: expected a number from 0 to 65535, found {port}; mend it")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InputError(
            f"{host}:{port}: cannot listen there ({error.strerror or error}); choose another --port or --host"
        ) from error
    return listener


def host_names(host: str, port: int) -> list[str]:
    """What a browser may call this server: the header ``Host`` of its requests.

    Args:
        host: that is listened at.
        port: likewise.

    Returns:
        ``name:port`` for each name of this machine; for one that is listened at everywhere, all that it knows of.
    """
    names = {host}
    if host in (LOCAL_HOST, "::1", "localhost", *_EVERYWHERE):
        names |= {LOCAL_HOST, "localhost", "::1"}
    if host in _EVERYWHERE:
        own = socket.gethostname()
        names |= {own, socket.getfqdn(), *(str(found[4][0]) for found in socket.getaddrinfo(own, None))}
    return [f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in sorted(names - {*_EVERYWHERE})]


def make_server(app: ASGIApp) -> uvicorn.Server:
    """The server of an application: it logs no requests, since their addresses hold the token."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config)


def serve(listener: socket.socket, app: ASGIApp, address: str, is_opened: bool) -> None:
    """Serve until Ctrl-C or another signal to stop.

    Args:
        listener: of `open_port`.
        app: the server.
        address: of the page.
        is_opened: whether to open it in the browser of this machine.
    """
    print(f"review at {address}\nCtrl-C ends it", flush=True)
    if is_opened:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    make_server(app).run(sockets=[listener])
