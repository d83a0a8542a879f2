"""What is changed in session descriptions on their way."""

from __future__ import annotations

import pytest

from ai_runner_base.errors import CallerError
from ai_runner_base.webrtc._sdp import (
    as_baseline,
    has_candidates,
    has_sound,
    parse_fragment,
    ufrag_of,
    video_codec,
    with_profiles,
    with_start_bitrate,
    without_mdns,
    without_remb,
)

pytestmark = pytest.mark.unit

HOST = "a=candidate:1 1 udp 2122260223 192.0.2.2 50000 typ host\r\n"
MDNS = "a=candidate:2 1 udp 2122260223 5b3f9e1c-0000-4000-8000-1234567890ab.local 50001 typ host\r\n"


def _h264(*profiles: str) -> str:
    return "".join(
        f"a=rtpmap:{number} H264/90000\r\na=fmtp:{number} packetization-mode=1;profile-level-id={profile}\r\n"
        for number, profile in enumerate(profiles, 96)
    )


def test_names_in_local_are_left_out_and_addresses_stay() -> None:
    assert without_mdns(f"v=0\r\n{MDNS}{HOST}a=mid:0\r\n") == f"v=0\r\n{HOST}a=mid:0\r\n"
    assert without_mdns(f"{HOST}a=end-of-candidates\r\n") == f"{HOST}a=end-of-candidates\r\n"
    assert without_mdns(f"{MDNS}a=end-of-candidates\r\na=mid:0\r\n") == "a=mid:0\r\n"
    assert not has_candidates(without_mdns(MDNS))
    assert has_candidates(HOST)


def test_nothing_is_left_for_the_librarys_bandwidth_estimate() -> None:
    kept = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtcp-fb:96 nack pli\r\n"
    ext = "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
    assert without_remb(f"{ext}{kept}a=rtcp-fb:96 goog-remb\r\n") == kept


def test_another_profile_is_called_baseline_and_named_again_in_the_answer() -> None:
    offer, profiles = as_baseline(_h264("640c1f", "4d001f"))
    assert offer == _h264("42e01f", "42e01f")
    assert with_profiles(offer, profiles) == _h264("640c1f", "4d001f")


@pytest.mark.parametrize("profiles", [("42e01f",), ("640c1f", "42001f"), ("42C01E", "4d001f")])
def test_an_offer_with_baseline_is_left_as_it_is(profiles: tuple[str, ...]) -> None:
    assert as_baseline(_h264(*profiles)) == (_h264(*profiles), {})


def test_the_start_bitrate_stands_at_each_video_codec_and_at_no_other() -> None:
    answer = "a=rtpmap:111 opus/48000/2\r\n" + _h264("42e01f") + "a=rtpmap:97 VP8/90000\r\na=mid:0\r\n"
    expected = (
        "a=rtpmap:111 opus/48000/2\r\na=rtpmap:96 H264/90000\r\n"
        "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate=2500\r\n"
        "a=rtpmap:97 VP8/90000\r\na=fmtp:97 x-google-start-bitrate=2500\r\na=mid:0\r\n"
    )
    assert with_start_bitrate(answer, 2_500_000) == expected


def test_the_codec_of_a_section_is_the_first_that_it_names() -> None:
    maps = "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\n"
    sound = "m=audio 9 X 111\r\na=mid:2\r\na=rtpmap:111 opus/48000/2\r\n"
    first = f"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:0\r\n{maps}"
    second = f"m=video 9 UDP/TLS/RTP/SAVPF 97 96\r\na=mid:1\r\n{maps}"
    answer = f"v=0\r\n{sound}{first}{second}"
    assert [video_codec(answer, mid) for mid in ("0", "1", "2", "3")] == ["VP8", "H264", "", ""]
    assert (has_sound(answer), has_sound(first)) == (True, False)


def test_a_fragment_gives_its_candidates_with_their_section() -> None:
    head = "a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n"
    text = f"{head}{HOST}a=end-of-candidates\r\n"
    found = parse_fragment(text)
    assert found.candidates == (("1", "candidate:1 1 udp 2122260223 192.0.2.2 50000 typ host"),)
    assert (found.ufrag, found.complete) == ("abcd", True)
    assert ufrag_of(text) == "abcd"
    assert not parse_fragment(f"{MDNS}{text}").complete
    assert parse_fragment("").candidates == ()


def test_a_fragment_with_a_flood_of_candidates_is_refused() -> None:
    with pytest.raises(CallerError, match="65 candidates"):
        parse_fragment(HOST * 65)
