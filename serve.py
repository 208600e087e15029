"""A page in the browser for people who do not type commands; images never leave the computer.

    python serve.py                             # the newest run, or the pretrained network: http://127.0.0.1:8000
    python serve.py --run isic18_cpu --open     # of this run; the browser is opened
    python serve.py --run FILE.onnx --port 8080 # an export (export.py): without TensorFlow, there in a second

Drop photographs onto the page: it draws the outline, lets you move the threshold and correct the mask with a brush,
measures it, and saves mask, overlay, outline, COCO, LabelMe and table, all in one zip. The server answers this computer
alone (127.0.0.1), loads nothing from elsewhere, stores nothing and sets no cookie. Programs use the same by
`POST /predict`; docs/page.md says how, and how the page is made to run without any server (export.py --to page).

    curl --data-binary @photo.jpg 'http://127.0.0.1:8000/predict?name=photo.jpg'               # JSON
    curl --data-binary @photo.jpg 'http://127.0.0.1:8000/predict?format=png' -o mask.png

For research and teaching. Not a medical device.
"""

import argparse
import contextlib
import ipaddress
import socket
import sys
import threading
import webbrowser

from inference import arguments
from inference.predictor import load_predictor
from utils import errors
from utils.arguments import positive, snake_case
from utils.errors import UserError


def is_local(address: str) -> bool:
    """Whether only this computer can reach an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return address == "localhost"


def bound(address: str, port: int) -> socket.socket:
    """A socket that listens there. UserError: the port is taken, or the address is not this computer's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
    except OSError as problem:
        listening.close()
        raise UserError(f"{address}:{port} cannot be used ({problem.strerror}); choose another --port") from None
    return listening


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A page in the browser: masks of photographs, on this computer alone.")
    arguments.add_run(parser)
    arguments.add_masks(parser)
    parser.add_argument("--port", type=positive, default=8000, help="port (default: 8000)")
    address = "address to listen at (default: 127.0.0.1, this computer alone; 0.0.0.0: everybody in the network)"
    parser.add_argument("--address", default="127.0.0.1", help=address)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser


@errors.in_one_line("stopped")
def main(argv: list[str] | None = None) -> None:
    given = parser().parse_args(snake_case(argv))
    try:
        import uvicorn

        from page import service
    except ImportError as problem:
        raise UserError(f"the page needs {problem.name}: pip install -r requirements-page.txt") from None

    listening = bound(given.address, given.port)
    predictor = load_predictor(given.run, given.threshold, given.tta, given.clean)
    if not is_local(given.address):
        print(
            f"warning: everybody who reaches {given.address}:{given.port} can use this page, and images travel there"
            " unencrypted",
            file=sys.stderr,
        )
    shown = f"[{given.address}]" if ":" in given.address else given.address
    address = f"http://{shown}:{given.port}"
    print(f"{predictor.name}: {address} (Ctrl-C ends it)", flush=True)
    if given.open:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    app = service.application(predictor, None if is_local(given.address) else ["*"])
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=15)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
