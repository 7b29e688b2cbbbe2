"""`reminisce ask`: answers with their figures, as text and as JSON, or one line that says why there are none."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from pathlib import Path

import pytest
from PIL import Image

from brokers import Mosquitto
from commands import Finished, finish, run, start, write_config
from daemons import Daemon, reach
from edge.adding import shrink, smaller
from edge.cli.ask import _text
from edge.cli.sheet import write_html
from edge.mqtt import Reply, Result
from onlooker import Onlooker

PROTOCOL = (Path(__file__).parents[2] / "edge" / "mqtt" / "PROTOCOL.md").read_text(encoding="utf-8")
SPENT = re.compile(r"^\d+ ms, 12 searched, 12 refined$")


def ask(device: Daemon, *arguments: str) -> Finished:
    return run("ask", "--config", device.config_file, *arguments)


def test_answers_are_ranked_by_relevance_with_source_score_and_day(device: Daemon, held: list[Path]) -> None:
    done = ask(device, "an animal")
    assert (done.code, done.err) == (0, "")
    *lines, spent = done.out.splitlines()
    assert SPENT.match(spent)
    hits = [
        re.fullmatch(r"(\d)\. (\S+)  relevance +(\d+\.\d) %, score -?\d\.\d\d, \d{4}-\d\d-\d\d", line) for line in lines
    ]
    found = [hit.groups() for hit in hits if hit]
    assert [rank for rank, _, _ in found] == ["1", "2", "3", "4", "5"]
    assert {name for _, name, _ in found} <= {str(path) for path in held}
    likely = [float(percent) for _, _, percent in found]
    assert likely == sorted(likely, reverse=True)


def test_json_is_the_reply_of_the_protocol(device: Daemon) -> None:
    done = ask(device, "--json", "an animal")
    assert (done.code, done.err) == (0, "")
    (reply,) = done.objects
    table = PROTOCOL.partition("## Reply\n")[2].partition("## Explain")[0]
    seldom = {"warning", "error", "sequence", "earlier_ms", "left_out"}
    always = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) - seldom
    documented = set(re.findall(r"`(\w+)`", table))
    of_a_result = set(re.findall(r"`(\w+)`", next(line for line in table.splitlines() if "`results`" in line)))
    assert always <= reply.keys() <= documented | {"v", "id", "final"}
    of_few = {"results", "content", "text", "explain", "meta", "similar", "similar_items"}
    assert all(result.keys() == of_a_result - of_few for result in reply["results"])


def test_stream_gives_better_answers_and_the_one_without_it_last(daemon: Daemon, pictures: list[Path]) -> None:
    done = run("add", "--config", daemon.config_file, *pictures[:24])
    assert done.code == 0
    streamed = ask(daemon, "--stream", "--json", "an animal").objects
    assert [one["sequence"] for one in streamed] == list(range(len(streamed)))
    assert [one["final"] for one in streamed] == [False] * (len(streamed) - 1) + [True]
    # Who left at the last exit is known there from the start.
    assert streamed[0]["refined"] < streamed[-1]["refined"] == 24
    (whole,) = ask(daemon, "--json", "an animal").objects
    assert [one["item"] for one in streamed[-1]["results"]] == [one["item"] for one in whole["results"]]
    *earlier, last = ask(daemon, "--stream", "another animal").out.split(" so far\n\n")
    assert last.endswith(" ms, 24 searched, 24 refined\n")
    assert all(len(one.splitlines()) == 6 for one in earlier)


def test_copy_of_a_picture_is_counted_beside_it_and_all_shows_both(
    daemon: Daemon, pictures: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "saved-again.jpg"
    with Image.open(pictures[0]) as picture:
        picture.convert("RGB").save(copy, "JPEG", quality=90)
    assert run("add", "--config", daemon.config_file, *pictures[:6], copy).code == 0
    both = {str(pictures[0]), str(copy)}
    *lines, _ = ask(daemon, "an animal").out.splitlines()
    assert len(lines) == 5
    (alike,) = [line for line in lines if line.endswith(", and 1 like it")] or [""]
    assert alike.split()[1] in both
    shown = ask(daemon, "--limit", "7", "--all", "an animal").out
    assert " like it" not in shown
    assert all(name in shown for name in both)
    sheet = tmp_path / "sheet.html"
    ask(daemon, "--limit", "6", "--html", str(sheet), "an animal")
    assert sheet.read_text(encoding="utf-8").count(", and 1 like it") == 1


def test_limit_says_how_many(device: Daemon) -> None:
    assert len(ask(device, "--limit", "3", "an animal").out.splitlines()) == 4
    assert len(ask(device, "--limit", "1000", "an animal").out.splitlines()) == 13


def test_second_page_goes_on_where_the_first_ended_and_its_ranks_too(device: Daemon) -> None:
    whole, second = ask(device, "--limit", "12", "an animal"), ask(device, "--limit", "5", "--offset", "5", "an animal")
    assert second.out.splitlines()[:-1] == whole.out.splitlines()[5:10]
    assert second.out.startswith("6. ")


def test_source_narrows_the_search(device: Daemon, held: list[Path]) -> None:
    reply = json.loads(ask(device, "--json", "--source", str(held[0]), "an animal").out)
    assert [result["source"] for result in reply["results"]] == [str(held[0])]
    assert (reply["searched"], reply["refined"]) == (1, 1)


@pytest.mark.parametrize(
    "narrowing", [["--until", "2001-01-01"], ["--source", "nowhere/*"], ["--min-relevance", "1"], ["--offset", "12"]]
)
def test_nothing_found_is_an_answer(narrowing: list[str], device: Daemon) -> None:
    done = ask(device, *narrowing, "an animal")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "nothing found"


def test_time_that_cannot_be_read_is_refused_with_what_can(device: Daemon) -> None:
    done = ask(device, "--since", "yesterday", "an animal")
    assert (done.code, done.out) == (2, "")
    assert "--since: is 'yesterday': must be seconds of Unix time, a day like 2026-07-01" in done.err


def test_sort_by_time_gives_the_same_answers_newest_first(device: Daemon) -> None:
    by_relevance = json.loads(ask(device, "--json", "an animal").out)["results"]
    by_time = json.loads(ask(device, "--json", "--sort", "time", "an animal").out)["results"]
    assert {result["item"] for result in by_time} == {result["item"] for result in by_relevance}
    times = [result["ts"] for result in by_time]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("question", [b"caf\xe9 \xff", "café 狗 🐕".encode(), b'%s {0} \\ <b>"', b"two\nlines", b"- x"])
def test_whatever_is_asked_is_answered(question: bytes, device: Daemon) -> None:
    done = ask(device, "--", os.fsdecode(question))
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 6


def test_words_without_quotes_are_one_question(device: Daemon) -> None:
    apart, quoted = (
        json.loads(ask(device, "--json", *words).out) for words in (["mountain", "lake"], ["mountain lake"])
    )
    assert apart["results"] == quoted["results"]


def test_question_that_the_daemon_refuses_is_a_failure_with_its_words(device: Daemon) -> None:
    done = ask(device, "x" * 10_001)
    assert (done.code, done.out) == (1, "")
    assert done.err == "reminisce: text has 10001 characters: must be 1 to 10000, not all blank (bad_request)\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "argument TEXT: is empty: say what to look for"),
        ([" \n"], "argument TEXT: is empty: say what to look for"),
        (["--limit", "0", "x"], "argument --limit: '0': must be 1 to 1000"),
        (["--offset", "10001", "x"], "argument --offset: '10001': must be 0 to 10000"),
        (["--min-relevance", "nan", "x"], "argument --min-relevance: 'nan': must be 0 to 1"),
        (["--limit", "1001", "x"], "argument --limit: '1001': must be 1 to 1000"),
        (["--limit", "two", "x"], "argument --limit: 'two': must be 1 to 1000"),
        (["--sort", "size", "x"], "argument --sort: invalid choice: 'size'"),
        ([], "ask: what? Say what to look for, or name an example with --like"),
        (["--like", "nowhere.jpg"], "'nowhere.jpg' is no item and no file (No such file or directory)"),
    ],
)
def test_command_line_that_makes_no_sense_is_refused_without_asking_anybody(arguments: list[str], said: str) -> None:
    done = run("ask", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_file_that_is_remembered_finds_what_looks_like_it_but_not_itself(device: Daemon, held: list[Path]) -> None:
    done = ask(device, "--like", str(held[0]), "--limit", "12")
    assert (done.code, done.err) == (0, "")
    *lines, spent = done.out.splitlines()
    assert spent.endswith(" ms, 12 searched, 11 refined")
    assert {line.split()[1] for line in lines} == {str(path) for path in held[1:]}
    assert "relevance" not in done.out
    by_id = ask(device, "--like", hashlib.sha256(held[0].read_bytes()).hexdigest().upper(), "--limit", "12")
    assert by_id.out.splitlines()[:-1] == lines


def test_large_file_that_is_not_remembered_is_sent_smaller(device: Daemon, held: list[Path], tmp_path: Path) -> None:
    with Image.open(held[0]) as picture:
        picture.resize((2400, 1800)).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 1_000_000
    first, *_ = ask(device, "--like", str(tmp_path / "large.png"), "--limit", "12").out.splitlines()
    assert str(held[0]) in first
    with_words = ask(device, "--like", str(tmp_path / "large.png"), "an animal", "x" * 9_000)
    assert (with_words.code, with_words.err) == (0, "")


def test_id_that_is_not_remembered_is_a_failure_with_what_to_do(device: Daemon) -> None:
    done = ask(device, "--like", "ab" * 32)
    assert (done.code, done.out) == (1, "")
    assert "nothing with this id is remembered: send the picture as `image` (not_found)" in done.err


def test_example_that_is_no_picture_is_a_failure(device: Daemon, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    done = ask(device, "--like", str(tmp_path / "text.jpg"))
    assert (done.code, done.out) == (1, "")
    assert "the example is not a picture of a known kind" in done.err


def test_least_relevance_beside_an_example_is_refused_with_the_reason(device: Daemon, held: list[Path]) -> None:
    done = ask(device, "--like", str(held[0]), "--min-relevance", "0.5")
    assert (done.code, done.out) == (1, "")
    assert "min_relevance is for text alone" in done.err


def test_contact_sheet_shows_the_answers_in_one_file(device: Daemon, held: list[Path], tmp_path: Path) -> None:
    sheet = tmp_path / "answers.html"
    done = ask(device, "--html", str(sheet), "--limit", "3", "an animal & <b>more</b>")
    assert (done.code, done.err) == (0, "")
    page = sheet.read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg;base64,') == 3
    assert "<h2>an animal &amp; &lt;b&gt;more&lt;/b&gt; <small>" in page
    assert {path.name for path in held if path.name in page} == {
        Path(line.split()[1]).name for line in done.out.splitlines()[:-1]
    }
    ask(device, "--html", str(sheet), "--like", str(held[0]))
    assert f"<h2>like {held[0]} <small>" in sheet.read_text(encoding="utf-8")


def test_contact_sheet_that_cannot_be_written_is_a_failure_after_the_answer(device: Daemon, tmp_path: Path) -> None:
    done = ask(device, "--html", str(tmp_path / "nowhere" / "a.html"), "an animal")
    assert (done.code, len(done.out.splitlines())) == (1, 6)
    said = f"{tmp_path}/nowhere/a.html cannot be written (No such file or directory)"
    assert done.err == f"reminisce: {said}: name another with --html\n"


@pytest.mark.parametrize("source", ["", "pipe", "x" * 5_000, "text", "gone.jpg", '"><script>alert(1)</script>'])
def test_source_that_cannot_be_shown_leaves_its_place_empty(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("text").write_text("no picture")
    hit = Result(item="ab" * 32, score=0.5, exit_depth=3, ts=1.0, source=source, modality="image")
    reply = Reply(results=(hit,), searched=1, refined=1, cut=False, took_ms=1, query_ms=1, filter_ms=0, correct_ms=0)
    write_html(Path("a.html"), "anything", reply)
    page = Path("a.html").read_text(encoding="utf-8")
    assert '<img src="" alt="' in page
    assert "<script" not in page


def test_file_that_only_has_the_name_of_an_answer_is_not_shown_for_it(pictures: list[Path], tmp_path: Path) -> None:
    item, page = hashlib.sha256(pictures[0].read_bytes()).hexdigest(), tmp_path / "a.html"
    shown = []
    for file in pictures[:2]:
        hit = Result(item=item, score=0.5, exit_depth=3, ts=1.0, source=str(file), modality="image")
        reply = Reply(
            results=(hit,), searched=1, refined=1, cut=False, took_ms=1, query_ms=1, filter_ms=0, correct_ms=0
        )
        write_html(page, "anything", reply)
        shown.append('src="data:image/jpeg;base64,' in page.read_text(encoding="utf-8"))
    assert shown == [True, False]


def test_file_that_was_made_smaller_on_its_way_is_shown(pictures: list[Path], tmp_path: Path) -> None:
    *_, smallest = smaller(pictures[0].read_bytes())
    item = hashlib.sha256(shrink(pictures[0].read_bytes(), len(smallest))).hexdigest()
    hit = Result(item=item, score=0.5, exit_depth=3, ts=1.0, source=str(pictures[0]), modality="image")
    reply = Reply(results=(hit,), searched=1, refined=1, cut=False, took_ms=1, query_ms=1, filter_ms=0, correct_ms=0)
    write_html(tmp_path / "a.html", "anything", reply)
    assert 'src="data:image/jpeg;base64,' in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_note_shows_its_first_line_in_print_and_on_the_sheet(device: Daemon, tmp_path: Path) -> None:
    note = tmp_path / "parking.txt"
    note.write_text("The car is on level <3>.\nBehind the lift.", encoding="utf-8")
    assert run("add", "--config", device.config_file, note).out == "1 accepted\n"
    done = ask(device, "--modality", "text", "--html", str(tmp_path / "a.html"), "where is the car?")
    first, line, spent = done.out.splitlines()
    assert first.startswith(f"1. {note}  relevance ")
    assert (line, spent.endswith(", 1 searched, 1 refined")) == ("   The car is on level <3>.", True)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<blockquote>The car is on level &lt;3&gt;.</blockquote>" in page
    assert run("forget", "--config", device.config_file, note).code == 0


def test_empty_memory_says_so(daemon: Daemon) -> None:
    done = ask(daemon, "an animal")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"nothing is remembered so far\n\d+ ms, 0 searched, 0 refined\n", done.out)


def test_device_that_does_not_answer_can_be_left_with_ctrl_c(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = write_config(tmp_path, reach(mosquitto))
    with Onlooker(mosquitto.port) as silent:
        silent.say("reminisce/dev1/status", b"online", is_retained=True)
        asking = start("ask", "--config", file, "an animal")
        silent.wait_on("reminisce/dev1/query")
        asking.send_signal(signal.SIGINT)
        done = finish(asking)
    assert (done.code, done.out, done.err) == (130, "", "\nreminisce: interrupted; no answer\n")


def test_device_that_goes_offline_meanwhile_is_told_at_once(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = write_config(tmp_path, reach(mosquitto))
    with Onlooker(mosquitto.port) as going:
        going.say("reminisce/dev1/status", b"online", is_retained=True)
        asking = start("ask", "--config", file, "an animal")
        going.wait_on("reminisce/dev1/query")
        going.say("reminisce/dev1/status", b"offline", is_retained=True)
        done = finish(asking)
    assert done.code == 1
    assert done.err.startswith("reminisce: the device 'dev1' is offline: is `reminisce run` up, ")


def test_answer_of_another_version_is_an_error_and_no_traceback(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = write_config(tmp_path, reach(mosquitto))
    with Onlooker(mosquitto.port) as other:
        other.say("reminisce/dev1/status", b"online", is_retained=True)
        asking = start("ask", "--config", file, "an animal")
        question = other.wait_on("reminisce/dev1/query")[0].fields
        other.say(question["reply_to"], json.dumps({"v": 9, "id": question["id"], "final": True, "hits": []}).encode())
        done = finish(asking)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("reminisce: the reply cannot be read (")
    assert done.err.endswith("): is the daemon of another version?\n")


def test_reader_that_has_seen_enough_ends_it_in_silence(device: Daemon) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    asking = start("ask", "--config", device.config_file, "an animal", stdout=writer)
    os.close(writer)
    done = finish(asking)
    assert (done.code, done.err) == (1, "")


def test_output_that_cannot_be_written_is_an_error(device: Daemon) -> None:
    with Path("/dev/full").open("wb") as full:
        done = finish(start("ask", "--config", device.config_file, "an animal", stdout=full))
    assert (done.code, done.err) == (1, "reminisce: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("topic", ["info", "state", "event"])
def test_rubbish_on_other_topics_changes_nothing(topic: str, mosquitto: Mosquitto, daemon: Daemon) -> None:
    with Onlooker(mosquitto.port) as other:
        other.say(f"reminisce/dev1/{topic}", b"\xff no JSON", is_retained=True)
    done = ask(daemon, "an animal")
    assert (done.code, done.err) == (0, "")


def test_items_that_were_left_out_are_said_behind_the_figures() -> None:
    reply = Reply(
        results=(), searched=3, refined=2, cut=False, took_ms=4, query_ms=1, filter_ms=1, correct_ms=2, left_out=12
    )
    assert _text(reply, 1, "nothing found").splitlines() == [
        "nothing found",
        "4 ms, 3 searched, 2 refined, 12 left out, which only an earlier model has embedded",
    ]
