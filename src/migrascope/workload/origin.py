"""The origin's web server: nginx, one process, serving the live stream as files."""

from collections.abc import Sequence
from ipaddress import IPv4Address

CONFIG = "nginx.conf"
WWW = "www"
_TEMPORARY = "/tmp"


def nginx_config(folder: str, address: str, port: int = 80, only: Sequence[str] = ()) -> str:
    """The text of nginx.conf for a process that may write nowhere but in /tmp.

    It serves what is below `folder`/www on that one address and port; errors go to stderr. A playlist is never cached,
    so that a relay passes on each reload. folder: a constant of ours. only: the addresses from which it may be asked,
    all others are refused; empty: from all. ValueError for what is no IPv4 address or port: in this text anything else
    could be another directive.
    """
    if not 0 < port < 2**16:
        raise ValueError(f"{port} is no port")
    listen = f"{IPv4Address(address)}:{port:d}"
    guarded = "".join(f"        allow {IPv4Address(peer)};\n" for peer in only) + "        deny all;\n" * bool(only)
    # What strangers ask for is no error of ours: each line of theirs would take room on the disk.
    level = "crit" if only else "warn"
    temporary = "\n".join(
        f"    {name}_temp_path {_TEMPORARY}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
pid {_TEMPORARY}/nginx.pid;
error_log stderr {level};
events {{
    worker_connections 512;
}}
http {{
    access_log off;
    server_tokens off;
{temporary}
    types {{
        application/vnd.apple.mpegurl m3u8;
        video/mp2t ts;
    }}
    default_type application/octet-stream;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000;
    server {{
        listen {listen};
        root {folder}/{WWW};
{guarded}        add_header Cache-Control no-cache always;
    }}
}}
"""
