"""What is changed in session descriptions on their way, as text. Pure; the library does the real parsing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import CallerError

_MDNS_CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ \S+ \d+ \S+\.local .*\r?\n?", re.M | re.I)
_END_OF_CANDIDATES = re.compile(r"^a=end-of-candidates[ \t]*\r?\n?", re.M)
_REMB = re.compile(r"^a=(?:extmap:\S+ \S+/abs-send-time|rtcp-fb:\S+ goog-remb)[ \t]*\r?\n?", re.M)
_H264_MAP = re.compile(r"^a=rtpmap:(\d+) H264/90000\s*$", re.M | re.I)
_PROFILE = re.compile(r"(profile-level-id=)([0-9a-f]{6})", re.I)
_VIDEO_MAP = re.compile(r"^(a=rtpmap:(\d+) (?:H264|VP8)/90000)(\r?)$", re.M | re.I)
_FRAGMENT_LIMIT = 64
BASELINE = "42e01f"


def without_mdns(sdp: str) -> str:
    """Leave out candidates whose address is a name in ``.local``: resolving takes a second, and is not needed.

    The peer checks our candidates itself, and its address is learnt from those checks (RFC 8445, 7.3.1.3). So what
    says that all candidates were named goes, too: without any, the library would give up at once.
    """
    kept, count = _MDNS_CANDIDATE.subn("", sdp)
    return _END_OF_CANDIDATES.sub("", kept) if count else sdp


def without_remb(offer: str) -> str:
    """Leave out what the library's bandwidth estimate works with.

    It takes a quiet picture or a busy machine for a narrow network, and its REMB messages then hold a browser down to
    30 kbit/s. Without them a browser follows the losses that receiver reports tell.
    """
    return _REMB.sub("", offer)


def as_baseline(offer: str) -> tuple[str, dict[str, str]]:
    """Call every H.264 profile baseline where no baseline is offered: any decoder here takes them all.

    :returns: the offer, and the real profile by payload type for `with_profiles`
    """
    profiles = {number: _profile(offer, number) for number in _H264_MAP.findall(offer)}
    if any(profile.lower().startswith("42") for profile in profiles.values()):
        return offer, {}
    for number in profiles:
        offer = _replace_fmtp(offer, number, rf"\g<1>{BASELINE}")
    return offer, profiles


def with_profiles(answer: str, profiles: dict[str, str]) -> str:
    """Undo `as_baseline` in the answer, which has to name the profiles that were offered."""
    for number, profile in profiles.items():
        answer = _replace_fmtp(answer, number, rf"\g<1>{profile}")
    return answer


def _profile(sdp: str, number: str) -> str:
    line = re.search(rf"^a=fmtp:{number} .*$", sdp, re.M)
    found = _PROFILE.search(line[0]) if line else None
    return found[2] if found else BASELINE


def _replace_fmtp(sdp: str, number: str, profile: str) -> str:
    return re.sub(rf"^a=fmtp:{number} .*$", lambda line: _PROFILE.sub(profile, line[0]), sdp, flags=re.M)


def with_start_bitrate(answer: str, bitrate_bps: int) -> str:
    """Tell a browser what to begin with; by itself it begins at 0.3 Mbit/s and takes half a minute to the full."""
    setting = f"x-google-start-bitrate={bitrate_bps // 1000}"
    for _, number, _ in _VIDEO_MAP.findall(answer):
        line = re.compile(rf"^(a=fmtp:{number} [^\r\n]*)", re.M)
        if line.search(answer):
            answer = line.sub(rf"\1;{setting}", answer)
        else:
            answer = re.sub(
                rf"^(a=rtpmap:{number} [^\r\n]*)(\r?\n)",
                rf"\1\2a=fmtp:{number} {setting}\2",
                answer,
                flags=re.M,
            )
    return answer


def is_without_video(sdp: str) -> bool:
    """Whether this is a session description with media, but no video."""
    return sdp.startswith("v=0") and "\nm=" in sdp and "\nm=video" not in sdp


def has_sound(sdp: str) -> bool:
    """Whether a description has a section for sound in Opus."""
    return (
        re.search(r"^m=audio ", sdp, re.M) is not None
        and re.search(r"^a=rtpmap:\d+ opus/48000", sdp, re.M | re.I) is not None
    )


def video_codec(answer: str, mid: str) -> str:
    """Return the name of the codec that an answer puts first in one section of video, in upper case.

    :param mid: of the section
    :returns: empty where there is no such section, or it is no video
    """
    for section in re.split(r"^(?=m=)", answer, flags=re.M):
        first = re.match(r"m=video \d+ \S+ (\d+)", section)
        if first is None or not re.search(rf"^a=mid:{re.escape(mid)}\s*$", section, re.M):
            continue
        found = re.search(rf"^a=rtpmap:{first[1]} ([^/\s]+)/", section, re.M)
        return found[1].upper() if found else ""
    return ""


@dataclass(frozen=True)
class Fragment:
    """A trickle ICE fragment (RFC 8840).

    :param candidates: ``candidate:`` lines without ``a=``, each with its media section's mid
    :param ufrag: of the session it belongs to; empty when it does not tell
    :param complete: no more will come
    """

    candidates: tuple[tuple[str, str], ...]
    ufrag: str
    complete: bool


def parse_fragment(text: str) -> Fragment:
    """Read an ``application/trickle-ice-sdpfrag`` body.

    :raises CallerError: it has more candidates than any peer needs
    """
    mid, ufrag, complete = "", "", False
    candidates: list[tuple[str, str]] = []
    for line in without_mdns(text).splitlines():
        name, _, value = line.strip().partition(":")
        if name == "a=mid":
            mid = value
        elif name == "a=ice-ufrag":
            ufrag = value
        elif name == "a=candidate":
            candidates.append((mid, f"candidate:{value}"))
        elif name == "a=end-of-candidates":
            complete = True
    if len(candidates) > _FRAGMENT_LIMIT:
        raise CallerError(
            f"{len(candidates)} candidates in one fragment; at most {_FRAGMENT_LIMIT} are taken"
        )
    return Fragment(tuple(candidates), ufrag, complete)


def ufrag_of(sdp: str) -> str:
    """Return the first ``ice-ufrag`` of a description; empty when it has none."""
    found = re.search(r"^a=ice-ufrag:(\S+)", sdp, re.M)
    return found[1] if found else ""


def has_candidates(sdp: str) -> bool:
    """Whether a description names an address."""
    return re.search(r"^a=candidate:", sdp, re.M) is not None
