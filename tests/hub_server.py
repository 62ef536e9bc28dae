"""The part of the Hugging Face hub's API that loading a public data set needs, for folders ROOT/USER/NAME.

`python hub_server.py ROOT` prints its address. GET requests of files that hold the string in ROOT/stall (where there is
such a file) are not answered; where it is "refuse:" + string, they are refused. All commits hold the same; the newest
is COMMIT, or NEWER where there is ROOT/newer.
"""

import hashlib
import http.server
import json
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

ROOT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
COMMIT = "c0ffee" * 6 + "c0ff"
NEWER = "decade" * 6 + "deca"


class Hub(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": _commit(self.path), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(status, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def _missing(self, what: str = "EntryNotFound") -> None:
        self._json({"error": what}, 404, X_Error_Code=what)

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """paths-info alone."""
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        parts = urllib.parse.unquote(urllib.parse.urlparse(self.path).path).split("/")[1:]
        if parts[-2:-1] != ["paths-info"]:
            return self._missing()
        asked = json.loads(body)["paths"] if body.startswith("{") else urllib.parse.parse_qs(body)["paths"]
        folder = ROOT / parts[2] / parts[3]
        self._json([_entry(folder / path, folder) for path in asked if (folder / path).exists()])

    def do_GET(self) -> None:
        """What a repository is, what is in it, and its files."""
        url = urllib.parse.urlparse(self.path)
        parts = urllib.parse.unquote(url.path).split("/")[1:]
        if parts[:2] == ["api", "datasets"]:
            folder = ROOT / parts[2] / parts[3]
            if not folder.is_dir():
                return self._missing("RepoNotFound")
            if parts[4:5] == ["tree"]:
                base = folder.joinpath(*parts[6:])
                deep = urllib.parse.parse_qs(url.query).get("recursive", ["false"])[0].lower() == "true"
                found = sorted(base.rglob("*") if deep else base.glob("*"))
                return self._json([_entry(path, folder) for path in found]) if base.is_dir() else self._missing()
            files = [{"rfilename": path.relative_to(folder).as_posix()} for path in sorted(folder.rglob("*"))]
            about = {
                "id": "/".join(parts[2:4]),
                "sha": _commit(self.path),
                "siblings": files,
                "private": False,
                "gated": False,
            }
            return self._json({**about, "disabled": False, "tags": [], "downloads": 0, "likes": 0})
        if parts[0] == "datasets" and parts[3:4] == ["resolve"]:
            return self._file(ROOT.joinpath(*parts[1:3], *parts[5:]))
        return self._missing()

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._missing()
        stall = (ROOT / "stall").read_text() if (ROOT / "stall").exists() else ""
        if stall and self.command == "GET" and stall.removeprefix("refuse:") in str(path):
            if stall.startswith("refuse:"):
                return self._json({"error": "Forbidden"}, 403)
            (ROOT / "stalled").touch()
            time.sleep(60)
        body, tag = path.read_bytes(), f'"{hashlib.sha1(path.name.encode()).hexdigest()}"'
        asked = self.headers.get("Range")
        if asked is None or self.command == "HEAD":
            return self._send(200, body, ETag=tag, Accept_Ranges="bytes")
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = body[int(first) : int(last) + 1 if last else None]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        return self._send(206, part, ETag=tag, Content_Range=span)


def _commit(asked: str) -> str:
    newest = NEWER if (ROOT / "newer").exists() else COMMIT
    return COMMIT if COMMIT in asked else newest


def _entry(path: Path, folder: Path) -> dict[str, Any]:
    kind = {"type": "directory", "size": 0} if path.is_dir() else {"type": "file", "size": path.stat().st_size}
    return {**kind, "path": path.relative_to(folder).as_posix(), "oid": "0" * 40}


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
