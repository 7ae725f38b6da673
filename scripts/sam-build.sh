#!/usr/bin/env bash
# Builds every function for deployment into .aws-sam, for arm64 unless another architecture is named:
#
#   scripts/sam-build.sh [arm64|x86_64] [FOLDER]
#
# FOLDER takes the place of .aws-sam/build. SAM_BUILD_GOFLAGS are further flags of go build.
#
# Never with sam's cache: after an edit in a package that functions share it says "Valid cache found" and ships old code.
# go build comes first, because ten builds at once would compile the same packages ten times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

architecture=${1:-arm64}
case $architecture in
arm64) arch=arm64 ;;
x86_64) arch=amd64 ;;
*) echo "sam-build: there is no architecture \"$architecture\"; choose arm64 or x86_64" >&2; exit 2 ;;
esac
sam=$(ls -d "${AIKAJANA_CACHE:-$HOME/.cache/aikajana}"/sam-*/bin/sam 2>/dev/null | tail -n 1 || true)
sam=${sam:-$(command -v sam)} || { echo "sam-build: no SAM CLI: run \"scripts/parts.sh sam\"" >&2; exit 1; }

export SAM_CLI_TELEMETRY=0 CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS="-trimpath -tags=lambda.norpc '-ldflags=-s -w' ${SAM_BUILD_GOFLAGS:-}"
warm=$(mktemp -d)
trap 'rm -rf "$warm"' EXIT
go build -o "$warm/" ./functions/...
"$sam" build --parallel --build-dir "${2:-.aws-sam/build}" --parameter-overrides "Architecture=$architecture"
