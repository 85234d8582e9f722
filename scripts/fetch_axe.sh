#!/bin/sh
# Fetch axe-core (MPL-2.0), which tests/serve/test_page.py checks the page with, into .cache/axe.min.js.
set -eu
cd "$(dirname "$0")/.."
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
npm pack --silent --pack-destination "$temporary" axe-core@4.14.1 >/dev/null
tar -xzf "$temporary"/axe-core-*.tgz -C "$temporary"
mkdir -p .cache
cp "$temporary/package/axe.min.js" .cache/axe.min.js
echo "axe-core is at .cache/axe.min.js"
