#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other: scripts/fuzz.sh 20s [PACKAGE PATTERN]. It goes on after a finding, names
# all of them at the end, and ends with 1 when there was one. Go leaves the input that failed in testdata/fuzz of the package:
# commit it with the mend, and every later "go test" tries it.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-20s}
pattern=${2:-.}
count=0
inputs=0
found=()
out=$(mktemp)
trap 'rm -f "$out"' EXIT

while IFS=: read -r file target; do
  package=./$(dirname "$file")
  [[ $package =~ $pattern ]] || continue
  echo "fuzz: $package $target for $time"
  count=$((count + 1))
  if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null 2>&1 | tee "$out"; then
    found+=("$package $target")
  fi
  tried=$(sed -n 's/.* execs: \([0-9]*\) .*/\1/p' "$out" | tail -1)
  inputs=$((inputs + ${tried:-0}))
done < <(grep -rE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' cmd functions internal | sed -E 's/:func (Fuzz[A-Za-z0-9_]*).*/:\1/' | sort)

echo "fuzz: $count targets for $time each, $inputs inputs, ${#found[@]} findings"
((${#found[@]} == 0)) || { printf 'fuzz: failed: %s\n' "${found[@]}"; exit 1; }
((count > 0)) || { echo "fuzz: no target matches $pattern"; exit 1; }
