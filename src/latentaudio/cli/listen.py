"""`latentaudio listen`: a blind test of several systems in the browser, and its result."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from ..errors import DataError, UsageError
from ..interrupts import Terminated, deferred_stops
from . import console

if TYPE_CHECKING:
    from ..evaluate.listening.server import ListeningServer
    from ..evaluate.listening.summary import Summary

OptionalPath: TypeAlias = Path | None
DEFAULT_ANSWERS = Path("answers.json")
_POLL_S = 0.2


def listen(
    *folders: Path,
    captions: OptionalPath = None,
    answers: Path = DEFAULT_ANSWERS,
    scale: int = 5,
    num_clips: int | None = None,
    lufs: float = -23.0,
    seed: int = 0,
    port: int = 0,
    summarize: Annotated[list[Path] | None, Parameter(consume_multiple=True)] = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Rate the clips of several systems blindly, in the browser on this machine.

    Each folder holds the clips of one system. Clips of one name belong to one prompt. The order is
    shuffled for each listener, all clips are equally loud, and the page does not show the systems.
    Listeners rate overall quality (OVL) and relevance to the text (REL). The keyboard is enough.
    Every answer is stored at once. The same command goes on with the stored answers. Ctrl-C ends
    the test and prints the means.

    Args:
        folders: Folders of clips, one for each system.
        captions: Texts of the clips: .csv, .jsonl or .json with names of files. Default: the
            prompts in the tags of the files. Without texts, only the quality is rated.
        answers: JSON file of the answers.
        scale: Greatest rating: 5, as in AudioLDM 2's tables, or 100, as in AudioLDM's.
        num_clips: Number of names to rate, drawn at random. Default: all that every folder has.
        lufs: Loudness of all clips in LUFS. Less, if a clip would be clipped.
        seed: Seed of the orders and of the draw.
        port: Port of the page. Default: 0, any free one.
        summarize: Print the means of files of answers, also from several machines. Serve nothing.
        json: Print the means as one line of JSON.
        quiet: Show no progress.
    """
    from ..evaluate.listening.summary import summarize_answers, summarize_files

    if summarize:
        if folders:
            raise UsageError("--summarize reads files of answers; leave the folders out")
        _show(summarize_files(summarize), json)
        return
    if not folders:
        raise UsageError("name the folders of clips, one for each system, or see --help")
    server = _prepare(folders, captions, answers, scale, num_clips, lufs, seed, port, quiet)
    stop = _serve(server)
    _show(summarize_answers(server.store.stored), json)
    if stop is not None:
        raise stop


def _prepare(
    folders: tuple[Path, ...],
    captions: Path | None,
    answers: Path,
    scale: int,
    num_clips: int | None,
    lufs: float,
    seed: int,
    port: int,
    quiet: bool,
) -> ListeningServer:
    """Plan the test, open the file of answers, and bind the port."""
    from ..evaluate.clips import read_captions
    from ..evaluate.listening.answers import AnswerStore
    from ..evaluate.listening.plan import plan_test
    from ..evaluate.listening.server import ListeningServer

    if answers.suffix.lower() != ".json" or answers.is_dir():
        raise UsageError(f"--answers {answers}: name a file that ends in .json")
    texts = read_captions(captions) if captions else {}
    with console.progress_bar("listen", quiet) as tick:
        plan = plan_test(
            folders, texts, scale=scale, num_clips=num_clips, lufs=lufs, seed=seed, progress=tick
        )
    for warning in plan.warnings:
        console.print_error(warning)
    store = AnswerStore(plan, answers)
    server = ListeningServer(store, port)
    try:
        store.save()  # now, so that a folder that cannot be written is no surprise later
    except DataError:
        server.server_close()
        raise
    console.print_status(
        f"{len(plan.trials)} clips of {len(plan.systems)} systems at {plan.lufs:.1f} LUFS; "
        f"answers go to {answers}\nopen {server.url} in a browser; Ctrl-C ends the test"
    )
    return server


def _serve(server: ListeningServer) -> Terminated | None:
    """Serve until Ctrl-C or SIGTERM; return the exception of the latter."""
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    with deferred_stops() as request:
        thread.start()
        while not request.is_made and thread.is_alive():
            thread.join(_POLL_S)
        server.shutdown()
        server.server_close()
    return Terminated("stopped; all answers are stored") if request.is_sigterm else None


def _show(summary: Summary, as_json: bool) -> None:
    """Print the means."""
    if as_json:
        console.print_record(summary.as_dict(), as_json=True)
    else:
        console.print_result(str(summary))
