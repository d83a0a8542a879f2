"""FFmpeg's own WHIP muxer as an outside publisher: ``python whip_ffmpeg.py CLIP URL PROFILE [TOKEN]``.

It is given a certificate: built with GnuTLS, as in PyAV's wheels, it makes one on a curve that OpenSSL refuses.
"""

from __future__ import annotations

import datetime
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FPS = 30
DAY = datetime.timedelta(days=1)


def certificate(folder: Path) -> dict[str, str]:
    """Make a certificate as WebRTC wants it and return the muxer's options for it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - DAY).not_valid_after(now + DAY)
    cert_file, key_file = folder / "whip.crt", folder / "whip.key"
    cert_file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return {"cert_file": str(cert_file), "key_file": str(key_file)}


def publish(clip: str, url: str, profile: str, token: str) -> None:
    """Send the clip over and over in real time, until killed."""
    with av.open(clip) as container:
        frames = [frame.reformat(format="yuv420p").to_ndarray() for frame in container.decode(video=0)]
    options = certificate(Path(clip).parent) | ({"authorization": token} if token else {})
    with av.open(url, "w", format="whip", options=options) as output:
        stream = output.add_stream("libx264", rate=FPS)
        height, width = frames[0].shape
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height * 2 // 3, "yuv420p", FPS
        stream.time_base = Fraction(1, FPS)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": profile, "bf": "0"}
        begin_s, number = time.monotonic(), 0
        while True:
            time.sleep(max(0.0, begin_s + number / FPS - time.monotonic()))
            frame = av.VideoFrame.from_ndarray(frames[number % len(frames)], format="yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
            number += 1


if __name__ == "__main__":
    publish(*[*sys.argv[1:], ""][:4])
