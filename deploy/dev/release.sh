#!/usr/bin/env bash
# Makes a release of what is checked out: the changelog from the news fragments, sdist and wheel in dist/, a commit and the
# tag vVERSION; the newest benchmark results are kept as that release's baseline. Nothing is published, and nothing is changed where a step fails. CONTRIBUTING.md says what comes before and
# after.
#
#     deploy/dev/release.sh 0.1.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/dev/common.sh

python=${PYTHON:-.venv/bin/python}
version=${1:-}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?$ ]] ||
  fail "VERSION is '$version': it looks like 0.1.0 or 0.2.0rc1. Run: make release VERSION=0.1.0"
[ -z "$(git status --porcelain)" ] || fail "there are changes that are not committed: commit or remove them (git status)."
tag=v$version
if git rev-parse --quiet --verify "refs/tags/$tag" >/dev/null; then
  fail "the tag $tag exists: a version is released once."
fi
if ! compgen -G 'news/+*.md' >/dev/null; then
  fail "no news fragment lies in news/: there is nothing to tell of this release."
fi

# The tree was clean: what a step that fails leaves is undone by it.
trap 'git reset --quiet --hard' EXIT
sed -i "s/^version = \"[^\"]*\"/version = \"$version\"/" pyproject.toml
"$python" -m towncrier build --yes --version "$version" >/dev/null
cp benchmarks/results/newest.json "benchmarks/results/baseline-$version.json"
git add "benchmarks/results/baseline-$version.json"
say "Building sdist and wheel ..."
rm -rf dist
"$python" -m build --no-isolation . >/dev/null
"$python" -m twine check --strict dist/*
for file in "dist/buildbot_amqp-$version.tar.gz" "dist/buildbot_amqp-$version-py3-none-any.whl"; do
  [ -e "$file" ] || fail "$file was not built: dist/ has $(ls dist)."
done
git commit --quiet --all --message "Version $version"
git tag --annotate --message "Version $version" "$tag"
trap - EXIT
say "Released as $tag: dist/ has what to upload. Next: git push --follow-tags, then twine upload dist/*."
