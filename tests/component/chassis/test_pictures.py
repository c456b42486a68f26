"""Pictures are encoded anew in a process of its own, which hostile ones do not get out of; and what is kept of those that are attached."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import ExifTags, Image

from chassis.files import pictures, sweep
from chassis.files.kinds import Judge
from chassis.files.pictures import Picture, encoded
from chassis.files.store import ATTACHMENTS
from chassis.kernel.errors import CrmError
from chassis.storage.files import PARTS
from gateway.graph.contract import from_global, to_global
from tests.component.chassis.test_attachments import customer
from tests.support.files import PDF, Client
from tests.support.installation import Installation
from tests.support.photos import CAMERA, bomb, drawn, photo, saved, screenshot

_SMALL = (
    "mutation($input: AttachmentDownloadInput!) { attachmentDownload(input: $input) { address { path } errors { code message path } } }"
)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def made(content: bytes, form: str, **bounds: int) -> Picture:
    found = encoded(content, form, **bounds)
    assert isinstance(found, Picture), found
    return found


@pytest.mark.parametrize(
    ("content", "form"), [(photo(), "JPEG"), (screenshot(), "PNG"), (saved(drawn(90, 90), "GIF", comment=CAMERA), "GIF")]
)
def test_nothing_is_left_of_what_a_picture_told_beside_itself(content: bytes, form: str) -> None:
    assert CAMERA.encode() in content
    found = made(content + b"behind its end: " + CAMERA.encode(), form)
    for kept in (found.content, found.preview):
        assert CAMERA.encode() not in kept and not opened(kept).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    before, after = opened(content), opened(found.content)
    assert (after.format, after.size, after.mode) == (form, before.size, before.mode)
    assert after.convert("RGB").getpixel((40, 9)) == before.convert("RGB").getpixel((40, 9))  # JPEG too: by the same tables


def test_which_side_is_up_stays() -> None:
    found = made(photo(800, 600, turned=6), "JPEG")
    assert dict(opened(found.content).getexif()) == {ExifTags.Base.Orientation: 6}
    small = opened(found.preview)
    assert small.size == (360, 480) and opened(made(photo(60, 40, turned=1), "JPEG").preview).size == (60, 40)
    red, green, _ = small.convert("RGB").getpixel((350, 100))  # type: ignore[misc]
    assert red > green  # what was above is on the right


def test_pictures_that_move_go_on_moving() -> None:
    frames = [drawn(64, 48, shade) for shade in (0, 90, 180)]
    for form in ("GIF", "WEBP", "PNG"):
        content = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=[100, 200, 300])
        found = opened(made(content, form).content)
        assert getattr(found, "n_frames", 1) == 3, form
        assert getattr(opened(made(content, form).preview), "n_frames", 1) == 1
        assert encoded(content, form, pixels=2 * 64 * 48) == "large"


@pytest.mark.parametrize(
    ("content", "form", "why"),
    [
        (bomb(), "PNG", "large"), (bomb(5000, 4900), "PNG", "broken"), (photo()[:900], "JPEG", "broken"), (b"GIF89a" + bytes(50), "GIF", "broken"),
        (screenshot(), "JPEG", "broken"), (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(50), "WEBP", "broken"), (b"", "PNG", "broken"),
    ],
)  # fmt: skip
def test_what_is_no_picture_or_swells_is_told_apart(content: bytes, form: str, why: str) -> None:
    assert encoded(content, form) == why


def test_the_process_has_so_much_memory_and_time() -> None:
    large = saved(drawn(5000, 4900), "PNG")
    assert encoded(large, "PNG", megabytes=120) == "large"
    assert encoded(large, "PNG", seconds=0) == "large"


def test_a_jpeg_of_many_pixels_is_kept_smaller() -> None:
    found = made(saved(drawn(4000, 3000), "JPEG"), "JPEG", pixels=3_000_001)
    assert opened(found.content).size == (2000, 1500)
    assert encoded(saved(drawn(4000, 3000), "JPEG"), "JPEG", pixels=100_000) == "large"


# ---- attached


async def _download(client: Client, attachment: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await client.crm.data(_SMALL, client.role, input={"attachmentId": attachment, **more}))["attachmentDownload"]
    return found


async def test_a_photo_that_is_attached_tells_no_place_and_has_a_preview(crm: Installation) -> None:
    client, about = Client(crm), await customer(crm)
    record, content = to_global("Customer", about), photo()
    made = await client.attached(record, "现场.jpg", content)
    whole = await crm.http.get(await client.address(made["id"]))
    assert len(whole.content) == made["size"] and CAMERA.encode() not in whole.content and opened(whole.content).size == (800, 600)
    small = await crm.http.get((await _download(client, made["id"], preview=True))["address"]["path"])
    assert (small.headers["content-type"], max(opened(small.content).size)) == ("image/webp", 480)
    assert small.headers["content-disposition"].endswith(".webp")
    shown = (await crm.data("query($id: ID!) { attachment(id: $id) { previewSize size received } }", id=made["id"]))["attachment"]
    assert shown == {"previewSize": len(small.content), "size": made["size"], "received": made["size"]}
    assert (await client.attach(record, "again.jpg", content))["errors"][0]["code"] == "ALREADY_ATTACHED"  # known by what was sent
    stored = [row async for row in crm.suite["customer"].database[PARTS].find({"_id": {"$regex": f"^{from_global(made['id'])[1]}"}})]
    assert len(stored) == 2 and all(small.content[12:40] not in row["data"] and whole.content[12:40] not in row["data"] for row in stored)


async def test_a_photo_of_several_parts_leaves_none_of_them_behind(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    content = photo() + bytes(3 * 1024 * 1024)
    made = await client.attached(record, "a.jpg", content)
    database = crm.suite["customer"].database
    identity = from_global(made["id"])[1]
    assert await database[PARTS].count_documents({"_id": {"$regex": f"^{identity}"}}) == 2
    (row,) = await database["outbox"].find({"headers.ce-subject": identity}).to_list()
    assert row["headers"]["ce-type"].endswith("AttachmentAdded")


async def test_a_preview_has_the_rights_of_its_file(crm: Installation) -> None:
    client, about = Client(crm), await customer(crm, owner_id=crm.people["SALES_REP"])
    made = await client.attached(to_global("Customer", about), "a.png", screenshot())
    path = (await _download(Client(crm, "SALES_REP"), made["id"], preview=True))["address"]["path"]
    assert (await crm.http.get(path, headers=crm.bearer("COORDINATOR"))).status_code == 403
    assert (await crm.http.get(path)).status_code == 200
    plain = path.rpartition("/")[2].split(".")
    plain[2] = plain[2].removesuffix("s")  # the address of a preview is none of the file
    assert (await crm.http.get(f"/files/{'.'.join(plain)}")).status_code == 403
    await crm.ask("AssignCustomer", role="COORDINATOR", customer_id=about, owner_id=crm.people["COORDINATOR"])

    async def gone() -> bool:
        return (await crm.http.get(path)).status_code == 404

    await crm.until(gone)
    pdf = await client.attached(to_global("Customer", about), "a.pdf", PDF)
    (error,) = (await _download(client, pdf["id"], preview=True))["errors"]
    assert error["path"] == ["input", "preview"] and "no preview" in error["message"]


async def test_an_erased_customers_previews_go_with_the_files(crm: Installation) -> None:
    client, about = Client(crm), await customer(crm)
    made = await client.attached(to_global("Customer", about), "a.jpg", photo(shade=7))
    path = (await _download(client, made["id"], preview=True))["address"]["path"]
    disclosed = "query($id: ID!) { customerDisclosure(customerId: $id) { place records { values { field value } } } }"
    places = (await crm.data(disclosed, id=to_global("Customer", about)))["customerDisclosure"]
    assert "preview" in json.dumps([one for one in places if one["place"] == "attachments"])
    await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=about, reason="本人要求删除")
    await crm.settled()
    assert (await crm.http.get(path)).status_code in (404, 410)
    department = crm.suite["customer"]
    worker = sweep.FileSweep(department.own_call)
    while await worker.turn():
        continue
    assert await department.database[PARTS].count_documents({"_id": {"$regex": f"^{from_global(made['id'])[1]}"}}) == 0
    assert await department.database[ATTACHMENTS].count_documents({"_id": from_global(made["id"])[1]}) == 1


async def test_pictures_that_cannot_be_kept_are_refused_in_both_languages(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    for name, content, word in [
        ("a.png", bomb(), "像素"),
        ("a.jpg", photo()[:900], "打开"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(50), "拍摄地点"),
    ]:
        key = (await client.begin(record, name, content))["attachment"]["id"]
        await client.send(key, content)
        assert (await client.complete(key))["errors"][0]["code"] == "FILE_TYPE_REFUSED"
        query = "mutation($i: AttachmentCompleteInput!) { attachmentComplete(input: $i) { errors { message } } }"
        answer = await crm.http.post(
            "/graphql", json={"query": query, "variables": {"i": {"attachmentId": key}}}, headers={**crm.bearer("COORDINATOR"), "Accept-Language": "zh-CN"}
        )  # fmt: skip
        assert word in answer.json()["data"]["attachmentComplete"]["errors"][0]["message"], answer.text
    with pytest.raises(CrmError) as refusal:
        pictures.must_fit("a.png", pictures.MOST_PICTURE + 1)
    assert refusal.value.code == "FILE_TOO_LARGE"
    judge = Judge()
    judge.feed(photo())
    assert judge.verdict("a.jpg") in pictures.FORMATS
