"""The command line: every command, option and example."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from edge import __version__
from edge.cli.add import add
from edge.cli.ask import ask
from edge.cli.bench import bench_paper, bench_recall, bench_remember, count, shares, sizes
from edge.cli.carry import export_memory, import_into
from edge.cli.check import check
from edge.cli.house import age, forget, pin
from edge.cli.meta import pair
from edge.cli.migrate import migrate
from edge.cli.run import run
from edge.cli.settings import settings
from edge.cli.status import status
from edge.config import MAX_LIMIT
from edge.mqtt import MODALITIES, MOST_OFFSET
from edge.mqtt.moments import moment
from edge.signals import signals_held

Command = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no other name
Maker: TypeAlias = Callable[..., argparse.ArgumentParser]
_CODES = """\
exit codes: 0 done, 1 failed or only partly done, 2 the command line or the config is wrong, 130 interrupted
"""
_EXAMPLES = f"""\
examples:
  reminisce demo                              the two-minute tour, in a temporary memory
  reminisce run --config config.yaml          the daemon; under systemd see systemd/reminisce.service
  reminisce add ~/Pictures                    have it remember pictures
  reminisce ask "a dog on the beach"          ask it
  reminisce forget beach.jpg                  forget it, for good
  reminisce status                            what it holds and takes
  reminisce check --config config.yaml        is this config all right?
  reminisce bench remember --data flickr8k    how fast it remembers here, against every baseline
  reminisce bench recall --data flickr8k      how well and how fast it answers here, against every baseline

{_CODES}"""
_RUN = """\
examples:
  reminisce run
      with the defaults: broker on localhost, memory in ~/.local/share/reminisce
  reminisce run --config /etc/reminisce/config.yaml
      SIGHUP reads the file again; SIGTERM and Ctrl-C stop it, nothing is lost
"""
_ADD = """\
examples:
  reminisce add beach.jpg
  reminisce add ~/Pictures /media/card/DCIM
      folders with everything below; run it again to go on after an interruption: what is there is skipped
  reminisce add --meta place=Kyoto --meta trip=spring ~/Pictures/2025
      what there is to say of each, for `ask --meta` and `forget --meta`
  reminisce add note.txt
      a note, UTF-8 and at most 16384 bytes; in folders .txt and .md are left out
  reminisce add --json ~/Pictures | jq -r 'select(.state == "rejected") | .file'
      one JSON object a file, another one if it turns out to be broken later, and a last one with the counts
"""
_ASK = """\
examples:
  reminisce ask "mountains in the morning"
  reminisce ask --limit 20 --sort time "our dog"
  reminisce ask --stream "the first snow"
      a first answer at once, then better ones
  reminisce ask --since 2026-07-01 --until 2026-07-31 --source "*/DCIM/*" "a beach"
      July, in this device's time zone, of files below any folder DCIM
  reminisce ask --meta place=Kyoto "a temple"
      among those that were added with it
  reminisce ask --limit 20 --offset 20 "our dog"
      the second page
  reminisce ask --modality text "where is the key?"
      notes alone; without it, notes and pictures in one ranking
  reminisce ask --min-relevance 0.5 "a unicorn"
      may well find nothing
  reminisce ask --like beach.jpg
      what looks like this picture, remembered or not; --like beach.jpg "at night" means both
  reminisce ask --all "our dog"
      every picture of a burst, where else one stands for it: "and 4 like it"
  reminisce ask --html answers.html "our dog"
      a contact sheet, one file; pictures are shown whose files are on this machine
  reminisce ask --json "a red car" | jq -r '.results[0].source'
"""
_FORGET = """\
examples:
  reminisce forget beach.jpg
      the item with the bytes of this file; or its id, as `ask --json` tells it
  reminisce forget --source "/home/pi/Pictures/work/" --until 2025-01-01
  reminisce forget --source "*/screenshots/*" --older-than 90d
      gone from disk, index and cache when it returns; what is pinned stays
  reminisce forget --meta trip=spring
"""
_PIN = """\
examples:
  reminisce pin beach.jpg
      kept when the cache is full, and by every `forget` that does not name it with --force
  reminisce pin --undo beach.jpg
"""
_EXPORT = """\
examples:
  reminisce export memory.tar
      all of it, while the daemon runs or not; the file is for your eyes alone, as the memory is
  reminisce export --no-cache smaller.tar
      without the half-finished items, which can be computed again from their content
"""
_IMPORT = """\
examples:
  reminisce import --state restored memory.tar
      into a folder of its own; without --state into the daemon's, which must be stopped
"""
_MIGRATE = """\
examples:
  reminisce migrate
      after `bundle` in the config names a new model: how far its items are, until all of them are; Ctrl-C only ends
      the showing
"""
_STATUS = """\
examples:
  reminisce status
  reminisce status --json | jq .state.backlog
"""
_CHECK = """\
examples:
  reminisce check --config /etc/reminisce/config.yaml
      reads the config, the bundle and the password file; no daemon, no broker
"""
_BENCH_REMEMBER = """\
examples:
  reminisce bench remember --data flickr8k
      the demo bundle on Flickr8k's 1,000 dev photos: minutes
  reminisce bench remember --bundle my-vit/bundle --data flickr8k --picture remember.svg
  reminisce bench remember --bundle clip/bundle --exits 0.4,0.3,0.2,0.1
      speed alone, on noise, with exits dealt by a histogram: for a bundle that finds nothing
"""
_BENCH_RECALL = """\
examples:
  reminisce bench recall --data flickr8k --sizes 1000
      the demo bundle on Flickr8k's 1,000 dev photos: some two minutes
  reminisce bench recall --bundle my-vit/bundle --data flickr8k --picture recall.svg
      the same, then among 9,000 and 99,000 synthetic distractors: some ten minutes
"""
_BENCH_PAPER = """\
examples:
  reminisce bench paper remember.json recall.json
      each what the benchmark of that name wrote with --save, of any number of bundles
  reminisce bench paper recall-seed-0.json recall-seed-1.json recall-seed-2.json
      of one model several times: merging in each, and their mean
"""
_DEMO = """\
examples:
  reminisce demo
      remember the shipped pictures, ask a few questions, then yours
  reminisce demo --photos ~/Pictures/2025
      the same with your own pictures; nothing is copied but into a temporary folder
  reminisce demo --config config.yaml
      with other settings: cores, exit, pool
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser; each command sets `command`, which takes the options and returns the exit code."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="reminisce",
        description="A private, on-device memory for what a device sees.",
        epilog=_EXAMPLES,
        formatter_class=layout,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, does: Command, summary: str, examples: str, interrupted: str, among: Commands = commands
    ) -> argparse.ArgumentParser:
        one = among.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"{examples}\n{_CODES}",
            formatter_class=layout,
        )  # fmt: skip
        one.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="settings, like config.yaml (default: the first that is there of ~/.config/reminisce/config.yaml"
            " and /etc/reminisce/config.yaml)",
        )
        one.set_defaults(command=does, interrupted=interrupted)
        return one

    _add_demo(command)
    command("run", run, "the daemon: remembers and answers over MQTT", _RUN, "stopped")
    adding = command(
        "add",
        add,
        "have the daemon remember pictures and notes",
        _ADD,
        "what was accepted is safe; run it again to go on",
    )
    adding.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture files, folders of them, or notes")
    _add_meta(adding, "say this of every one of them, to narrow by it later; may be given several times")
    asking = command("ask", ask, "ask the daemon a question", _ASK, "no answer")
    asking.add_argument("text", type=_question, nargs="*", metavar="TEXT", help="what to look for, in English")
    asking.add_argument("--like", metavar="ITEM", help="what is like this: a picture file, or an id")
    asking.add_argument(
        "--limit", type=_limit, metavar="N", help="answers wanted (default: recall.limit of the daemon)"
    )
    asking.add_argument("--sort", choices=("relevance", "time"), default="relevance", help="order (default: relevance)")
    asking.add_argument("--html", type=Path, metavar="FILE", help="write the answers there, too, with their pictures")
    asking.add_argument("--all", action="store_true", help="near-duplicates, too, each an answer of its own")
    asking.add_argument("--stream", action="store_true", help="print answers as they get better, the last one last")
    _add_selection(asking)
    asking.add_argument(
        "--offset", type=_offset, default=0, metavar="N", help="best answers to leave out: the next page"
    )
    asking.add_argument("--modality", choices=MODALITIES, help="only items of it")
    asking.add_argument(
        "--min-relevance", type=_share, metavar="P", help="only answers that are at least so probable, 0 to 1"
    )
    forgetting = command(
        "forget", forget, "forget items for good", _FORGET, "run it again to be sure that all are gone"
    )
    forgetting.add_argument("--force", action="store_true", help="named items that are pinned, too")
    pinning = command("pin", pin, "keep items whatever happens", _PIN, "run it again to be sure that all are pinned")
    pinning.add_argument("--undo", action="store_true", help="let them go again")
    for one in (forgetting, pinning):
        one.add_argument("items", nargs="*", metavar="ITEM", help="a file with the same bytes, or an id")
        _add_selection(one)
        one.add_argument("--older-than", type=age, metavar="AGE", help="what happened longer ago, as 90d, 12h or 6w")
    carrying = _add_carrying(command)
    migrating = command(
        "migrate", migrate, "how far the daemon is with items of an earlier model", _MIGRATE, "the daemon goes on"
    )
    showing = command("status", status, "what the daemon holds, does and takes", _STATUS, "nothing was changed")
    checking = command("check", check, "look at config and bundle, without a daemon", _CHECK, "nothing was changed")
    benches = commands.add_parser("bench", help="measure this machine", description="Measure this machine.")
    whats = benches.add_subparsers(required=True, metavar="WHAT")
    measuring, recalling = _add_bench_remember(command, whats), _add_bench_recall(command, whats)
    _add_bench_paper(command, whats)
    for one in (adding, asking, forgetting, pinning, *carrying, migrating, showing, checking, measuring, recalling):
        one.add_argument("--json", action="store_true", help="print JSON, for other programs")
    return parser


def _add_selection(one: argparse.ArgumentParser) -> None:
    when = "a day like 2026-07-01, or a time like 2026-07-01T18:30 or 2026-07-01T18:30:00+02:00"
    one.add_argument("--since", type=_when, metavar="WHEN", help=f"only what happened from then on: {when}")
    one.add_argument("--until", type=_when, metavar="WHEN", help="only what happened before; a day is included")
    one.add_argument(
        "--source", metavar="TEXT", help="only sources that start with it, or match it if it has *, ? or ["
    )
    _add_meta(one, "only what this was said of when it was added; given several times, all must hold")


def _add_meta(one: argparse.ArgumentParser, meaning: str) -> None:
    one.add_argument("--meta", type=pair, action="append", default=[], metavar="KEY=VALUE", help=meaning)


def _add_carrying(command: Maker) -> tuple[argparse.ArgumentParser, ...]:
    exporting = command("export", export_memory, "all of the memory into one file", _EXPORT, "there is no file")
    exporting.add_argument("--no-cache", action="store_true", help="leave out half-finished items")
    importing = command(
        "import",
        import_into,
        "add what is in an exported file to the memory",
        _IMPORT,
        "run it again: what is there is not added twice",
    )
    for one in (exporting, importing):
        one.add_argument("--state", type=Path, metavar="DIR", help="the memory's folder (default: the config's)")
        one.add_argument("file", type=Path, metavar="FILE.tar")
    return exporting, importing


def _add_bench_remember(command: Maker, benches: Commands) -> argparse.ArgumentParser:
    one = command(
        "remember", bench_remember, "items a second, joules, memory and recall, against every baseline",
        _BENCH_REMEMBER, "nothing was measured", among=benches,
    )  # fmt: skip
    what = one.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, metavar="DIR", help="Flickr8k in its official layout")
    what.add_argument("--exits", type=shares, metavar="SHARES", help="deal exits to noise: speed alone")
    one.add_argument("--limit", type=count, metavar="N", help="only the first N items, for a quick look")
    _add_measured(one)
    return one


def _add_bench_recall(command: Maker, benches: Commands) -> argparse.ArgumentParser:
    one = command(
        "recall", bench_recall, "recall, milliseconds, joules and memory of answers, against every baseline",
        _BENCH_RECALL, "nothing was measured", among=benches,
    )  # fmt: skip
    one.add_argument("--data", type=Path, metavar="DIR", required=True, help="Flickr8k in its official layout")
    one.add_argument(
        "--sizes", type=sizes, default=(1_000, 10_000, 100_000), metavar="N,N,...",
        help="items of the memories; above the photos, distractors (default: 1000,10000,100000)",
    )  # fmt: skip
    one.add_argument(
        "--questions", type=count, default=40, metavar="N", help="timed of each row and size (default: %(default)s)"
    )
    _add_measured(one)
    return one


def _add_bench_paper(command: Maker, benches: Commands) -> None:
    one = command(
        "paper", bench_paper, "the paper's figures beside those of `bench remember` and `bench recall`",
        _BENCH_PAPER, "nothing was compared", among=benches,
    )  # fmt: skip
    one.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the JSON of these")


def _add_measured(one: argparse.ArgumentParser) -> None:
    one.add_argument("--bundle", type=Path, metavar="DIR", help="default: that of the config, else the demo bundle")
    one.add_argument("--batch", type=count, default=32, metavar="N", help="items of a batch (default: %(default)s)")
    one.add_argument("--threads", type=count, default=1, metavar="N", help="of a segment call (default: %(default)s)")
    one.add_argument("--picture", type=Path, metavar="FILE", help="where an SVG of it goes")
    one.add_argument("--save", type=Path, metavar="FILE", help="where its JSON goes, for `reminisce bench paper`")


def _add_demo(command: Maker) -> None:
    one = command(
        "demo", _demo, "the two-minute tour, in a temporary memory", _DEMO, "the temporary memory of the demo is gone"
    )
    one.add_argument("--photos", type=Path, metavar="DIR", help="your own pictures instead of the shipped ones")
    one.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        default=Path("reminisce-demo.html"),
        help="where the contact sheet goes (default: %(default)s)",
    )
    one.add_argument("--json", action="store_true", help="print JSON, for other programs: one object an answer")


def _demo(options: argparse.Namespace) -> int:
    with signals_held():
        from edge.demo.tour import run_tour  # noqa: PLC0415 - the other commands start without the tour's packages

    return run_tour(settings(options.config), options.photos, options.sheet, as_json=options.json)


def _question(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty: say what to look for")
    return text.encode(errors="replace").decode()  # what is no UTF-8 cannot be sent


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r}: must be 1 to {MAX_LIMIT}")
    return int(text)


def _when(text: str) -> str:
    """Which moment it is, the daemon says, in its own time zone."""
    try:
        moment(text, is_end=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _offset(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_OFFSET:
        raise argparse.ArgumentTypeError(f"{text!r}: must be 0 to {MOST_OFFSET}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # true for NaN, too
        raise argparse.ArgumentTypeError(f"{text!r}: must be 0 to 1")
    return value
