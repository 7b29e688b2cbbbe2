"""What comes in on `ingest` and `ingest/raw/<modality>`."""

from __future__ import annotations

import base64
import json
import math

import pytest

from edge.config import PAYLOAD_BYTES
from edge.items import Offer
from edge.mqtt.messages import Parsed, UnanswerableError, parse_ingest, parse_raw

DIGEST = "0f" * 32
ONE_OF = "the message must have exactly one of data, text, path and sha256"
HEX = "sha256 must be 64 hexadecimal digits"


def ingest(**fields: object) -> Parsed[Offer]:
    return parse_ingest(json.dumps(fields).encode())


def raw(content: bytes = b"x", modality: str = "image", **user: str) -> Parsed[Offer]:
    return parse_raw(modality, content, tuple(user.items()))


def refusal(**fields: object) -> tuple[str, str]:
    with pytest.raises(UnanswerableError) as caught:
        ingest(**fields)
    return caught.value.code, caught.value.message


def raw_refusal(content: bytes = b"x", modality: str = "image", **user: str) -> tuple[str, str, str | None]:
    with pytest.raises(UnanswerableError) as caught:
        raw(content, modality, **user)
    return caught.value.code, caught.value.message, caught.value.id


def test_data_is_decoded() -> None:
    content = bytes(range(256))
    assert ingest(data=base64.b64encode(content).decode()).body == Offer(content=content)


def test_path_is_also_the_source_where_none_is_given() -> None:
    assert ingest(path="/photos/a.jpg").body == Offer(path="/photos/a.jpg", source="/photos/a.jpg")
    assert ingest(path="/photos/a.jpg", source="camera").body == Offer(path="/photos/a.jpg", source="camera")


@pytest.mark.parametrize("digits", [DIGEST, DIGEST.upper()])
def test_sha256_alone_asks_for_the_bytes(digits: str) -> None:
    assert ingest(sha256=digits).body == Offer(digest=bytes.fromhex(DIGEST))


def test_everything_that_can_be_said_of_an_item_is_read() -> None:
    parsed = ingest(v=1, id="7", modality="image", data="YQ==", ts=1_700_000_000.5, source="Zoë's camera")
    offer = Offer(content=b"a", source="Zoë's camera", taken_at=1_700_000_000.5)
    assert parsed == Parsed(offer, "7", "")


def test_fields_that_are_null_are_as_if_they_were_absent() -> None:
    assert ingest(data="YQ==", path=None, sha256=None, ts=None, source=None) == ingest(data="YQ==")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, ONE_OF),
        ({"source": "camera"}, ONE_OF),
        ({"data": "", "path": ""}, ONE_OF),
        ({"path": "/a", "sha256": DIGEST}, ONE_OF),
        ({"data": "YQ==", "path": "/a", "sha256": DIGEST}, ONE_OF),
        ({"sha256": DIGEST[1:]}, HEX),
        ({"sha256": DIGEST + "00"}, HEX),
        ({"sha256": "g" * 64}, HEX),
        ({"sha256": " " + DIGEST[1:]}, HEX),
        ({"sha256": "\uff10" * 64}, HEX),
        ({"sha256": ""}, HEX),
        ({"data": 3}, "data is 3: must be a text"),
        ({"data": "YQ==", "source": 3}, "source is 3: must be a text"),
        ({"data": "YQ==", "modality": 5}, "modality is 5: must be a text"),
        ({"data": "YQ==", "ts": "now"}, "ts is 'now': must be a number"),
        ({"data": "YQ==", "ts": True}, "ts is True: must be a number"),
    ],
)
def test_item_that_is_not_said_right_is_refused(fields: dict[str, object], message: str) -> None:
    assert refusal(**fields) == ("bad_request", message)


@pytest.mark.parametrize(
    "data",
    ["YQ", "YQ=", "YQ===", "Y Q==", "YQ==\n", "YQ==YQ==", "Y-Q_", "é", "\ud800", "=", "data:image/png;base64,YQ=="],
)
def test_data_that_is_not_base64_is_refused(data: str) -> None:
    code, message = refusal(data=data)
    assert code == "bad_request"
    assert message.startswith("data is not base64: ")


@pytest.mark.parametrize("modality", ["video", "audio", "Image", "", "x" * 10_000])
def test_modality_that_is_not_supported_is_named(modality: str) -> None:
    said = ("not_supported", f"modality {modality[:40]!r} is not supported so far, only image and text")
    assert refusal(modality=modality, data="YQ==") == said
    assert raw_refusal(modality=modality) == (*said, None)


@pytest.mark.parametrize("ts", [0, 0.5, 1_700_000_000, 253_402_300_799])
def test_time_until_the_year_9999_is_taken(ts: float) -> None:
    assert ingest(data="YQ==", ts=ts).body.taken_at == ts
    assert raw(ts=str(ts)).body.taken_at == ts


def test_time_of_the_file_counts_where_the_message_says_no_other() -> None:
    by_file = Offer(content=b"a", taken_at=2.5, taken_from="file")
    assert ingest(data="YQ==", file_ts=2.5).body == raw(b"a", file_ts="2.5").body == by_file
    said = Offer(content=b"a", taken_at=1.5)
    assert ingest(data="YQ==", file_ts=2.5, ts=1.5).body == raw(b"a", file_ts="2.5", ts="1.5").body == said
    assert ingest(data="YQ==", file_ts=2.5, ts=0).body.taken_at == 0
    message = "file_ts is -1.0: must be seconds of Unix time, 0 to 253402300799"
    assert refusal(data="YQ==", file_ts=-1) == ("bad_request", message)
    assert raw_refusal(file_ts="-1") == ("bad_request", message, None)


@pytest.mark.parametrize("ts", [-1, -0.001, 253_402_300_800, 1e18, 1e308])
def test_time_out_of_its_range_is_refused(ts: float) -> None:
    said = ("bad_request", f"ts is {float(ts)}: must be seconds of Unix time, 0 to 253402300799")
    assert refusal(data="YQ==", ts=ts) == said
    assert raw_refusal(ts=str(ts))[0] == "bad_request"


@pytest.mark.parametrize("ts", [b"1e400", b"-1e400", b"1" + b"0" * 400, b"1" * 5_000])
def test_time_too_large_for_a_number_is_refused(ts: bytes) -> None:
    with pytest.raises(UnanswerableError) as caught:
        parse_ingest(b'{"data": "YQ==", "ts": ' + ts + b"}")
    assert caught.value.code == "bad_request"
    assert raw_refusal(ts=ts.decode())[0] == "bad_request"


@pytest.mark.parametrize("ts", ["", "now", "nan", "-inf", "inf", "1,5", "0x10", "2025-01-01"])
def test_time_property_that_is_no_number_is_refused_with_the_id(ts: str) -> None:
    code, message, id_ = raw_refusal(ts=ts, id="7")
    assert (code, id_) == ("bad_request", "7")
    assert message.endswith(": must be seconds of Unix time, 0 to 253402300799")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Zoë 写 🏖.jpg", "Zoë 写 🏖.jpg"),
        ("a\x1b[2Jb\r\nc\0", "a?[2Jb??c?"),
        ("\u202egpj.exe", "?gpj.exe"),
        ("a\ud800b", "a?b"),
        ("x" * 1_500, "x" * 1_000),
        ("", ""),
    ],
)
def test_source_is_for_people_and_their_terminals(sent: str, kept: str) -> None:
    assert ingest(data="YQ==", source=sent).body.source == kept
    assert ingest(data="YQ==", source=sent).body.source.encode().decode() == kept


def test_path_that_cannot_be_printed_stays_as_it_is_and_the_source_does_not() -> None:
    offer = ingest(path="/photos/\ud800\n.jpg").body
    assert (offer.path, offer.source) == ("/photos/\ud800\n.jpg", "/photos/??.jpg")


def test_bytes_are_taken_as_they_are() -> None:
    assert raw(b"\0\xff").body == Offer(content=b"\0\xff")
    assert math.isclose(raw(ts="1.5").body.taken_at or 0, 1.5)


def test_user_properties_say_what_there_is_to_say() -> None:
    parsed = raw(b"a", id="7", ts="1.5", source="camera", v="1")
    assert parsed == Parsed(Offer(content=b"a", source="camera", taken_at=1.5), "7", "")


def test_other_user_properties_are_ignored_and_named() -> None:
    assert raw(colour="red", Id="7").warning == "ignored: Id, colour"


@pytest.mark.parametrize("version", ["2", "1.0", "", "one", "1" * 100])
def test_other_version_in_the_properties_is_refused_with_the_id(version: str) -> None:
    said = ("version", f"v is {version[:20]!r}: this daemon speaks 1", "7")
    assert raw_refusal(v=version, id="7") == said


def test_id_property_that_is_too_long_is_refused() -> None:
    assert raw_refusal(id="x" * 129) == ("bad_request", "id must be a text of at most 128 characters", None)


def test_of_a_property_that_is_given_twice_the_last_is_taken() -> None:
    assert parse_raw("image", b"x", (("id", "1"), ("id", "2"))).id == "2"


def test_no_bytes_are_no_item() -> None:
    assert raw_refusal(b"", id="7") == ("bad_request", "the payload is empty", "7")


def test_bytes_are_refused_from_one_too_many() -> None:
    content = bytes(PAYLOAD_BYTES)
    assert raw(content).body.content == content
    said = ("too_large", f"the payload has {PAYLOAD_BYTES + 1} bytes, {PAYLOAD_BYTES} at most", "7")
    assert raw_refusal(content + b"x", id="7") == said


def test_text_of_an_item_is_a_note_without_more_being_said() -> None:
    note = Offer(content="caf\u00e9".encode(), modality="text")
    assert ingest(text="caf\u00e9").body == ingest(text="caf\u00e9", modality="text").body == note
    assert raw("caf\u00e9".encode(), "text").body == note


def test_note_may_come_as_bytes_or_by_its_path() -> None:
    assert ingest(modality="text", data="YQ==").body == Offer(content=b"a", modality="text")
    assert ingest(modality="text", path="/a.md").body == Offer(path="/a.md", modality="text", source="/a.md")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "a", "data": "YQ=="}, ONE_OF),
        ({"text": "a", "modality": "image"}, "text is a note, of the modality text"),
        ({"text": "\ud800"}, "text must be Unicode text without NUL"),
        ({"text": "a\0"}, "text must be Unicode text without NUL"),
    ],
)
def test_note_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    assert refusal(**fields) == ("bad_request", message)
