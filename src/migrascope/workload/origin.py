"""The origin's web server: nginx, one process, serving the live stream as files."""

from ipaddress import IPv4Address

CONFIG = "nginx.conf"
WWW = "www"
_TEMPORARY = "/tmp"


def nginx_config(folder: str, address: str, port: int = 80) -> str:
    """The text of nginx.conf for a process that may write nowhere but in /tmp.

    It serves what is below `folder`/www on that one address and port; errors go to stderr. A playlist is never cached,
    so that a relay passes on each reload. folder: a constant of ours. ValueError for what is no IPv4 address or port:
    in this text anything else could be another directive.
    """
    if not 0 < port < 2**16:
        raise ValueError(f"{port} is no port")
    listen = f"{IPv4Address(address)}:{port:d}"
    temporary = "\n".join(
        f"    {name}_temp_path {_TEMPORARY}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
pid {_TEMPORARY}/nginx.pid;
error_log stderr warn;
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
        add_header Cache-Control no-cache always;
    }}
}}
"""
