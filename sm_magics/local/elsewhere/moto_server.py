"""``python -m sm_magics.local.elsewhere.moto_server SOCKET PARENT``: moto's server on a Unix socket, for `elsewhere`.

Says ``ready`` when it listens, and ends with its parent. Run it nowhere else: it believes every request.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from sm_magics.serving.lifeline import end_with


def main(address: str, parent: int) -> None:
    """Serve until the parent ends."""
    end_with(parent, sys.stdin.fileno())
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    application = DomainDispatcherApplication(create_backend_app)
    # The directory is this user's alone; so is the socket, since the umask of the service is inherited.
    server = make_server(f"unix://{address}", 0, application, threaded=True)
    Path(address).chmod(0o600)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
