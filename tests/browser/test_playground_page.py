"""The playground in a real browser: pictures, parameters, pipelines, and what goes wrong while one watches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests._support.browser import FAKE_CAMERA, Page
from tests._support.browser_playground import LIVE, difference, playground

from ai_runner_base.media import write_clip

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

JPEG_ERROR = 14.0
"""Two lossy codings with halved colours, in levels of 256; a picture that is not inverted differs by far more."""


async def _choose(page: Page, name: str, value: str) -> None:
    await page.evaluate(f"document.querySelector('input[name={name}][value={value}]').click()")


async def _slide(page: Page, name: str, value: float) -> None:
    await page.evaluate(
        f"""(() => {{
          const slider = document.querySelector('[data-name={name}] input[type=range]');
          slider.value = {value};
          slider.dispatchEvent(new Event('input', {{bubbles: true}}));
        }})()"""
    )


def _assert_clean(page: Page, url: str) -> None:
    assert page.complaints == []
    assert page.foreign_requests(url) == []
    assert len(page.requests) > 10, "requests were not recorded"


async def test_first_start_without_a_camera_shows_the_clip_transformed(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        found = await difference(page, "inverted", JPEG_ERROR)
        assert found["same"] > 40
        assert found["spread"] > 20, "the clip is one flat colour"
        first = await page.evaluate("document.querySelector('canvas.before').toDataURL()")
        await page.wait_for(f"document.querySelector('canvas.before').toDataURL() !== {first!r}")
        (stream,) = await at.streams()
        assert (stream["model_id"], stream["source"]["kind"]) == ("invert", "browser")
        _assert_clean(page, at.server.url)


async def test_camera_comes_back_through_the_pipeline(tmp_path: Path) -> None:
    async with playground(tmp_path, flags=FAKE_CAMERA) as at:
        page = await at.open()
        await _choose(page, "source", "camera")
        await page.wait_for("playground.source.kind === 'camera'")
        await difference(page, "inverted", JPEG_ERROR)
        assert await page.evaluate("document.querySelector('#mirror').ariaPressed") == "true"
        await _choose(page, "source", "clip")
        await page.wait_for("playground.source.kind === 'clip'")
        _assert_clean(page, at.server.url)


async def test_screen_comes_back_through_the_pipeline(tmp_path: Path) -> None:
    async with playground(tmp_path, flags=FAKE_CAMERA) as at:
        page = await at.open()
        await _choose(page, "source", "screen")
        await page.wait_for("playground.source.kind === 'screen'")
        await difference(page, "inverted", JPEG_ERROR)
        await page.evaluate(
            "playground.source.video.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))"
        )
        await page.wait_for("playground.source.kind === 'clip'")


async def test_chosen_file_comes_back_through_the_pipeline(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        file = tmp_path / "moving picture.mp4"
        await asyncio.to_thread(write_clip, file, 2.0)
        root = await page.call("DOM.getDocument")
        found = await page.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file")
        await page.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(file)])
        await page.wait_for("playground.source.label === 'moving picture.mp4'")
        await difference(page, "inverted", JPEG_ERROR)
        await page.wait_for("playground.source.video.currentTime > 0.5")
        _assert_clean(page, at.server.url)


async def test_missing_camera_is_explained_and_the_picture_goes_on(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        await _choose(page, "source", "camera")
        await page.wait_for("document.querySelector('#toast').textContent.includes('picture stays')")
        assert await page.evaluate("document.querySelector('input[name=source]:checked').value") == "clip"
        await difference(page, "inverted", JPEG_ERROR)


async def test_slider_changes_the_picture_and_says_from_when(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        await difference(page, "inverted", JPEG_ERROR)
        await _slide(page, "strength", 0)
        await page.wait_for(
            "/In effect after \\d+ ms, from frame/.test(document.querySelector('#effect').textContent)"
        )
        await difference(page, "same", JPEG_ERROR)
        await page.wait_for("location.hash === '#pipeline=invert&strength=0'")
        await page.evaluate("document.querySelector('#reset').click()")
        await difference(page, "inverted", JPEG_ERROR)
        _assert_clean(page, at.server.url)


async def test_every_kind_of_parameter_has_a_control_with_a_name(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        kinds = await page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('.field')].map((f) => [f.dataset.name, f.classList[1]]))"
        )
        assert kinds == {
            "strength": "range",
            "mode": "choice",
            "red_floor": "range",
            "enabled": "switch",
            "tint": "color",
            "prompt": "longtext",
            "weights": "json",
            "width": "number",
            "height": "number",
            "show_reloading_frame": "switch",
        }
        hidden = "document.querySelector('[data-name=red_floor]').closest('.group').hidden"
        assert await page.evaluate(hidden) is True
        await page.evaluate("document.querySelector('[data-name=mode] input[value=red]').click()")
        assert await page.evaluate(hidden) is False
        nameless = await page.evaluate(
            """[...document.querySelectorAll('button, input, select, textarea, [role=slider]')]
              .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length || node.hidden))
              .map((node) => node.outerHTML)"""
        )
        assert nameless == []


async def test_refused_value_is_told_at_its_field_and_the_picture_goes_on(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        await page.evaluate("playground.form.setValues({tint: 'mauve'})")
        await page.wait_for(
            "document.querySelector('[data-name=tint] .error').textContent.includes('pattern')"
        )
        await page.wait_for(LIVE)
        await difference(page, "inverted", JPEG_ERROR)


async def test_shared_address_opens_the_same_look(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open("/#pipeline=invert&strength=0")
        await difference(page, "same", JPEG_ERROR)
        assert await page.evaluate("playground.form.values.strength") == 0
        other = await at.open("/#pipeline=swap&no_such_parameter=1")
        assert await other.evaluate(
            "document.querySelector('#toast').textContent.includes('no_such_parameter')"
        )
        await difference(other, "swapped", JPEG_ERROR)


async def test_switching_the_pipeline_keeps_the_picture_running(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        await page.evaluate(
            """(() => {
              window.gaps = [performance.now()];
              const drawn = playground.view.onDrawn;
              playground.view.onDrawn = (picture) => (window.gaps.push(performance.now()), drawn(picture));
              document.querySelector('#pipeline').click();
            })()"""
        )
        await page.wait_for("document.querySelectorAll('.menu-option').length === 2")
        await page.evaluate("document.querySelectorAll('.menu-option')[1].click()")
        await page.wait_for("playground.lane?.pipeline === 'swap'")
        await difference(page, "swapped", JPEG_ERROR)
        gap_ms = await page.evaluate("Math.max(...gaps.slice(1).map((t, i) => t - gaps[i]))")
        assert gap_ms < 1500, "the picture stood still while the pipeline changed"
        assert [stream["model_id"] for stream in await at.streams()] == ["swap"]
        _assert_clean(page, at.server.url)


async def test_another_size_starts_anew_on_the_only_worker(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        await page.evaluate("playground.form.setValues({width: 640, height: 360})")
        await page.wait_for("document.querySelector('canvas.after').width === 640", 20)
        assert await page.evaluate("document.querySelector('canvas.after').height") == 360
        await difference(page, "inverted", JPEG_ERROR)


async def test_killed_worker_recovers_while_one_watches(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open("/#pipeline=invert&strength=0")
        workers = at.workers()
        assert len(workers) == 2
        for worker in workers:
            worker.kill()
        await page.wait_for("document.querySelector('[data-figure=restarts]').textContent === '1'")
        await page.wait_for(f"{LIVE} && performance.now() - 1000 < playground.lane.lastResultMs", 20)
        await difference(page, "same", JPEG_ERROR)
        await page.evaluate("document.querySelector('#log').click()")
        await page.wait_for(
            "document.querySelector('#log-dialog pre').textContent.includes('killed (SIGKILL)')"
        )
        await page.wait_for(
            "document.querySelector('#log-dialog pre').textContent.includes('inverting with strength')"
        )
        _assert_clean(page, at.server.url)


@pytest.mark.parametrize("how", ["closed", "killed"])
async def test_gone_page_frees_its_worker(tmp_path: Path, how: str) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        if how == "closed":
            await page.close()
        else:
            at.browser.kill()
        took_s = await at.seconds_until_free(5)
        print(f"worker free {took_s:.2f} s after the page was {how}")


async def test_full_runner_is_explained_and_waited_for(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        first = await at.open("/#pipeline=swap")
        second = await at.browser.open(at.server.url + "/#pipeline=swap")
        await second.wait_for(
            "document.querySelector('#veil .words').textContent.includes('Waiting for a free one')"
        )
        await first.close()
        await second.wait_for(LIVE, 20)
        await difference(second, "swapped", JPEG_ERROR)


async def test_token_is_asked_for_and_never_in_an_address(tmp_path: Path) -> None:
    async with playground(tmp_path, "--auth-token", "open sesame") as at:
        page = await at.browser.open(at.server.url)
        await page.wait_for("document.querySelector('#veil').dataset.action === 'token'")
        await page.evaluate(
            """document.querySelector('#token-text').value = 'open sesame';
            document.querySelector('#token button').click()"""
        )
        await page.wait_for(LIVE)
        assert not [url for url in page.requests if "sesame" in url]
        assert not [line for line in at.server.lines if "sesame" in line]


async def test_runner_that_comes_back_is_found_again(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        (stream,) = await at.streams()
        await at.server.call(at.http, "DELETE", f"/streams/{stream['id']}")
        await page.wait_for("document.querySelector('#veil').dataset.action === 'again'")
        assert "stopped by request" in await page.evaluate(
            "document.querySelector('#veil .words').textContent"
        )
        await page.evaluate("document.querySelector('#again').click()")
        await page.wait_for(LIVE)
        await asyncio.sleep(0)


async def test_picture_can_be_saved_and_recorded(tmp_path: Path) -> None:
    async with playground(tmp_path) as at:
        page = await at.open()
        saved = tmp_path / "saved"
        await at.browser.call(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)}
        )
        await page.press("s")
        await page.press("r")
        await page.wait_for("document.querySelector('#record').ariaPressed === 'true'")
        await asyncio.sleep(1.5)
        await page.press("r")
        async with asyncio.timeout(10):
            while sorted(path.suffix for path in saved.glob("*")) != [".png", ".webm"]:
                await asyncio.sleep(0.1)
        assert all(path.stat().st_size > 2000 for path in saved.iterdir())
