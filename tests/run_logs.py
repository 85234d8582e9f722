"""The log of a training, for tests."""

from latentaudio.config.parsing import parse_json
from latentaudio.train.logger import LOG_FILE


def read_log(run_folder, name=LOG_FILE):
    """Return the entries of a run's log, one per `log_every` steps.

    `name` is `LOG_FILE` or `VALIDATION_FILE`.
    """
    lines = (run_folder / name).read_text(encoding="utf-8").splitlines()
    return [parse_json(line) for line in lines]
