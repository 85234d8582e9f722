"""Run diffusers' own fast tests of the AudioLDM pipelines, on diffusers and on the drop-in.

    python benchmarks/diffusers_tests.py CHECKOUT [--pipeline NAME] [--only PART_OF_NAME]

CHECKOUT is a clone of diffusers' repository, at the version that is installed. Its test files run
unchanged: `diffusers.AudioLDM2Pipeline` and `diffusers.AudioLDMPipeline` are replaced before they
are imported. The tests fetch two tokenizers and a feature extractor of a few kilobytes. Without
a network (HF_HUB_OFFLINE=1) local ones of the same sizes take their place. Tests that compare with
stored samples then fail in diffusers too.

A test that diffusers itself does not pass on this machine does not count.
"""

import argparse
import importlib
import io
import os
import sys
import time
import unittest
from pathlib import Path

import diffusers
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from latentaudio import compat

SUITES = {
    "AudioLDM2Pipeline": "tests.pipelines.audioldm2.test_audioldm2",
    "AudioLDMPipeline": "tests.pipelines.audioldm.test_audioldm",
}
LOCAL_OWNER = "hf-internal-testing/"


def byte_tokenizer() -> Tokenizer:
    """Return a tokenizer with one token for each byte, and RoBERTa's special tokens."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *pre_tokenizers.ByteLevel.alphabet()]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def local_roberta(**settings):
    """Return a RoBERTa tokenizer of the size of the one on the hub."""
    tokenizer = byte_tokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.RobertaTokenizerFast(tokenizer_object=tokenizer, **settings)


def local_t5(**settings):
    """Return a T5 tokenizer."""
    pieces = ["<pad>", "</s>", "<unk>", *pre_tokenizers.ByteLevel.alphabet()]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return transformers.T5TokenizerFast(
        tokenizer_object=tokenizer, extra_ids=0, **names, **settings
    )


def local_features(**settings):
    """Return a CLAP feature extractor."""
    return transformers.ClapFeatureExtractor(**settings)


LOCAL_FILES = {
    "RobertaTokenizer": local_roberta,
    "T5Tokenizer": local_t5,
    "ClapFeatureExtractor": local_features,
}


def use_local_files() -> None:
    """Make `from_pretrained` of the three classes return local objects for the names of the hub."""
    for name, make in LOCAL_FILES.items():
        library_class = getattr(transformers, name)
        original = library_class.from_pretrained

        def from_pretrained(source, *arguments, original=original, make=make, **settings):
            if str(source).startswith(LOCAL_OWNER):
                return make(**settings)
            return original(source, *arguments, **settings)

        library_class.from_pretrained = from_pretrained


def run_suite(module_name: str, only: str) -> dict[str, str]:
    """Return {test: "passed", "skipped", or the first line of its error} of one test file."""
    for name in [name for name in sys.modules if name.startswith("tests.")]:
        del sys.modules[name]
    module = importlib.import_module(module_name)
    results = {}
    for class_name in [name for name in vars(module) if name.endswith("FastTests")]:
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(getattr(module, class_name)):
            name = test.id().rpartition(".")[2]
            if only and only not in name:
                continue
            started = time.monotonic()
            result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.TestSuite([test]))
            failures = [*result.errors, *result.failures]
            outcome = "skipped" if result.skipped else "passed"
            if failures:
                outcome = failures[0][1].strip().splitlines()[-1]
                if os.environ.get("SHOW_TRACEBACKS"):
                    print(failures[0][1])
            results[name] = outcome
            print(f"{name}: {outcome} ({time.monotonic() - started:.1f} s)", flush=True)
    return results


def main() -> None:
    """Run the tests of both pipelines, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--pipeline", choices=list(SUITES), help="only this pipeline")
    parser.add_argument("--only", default="", help="only tests whose name contains this")
    parser.add_argument("--ours", action="store_true", help="do not run diffusers itself")
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    sys.path.insert(0, str(flags.checkout.resolve()))
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        use_local_files()
    lines = ["| pipeline | test | diffusers | drop-in |", "|---|---|---|---|"]
    num_failed = 0
    num_compared = 0
    for pipeline, module_name in SUITES.items():
        if flags.pipeline not in (None, pipeline):
            continue
        expected = {} if flags.ours else run_suite(module_name, flags.only)
        theirs = getattr(diffusers, pipeline)
        setattr(diffusers, pipeline, getattr(compat, pipeline))
        actual = run_suite(module_name, flags.only)
        setattr(diffusers, pipeline, theirs)
        for name, outcome in actual.items():
            reference = expected.get(name, "passed")
            lines.append(f"| {pipeline} | {name} | {reference:.60} | {outcome:.120} |")
            if reference == "passed" and outcome != "skipped":
                num_compared += 1
                num_failed += outcome != "passed"
    lines.append(f"\n{num_compared - num_failed} of {num_compared} tests pass.")
    table = "\n".join(lines)
    print(table)
    if flags.output:
        introduction = (__doc__ or "").strip()
        text = f"# diffusers' own tests\n\n{introduction}\n\n{table}\n"
        flags.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
