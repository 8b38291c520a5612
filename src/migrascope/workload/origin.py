"""The origin's web server: nginx, one process, serving the live stream as files."""

from pathlib import Path


def nginx_config(www: Path, folder: Path, address: str, port: int = 80) -> str:
    """The text of nginx.conf: serves www on address:port; keeps its pid and temporary files in `folder`; errors go to
    stderr. A playlist is never cached, so that a relay passes on each reload."""
    temporary = "\n".join(
        f"    {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 512;
}}
http {{
    access_log off;
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
        listen {address}:{port};
        root {www};
        add_header Cache-Control no-cache always;
    }}
}}
"""
